"""Finds the line numbers of quarantined lines."""

from __future__ import annotations

from stringzilla import count, find


class LineNumberFinder:
    """Finds the line numbers of a few lines of an object, chunk by chunk.

    Numbering every line would be too slow. Instead, each line is searched for in its chunk. The
    lines are requested in order, so each search starts at the end of the previous match.
    """

    def __init__(self) -> None:
        self._lines_before = 0
        self._search_start = self._line_start = 0
        self._last: bytes | None = None

    def number_of(self, chunk: bytes, line: bytes) -> int:
        """Return the number (from 1) in the object of a line of ``chunk``, the current chunk."""
        if line is not self._last:  # several events of a line can be quarantined in succession
            self._line_start = self._find(chunk, line)
            self._search_start = self._line_start + len(line)
            self._last = line
        line_feeds: int = count(chunk, b"\n", 0, self._line_start)
        return self._lines_before + line_feeds + 1

    def next_chunk(self, lines_before: int) -> None:
        """Start the chunk that follows the first ``lines_before`` lines of the object."""
        self._lines_before = lines_before
        self._search_start = 0
        self._last = None

    def _find(self, chunk: bytes, line: bytes) -> int:
        start: int = find(chunk, line, self._search_start)
        while start >= 0 and not _is_line(chunk, start, start + len(line)):
            start = find(chunk, line, start + 1)
        return max(start, 0)


def _is_line(chunk: bytes, start: int, end: int) -> bool:
    return (not start or chunk[start - 1 : start] == b"\n") and chunk[end : end + 1] in (b"", b"\n")
