"""A client's address: what is one, and its canonical text.

Written out because :mod:`ipaddress` differs in both: it refuses leading zeros in a group of hex
digits, accepts scopes (``%eth0``), and prints IPv4 addresses inside IPv6 in the longer form.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,2}")
_HEX = re.compile(r"0*[0-9a-fA-F]{1,4}")
_GROUPS: Final = 8
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"


def canonical_ip(address: str) -> str:
    """The canonical text of an IPv4 or IPv6 address: dotted where it is IPv4, even mapped.

    Raises:
        ValueError: It is no address.
    """
    first = re.search("[.:]", address)
    if first is None:
        raise ValueError(f"no address: {address!r}")
    if first[0] == ".":
        return _dotted(_ipv4(address))
    packed = _ipv6(address)
    if packed.startswith(_MAPPED):
        return _dotted(packed[len(_MAPPED) :])
    return ipaddress.IPv6Address(packed).compressed


def _dotted(packed: bytes) -> str:
    return ".".join(str(octet) for octet in packed)


def _ipv4(address: str) -> bytes:
    octets = address.split(".")
    if len(octets) != 4 or not all(map(_DECIMAL.fullmatch, octets)):  # noqa: PLR2004 - IPv4
        raise ValueError(f"no IPv4 address: {address!r}")
    return bytes(map(int, octets))  # a ValueError above 255


def _ipv6(address: str) -> bytes:
    before, ellipsis, after = address.partition("::")
    head, tail = _groups(before), _groups(after)
    missing = 2 * _GROUPS - len(head) - len(tail)
    # An IPv4 address may stand at the very end only.
    misplaced = "." in before and ellipsis
    if misplaced or missing < 0 or (missing == 0) != (not ellipsis):
        raise ValueError(f"no IPv6 address: {address!r}")
    return head + b"\0" * missing + tail


def _groups(text: str) -> bytes:
    """Groups of hex digits between colons, the last perhaps an IPv4 address."""
    if not text:
        return b""
    *groups, last = text.split(":")
    packed = b"".join(map(_group, groups))
    return packed + (_ipv4(last) if "." in last else _group(last))


def _group(digits: str) -> bytes:
    if not _HEX.fullmatch(digits):
        raise ValueError(f"no group of an IPv6 address: {digits!r}")
    return int(digits, 16).to_bytes(2, "big")
