r"""Passes over the lines that cannot hold an event of the tables asked for.

A line passes unless it surely holds none of the names. JSON spells a name as it is, or has a
``\u00`` in it (no other escape stands for a letter). Base64 of either has, by what stands before
it, one of three texts, and all of them are searched for in the lines as they are, at once. Whatever
a line is (no record, of other keys, of several events), it passes if it has one of them.

What else base64 can be spelt by makes a line pass: a ``%`` or a backslash anywhere in it. Names
that these texts would not be sure to find are not searched for: every line passes.

The search takes a twentieth of the time that the lines take to be inflated. The leftmost matches
are asked for because they are searched for with vector instructions, in up to 64 texts.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, MatchKind
from stringzilla import count, find_first_of

_HEX_ESCAPE: Final = b"\\u00"
_SAFE_NAME: Final = re.compile(r'[^\x00-\x1f"/>?\\~\x7f-\U0010ffff]+')
r"""A name of characters that JSON can escape in one way only (``\u00`` and two digits), and that
make no ``+`` or ``/`` in base64: these stand for themselves in one of its alphabets alone."""

MAX_PREFILTER_NAMES: Final = 20
"""Of more names, the search would be slow."""

_ESCAPE_BYTES: Final = b"%\\"


class Prefilter:
    """Which lines of a chunk may hold an event of one of ``names``.

    Attributes:
        passed_over: Lines that surely hold none, so far.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.skipped = 0
        self._search: BytesAhoCorasick | None = None
        if len(names) <= MAX_PREFILTER_NAMES and all(map(_SAFE_NAME.fullmatch, names)):
            texts = {text for name in names for text in _in_base64(f'"{name}"'.encode())}
            texts.update(_in_base64(_HEX_ESCAPE))
            self._search = BytesAhoCorasick(sorted(texts), matchkind=MatchKind.LeftmostFirst)

    def filter(self, chunk: bytes) -> bytes:
        """The lines of ``chunk`` that may hold one of the names, in order, perhaps none."""
        if self._search is None:
            return chunk
        found = [start for _, start, _ in self._search.find_matches_as_indexes(chunk)]
        if find_first_of(chunk, _ESCAPE_BYTES) >= 0:
            found += _lines_with_escapes(chunk)
        passed = list(_lines_at(found, chunk))
        self.skipped += _count_lines(chunk) - len(passed)
        return b"".join(passed)


def _in_base64(text: bytes) -> Iterator[bytes]:
    """What base64 of any bytes with ``text`` in it has in it, by the offset of ``text``."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + text)
        # Only the characters all of whose six bits are the text's.
        yield encoded[-(-offset * 8 // 6) : (offset + len(text)) * 8 // 6]


def _lines_with_escapes(chunk: bytes) -> Iterator[int]:
    """A place in each line that may spell base64 otherwise."""
    start = 0
    while start < len(chunk):
        end = chunk.find(b"\n", start) + 1 or len(chunk)
        if any(chunk.find(byte, start, end) >= 0 for byte in _ESCAPE_BYTES):
            yield start
        start = end


def _lines_at(places: list[int], chunk: bytes) -> Iterator[bytes]:
    """The lines that the places lie in, each once, in order."""
    end = 0
    for place in sorted(places):
        if place >= end:
            start = chunk.rfind(b"\n", 0, place) + 1
            end = chunk.find(b"\n", place) + 1 or len(chunk)
            yield chunk[start:end]


def _count_lines(chunk: bytes) -> int:
    line_feeds: int = count(chunk, b"\n")
    return line_feeds + (not chunk.endswith(b"\n") and bool(chunk))
