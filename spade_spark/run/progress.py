"""How far a run is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """What the tasks have done so far.

    Attributes:
        partitions: Partitions done.
        objects: Objects read.
        bytes_in: Compressed bytes read.
        rows: Rows written.
        running: Partitions being worked on.
    """

    partitions: int = 0
    objects: int = 0
    bytes_in: int = 0
    rows: int = 0
    running: int = 0

    def __add__(self, other: Progress) -> Progress:
        return Progress(
            self.partitions + other.partitions,
            self.objects + other.objects,
            self.bytes_in + other.bytes_in,
            self.rows + other.rows,
            self.running + other.running,
        )
