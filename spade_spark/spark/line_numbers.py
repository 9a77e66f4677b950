"""Where in an object a line stood, found out only for the few that are asked for."""

from __future__ import annotations

from stringzilla import count, find

from spade_spark.transform.output_buffer import QuarantinedLine
from spade_spark.writers import quarantine


class LineNumberFinder:
    """The lines of one object, chunk by chunk, as they were before the prefilter.

    Counting every line would cost the many for the few, so a kept line is searched for in its
    chunk. Kept lines come in their order, and so the search goes on where the last one ended.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._lines = 0
        self._from = self._at = 0
        self._last: bytes | None = None

    def number_of(self, chunk: bytes, kept: QuarantinedLine) -> bytes:
        """The quarantine's JSON line of ``backup_rows``, a line of ``chunk``."""
        if kept.line is not self._last:  # several events of one line come one after the other
            self._at = self._start(chunk, kept.line)
            self._from = self._at + len(kept.line)
            self._last = kept.line
        number = self._lines + count(chunk, b"\n", 0, self._at) + 1
        return quarantine.encode(kept, self._key, number)

    def advance(self, lines: int) -> None:
        """Goes on to the next chunk, before which the object has so many lines."""
        self._lines = lines
        self._from = 0
        self._last = None

    def _start(self, chunk: bytes, line: bytes) -> int:
        at: int = find(chunk, line, self._from)
        while at >= 0 and not _is_line(chunk, at, at + len(line)):
            at = find(chunk, line, at + 1)
        return max(at, 0)


def _is_line(chunk: bytes, start: int, end: int) -> bool:
    return (not start or chunk[start - 1 : start] == b"\n") and chunk[end : end + 1] in (b"", b"\n")
