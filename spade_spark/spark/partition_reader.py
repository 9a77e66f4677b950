"""The objects of one partition as chunks of lines, in whichever form they are archived."""

from __future__ import annotations

from typing import BinaryIO

from spade_spark.runs.audit_counts import Ledger
from spade_spark.sources.glob_archive import GlobLines, Repeats
from spade_spark.sources.gzip_lines import ObjectLines
from spade_spark.spark.broadcast_context import Job


class Inputs:
    """Opens the objects of one partition, and knows the globs in them that were read before."""

    def __init__(self, job: Job) -> None:
        self._of_globs = job.settings.input.form == "globs" and not job.again
        self._repeats = Repeats()

    def lines(self, stream: BinaryIO, key: str) -> ObjectLines | GlobLines:
        """The lines of the object ``key``."""
        if self._of_globs:
            return GlobLines(stream, key, self._repeats)
        return ObjectLines(stream, key)


def counted(lines: ObjectLines | GlobLines) -> Ledger:
    """What was read of one object, beside the lines that were handed out."""
    read = Ledger(objects=1, bytes_in=lines.bytes_in, bytes_inflated=lines.bytes_inflated)
    if isinstance(lines, ObjectLines):
        return read
    return read + Ledger(
        lines=lines.repeated,
        globs=lines.globs,
        repeated_globs=lines.repeated_globs,
        repeated=lines.repeated,
    )
