r"""Passes over the lines that cannot hold an event of the tables asked for.

A line passes unless it surely holds none of the names. It surely does where it is an edge record in
the edge's own spelling, its payload is plain base64, and the payload neither has one of the names
as a JSON string nor has an escape by which JSON could spell it otherwise. Whatever else the line
is (percent-encoded or URL-safe, of other keys, no record at all), it passes.

The payloads of a chunk are decoded and searched together. Searching the lines for the three texts
that base64 makes of a name, by its offset, looks cheaper and is not: JSON may spell any letter as
``\u0061``, so that the three texts of ``\u00`` have to be searched for too, and a search for so
short a text costs as much as decoding all of it (bench/README.md).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate
from typing import Final

import msgspec
import pybase64

_BACKSLASH: Final = ord("\\")
_HEX_ESCAPE: Final = b"\\u00"
_ONLY_HEX_ESCAPES: Final = re.compile(r'[^\x00-\x1f"\\/\x80-\U0010ffff]+')
r"""A name of characters that JSON can escape in one way only: ``\u00`` and two digits."""

_MANY: Final = 16
"""From so many names on, to search for each would cost more than to decode every line."""

_ODD: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading a line raises that is not in the edge's own spelling."""


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An edge record in the edge's own spelling; nothing but the payload is looked at."""

    data: str
    at: str = msgspec.field(name="receivedAt", default="")
    ip: str = msgspec.field(name="clientIp", default="")
    forwarded: str = msgspec.field(name="xForwardedFor", default="")
    uuid: str = ""
    agent: str = msgspec.field(name="userAgent", default="")
    version: int = msgspec.field(name="recordversion", default=0)
    edge_type: str = msgspec.field(name="edgeType", default="")


class Prefilter:
    """Which lines of a chunk may hold an event of one of ``names``.

    Attributes:
        passed_over: Lines that surely hold none, so far.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.passed_over = 0
        self._needles = [f'"{name}"'.encode() for name in names]
        # A U+FFFD may stand for any bytes that are no UTF-8.
        self._useless = len(names) >= _MANY or any("\ufffd" in name for name in names)
        plain = all(map(_ONLY_HEX_ESCAPES.fullmatch, names))
        self._escape = _HEX_ESCAPE if plain else bytes([_BACKSLASH])
        self._read_lines = msgspec.json.Decoder(_Line).decode_lines
        self._read_line = msgspec.json.Decoder(_Line).decode

    def pass_through(self, chunk: bytes) -> bytes:
        """The lines of ``chunk`` that may hold one of the names, in order, perhaps none."""
        if self._useless:
            return chunk
        passed = self._passed(chunk)
        self.passed_over += _count_lines(chunk) - len(passed)
        return b"".join(chunk[start:end] for start, end in sorted(passed))

    def _passed(self, chunk: bytes) -> set[tuple[int, int]]:
        """Where the lines begin and end that pass."""
        if _BACKSLASH not in chunk:
            try:
                payloads = [line.data for line in self._read_lines(chunk)]
                hits = {payloads[number] for number in self._hits(payloads)}
            except _ODD:
                pass
            else:
                # Without a backslash, payloads stand in their lines as they are.
                return {span for payload in hits for span in _lines_with(payload.encode(), chunk)}
        return {(start, end) for start, end in _lines(chunk) if self._may_hit(chunk[start:end])}

    def _may_hit(self, line: bytes) -> bool:
        if _BACKSLASH in line:
            return True
        try:
            return any(True for _ in self._hits([self._read_line(line).data]))
        except _ODD:
            return True

    def _hits(self, payloads: list[str]) -> Iterator[int]:
        """The numbers of the payloads that may hold a name.

        Raises:
            ValueError: One of them is not plain base64.
        """
        if any(len(payload) % 4 for payload in payloads):
            raise ValueError("padding is missing")
        # Each decodes to three quarters of its length, with zero bytes for its padding.
        encoded = "".join(payloads).replace("=", "A")
        decoded = pybase64.b64decode(encoded, validate=True)
        needles = self._needles
        if _BACKSLASH in decoded:
            needles = [*needles, self._escape]
        ends: list[int] = []
        for needle in needles:
            at = decoded.find(needle)
            while at >= 0:
                ends = ends or list(accumulate(len(payload) // 4 * 3 for payload in payloads))
                number = bisect_right(ends, at)
                yield number
                at = decoded.find(needle, ends[number])


def _lines_with(text: bytes, chunk: bytes) -> Iterable[tuple[int, int]]:
    """Where the lines begin and end that ``text`` stands in."""
    at = chunk.find(text)
    while at >= 0:
        end = chunk.find(b"\n", at) + 1 or len(chunk)
        yield chunk.rfind(b"\n", 0, at) + 1, end
        at = chunk.find(text, end)


def _lines(chunk: bytes) -> Iterable[tuple[int, int]]:
    """Where the lines begin and end."""
    start = 0
    while start < len(chunk):
        end = chunk.find(b"\n", start) + 1 or len(chunk)
        yield start, end
        start = end


def _count_lines(chunk: bytes) -> int:
    """As many finds: bytes.count looks at each byte by itself and takes twice the time."""
    count = 0
    at = chunk.find(b"\n") + 1
    while at:
        count += 1
        at = chunk.find(b"\n", at) + 1
    return count + (not chunk.endswith(b"\n") and bool(chunk))
