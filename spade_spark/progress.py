"""Progress of a run, as values for a display. A display has no effect on the run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class TransformProgress:
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

    def __add__(self, other: TransformProgress) -> TransformProgress:
        return TransformProgress(
            self.partitions + other.partitions,
            self.objects + other.objects,
            self.bytes_in + other.bytes_in,
            self.rows + other.rows,
            self.running + other.running,
        )


class LoadPhase(Enum):
    """A phase of one table's load or undo. The value is the text that displays show."""

    STAGING = "staging"
    REPLACING = "replacing"
    WAITING = "waiting"
    """Before a retry."""
    LOADED = "loaded"
    LOADED_BEFORE = "loaded before"
    NOT_LOADED = "not loaded"
    UNDONE = "undone"
    UNDONE_BEFORE = "undone before"
    NOT_UNDONE = "not undone"


@dataclass(frozen=True)
class LoadProgress:
    """A table enters a phase of its load or undo.

    Attributes:
        table: The table's name.
        phase: The phase.
        note: Details: row counts, or the reason for a wait or a failure.
    """

    table: str
    phase: LoadPhase
    note: str = ""
