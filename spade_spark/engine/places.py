"""Where in an object a line stood, found out only for the few that are asked for."""

from __future__ import annotations

from spade_spark.output import quarantine
from spade_spark.transform.drained import Kept


class Places:
    """The lines of one object, chunk by chunk, as they were before the prefilter.

    Counting every line would cost the many for the few, so a kept line is searched for in its
    chunk. Kept lines come in their order, and so the search goes on where the last one ended.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._lines = 0
        self._from = 0

    def find(self, chunk: bytes, kept: Kept) -> bytes:
        """The quarantine's JSON line of ``kept``, a line of ``chunk``."""
        at = self._start(chunk, kept.line)
        self._from = at
        before = chunk[:at]
        number = len(before) - len(before.replace(b"\n", b"")) + 1  # in a quarter of count's time
        return quarantine.encode(kept, self._key, self._lines + number)

    def passed(self, lines: int) -> None:
        """Goes on to the next chunk, before which the object has so many lines."""
        self._lines = lines
        self._from = 0

    def _start(self, chunk: bytes, line: bytes) -> int:
        at = chunk.find(line, self._from)
        while at > 0 and chunk[at - 1 : at] != b"\n":
            at = chunk.find(line, at + 1)
        return max(at, 0)
