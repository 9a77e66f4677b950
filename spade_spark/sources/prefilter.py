r"""Skips lines that cannot contain an event of the requested tables.

A line is skipped only if it certainly contains none of the names. JSON writes a name either
literally or with ``\u00`` escapes (no other escape encodes a letter). Each has three base64 forms,
depending on its offset. A single search finds all forms in the encoded lines. Every line with a
match is kept.

Lines with a ``%`` or a backslash are kept too, because these can escape characters of the base64
text. If a name cannot be found reliably in this way, no lines are skipped.

The search takes a twentieth of the time of inflating the lines. Leftmost matching is used because
the library then searches for up to 64 patterns with vector instructions.
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
r"""A name whose characters JSON can escape only as ``\u00XX``, and whose base64 has no ``+`` or
``/``: the base64 alphabets differ in these characters."""

MAX_PREFILTER_NAMES: Final = 20
"""More names would make the search slow."""

_ESCAPE_BYTES: Final = b"%\\"


class Prefilter:
    """Keeps the lines that may contain an event with one of ``names``.

    Attributes:
        skipped: The number of lines skipped so far.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.skipped = 0
        self._search: BytesAhoCorasick | None = None
        if len(names) <= MAX_PREFILTER_NAMES and all(map(_SAFE_NAME.fullmatch, names)):
            patterns = {form for name in names for form in _base64_forms(f'"{name}"'.encode())}
            patterns.update(_base64_forms(_HEX_ESCAPE))
            self._search = BytesAhoCorasick(sorted(patterns), matchkind=MatchKind.LeftmostFirst)

    def filter(self, chunk: bytes) -> bytes:
        """Return the lines of ``chunk`` that may contain one of the names, in order."""
        if self._search is None:
            return chunk
        matches = [start for _, start, _ in self._search.find_matches_as_indexes(chunk)]
        if find_first_of(chunk, _ESCAPE_BYTES) >= 0:
            matches += _lines_with_escapes(chunk)
        kept = list(_lines_at(matches, chunk))
        self.skipped += _count_lines(chunk) - len(kept)
        return b"".join(kept)


def _base64_forms(text: bytes) -> Iterator[bytes]:
    """Yield the base64 of ``text`` at each offset, without characters that its neighbors affect."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + text)
        yield encoded[-(-offset * 8 // 6) : (offset + len(text)) * 8 // 6]


def _lines_with_escapes(chunk: bytes) -> Iterator[int]:
    """Yield the start of each line with an escape byte."""
    start = 0
    while start < len(chunk):
        end = chunk.find(b"\n", start) + 1 or len(chunk)
        if any(chunk.find(byte, start, end) >= 0 for byte in _ESCAPE_BYTES):
            yield start
        start = end


def _lines_at(positions: list[int], chunk: bytes) -> Iterator[bytes]:
    """Yield the lines at the positions, each once, in order."""
    end = 0
    for position in sorted(positions):
        if position >= end:
            start = chunk.rfind(b"\n", 0, position) + 1
            end = chunk.find(b"\n", position) + 1 or len(chunk)
            yield chunk[start:end]


def _count_lines(chunk: bytes) -> int:
    line_feeds: int = count(chunk, b"\n")
    return line_feeds + (not chunk.endswith(b"\n") and bool(chunk))
