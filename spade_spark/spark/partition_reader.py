"""The objects of one partition as chunks of lines, in whichever form they are archived."""

from __future__ import annotations

from typing import BinaryIO

from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.sources.glob_archive import GlobDeduplicator, GlobReader
from spade_spark.sources.gzip_lines import ObjectLines
from spade_spark.spark.broadcast_context import BroadcastContext


class PartitionReader:
    """Opens the objects of one partition, and knows the globs in them that were read before."""

    def __init__(self, job: BroadcastContext) -> None:
        self._of_globs = job.settings.input.form == "globs" and not job.from_quarantine
        self._repeats = GlobDeduplicator()

    def lines(self, stream: BinaryIO, key: str) -> ObjectLines | GlobReader:
        """The lines of the object ``key``."""
        if self._of_globs:
            return GlobReader(stream, key, self._repeats)
        return ObjectLines(stream, key)


def read_counts(lines: ObjectLines | GlobReader) -> AuditCounts:
    """What was read of one object, beside the lines that were handed out."""
    read = AuditCounts(objects=1, bytes_in=lines.bytes_in, bytes_inflated=lines.bytes_inflated)
    if isinstance(lines, ObjectLines):
        return read
    return read + AuditCounts(
        lines=lines.repeated,
        globs=lines.globs,
        repeated_globs=lines.repeated_globs,
        repeated=lines.repeated,
    )
