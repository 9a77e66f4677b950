"""Go's ``net.ParseIP`` followed by ``net.IP.String``.

Python's :mod:`ipaddress` differs: it rejects leading zeros beyond four hex digits, accepts scopes
(``%eth0``), and does not print an IPv4-mapped IPv6 address as IPv4.

Reference: https://github.com/golang/go/blob/go1.19/src/net/ip.go (``ParseIP``, ``IP.String``).
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
    """Return the canonical text of an IP address; an IPv4-mapped address becomes IPv4.

    Raises:
        ValueError: It is not an IP address.
    """
    separator = re.search("[.:]", address)
    if separator is None:
        raise ValueError(f"not an IP address: {address!r}")
    if separator[0] == ".":
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
        raise ValueError(f"not an IPv4 address: {address!r}")
    return bytes(map(int, octets))  # ValueError if above 255


def _ipv6(address: str) -> bytes:
    before, ellipsis, after = address.partition("::")
    head, tail = _groups(before), _groups(after)
    missing = 2 * _GROUPS - len(head) - len(tail)
    # An embedded IPv4 address must come last.
    misplaced = "." in before and ellipsis
    if misplaced or missing < 0 or (missing == 0) != (not ellipsis):
        raise ValueError(f"not an IPv6 address: {address!r}")
    return head + b"\0" * missing + tail


def _groups(text: str) -> bytes:
    """Return the bytes of groups of hex digits; the last one may be an IPv4 address."""
    if not text:
        return b""
    *groups, last = text.split(":")
    packed = b"".join(map(_group, groups))
    return packed + (_ipv4(last) if "." in last else _group(last))


def _group(digits: str) -> bytes:
    if not _HEX.fullmatch(digits):
        raise ValueError(f"not a group of an IPv6 address: {digits!r}")
    return int(digits, 16).to_bytes(2, "big")
