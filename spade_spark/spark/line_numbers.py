"""Line numbers of the few lines of an object that go to the quarantine."""

from __future__ import annotations

from stringzilla import count, find

from spade_spark.transform.output import QuarantinedLine
from spade_spark.writers import quarantine


class LineNumberFinder:
    """Finds line numbers in an object, chunk by chunk, as they were before the prefilter.

    Numbering every line would be too slow. Instead, each quarantined line is searched for in its
    chunk. They come in order, so each search starts at the end of the previous match.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._lines_before = 0
        self._search_start = self._line_start = 0
        self._last: bytes | None = None

    def encode(self, chunk: bytes, quarantined: QuarantinedLine) -> bytes:
        """Encode a line of ``chunk`` for the quarantine, with its line number."""
        if quarantined.line is not self._last:  # events of the same line come in succession
            self._line_start = self._find(chunk, quarantined.line)
            self._search_start = self._line_start + len(quarantined.line)
            self._last = quarantined.line
        number = self._lines_before + count(chunk, b"\n", 0, self._line_start) + 1
        return quarantine.encode(quarantined, self._key, number)

    def advance(self, lines: int) -> None:
        """Start the next chunk, which follows the first ``lines`` lines of the object."""
        self._lines_before = lines
        self._search_start = 0
        self._last = None

    def _find(self, chunk: bytes, line: bytes) -> int:
        start: int = find(chunk, line, self._search_start)
        while start >= 0 and not _is_line(chunk, start, start + len(line)):
            start = find(chunk, line, start + 1)
        return max(start, 0)


def _is_line(chunk: bytes, start: int, end: int) -> bool:
    return (not start or chunk[start - 1 : start] == b"\n") and chunk[end : end + 1] in (b"", b"\n")
