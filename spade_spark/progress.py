"""Progress of a run, as values for a display. A display has no effect on the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from types import TracebackType


@dataclass(frozen=True)
class TransformProgress:
    """The progress of all tasks.

    Attributes:
        partitions: Number of finished partitions.
        objects: Number of objects read.
        bytes_in: Number of compressed bytes read.
        rows: Number of rows written.
        running: Number of running partitions.
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
    """A phase of one table's load or undo. Displays show its value."""

    STAGING = "staging"
    REPLACING = "replacing"
    WAITING = "waiting to retry"
    LOADED = "loaded"
    LOADED_BEFORE = "already loaded"
    NOT_LOADED = "not loaded"
    UNDONE = "undone"
    UNDONE_BEFORE = "already undone"
    NOT_UNDONE = "not undone"


@dataclass(frozen=True)
class LoadProgress:
    """The phase of one table's load or undo.

    Attributes:
        table: The table's name.
        phase: The phase.
        note: Row counts, or the reason for a wait or a failure.
    """

    table: str
    phase: LoadPhase
    note: str = ""

    @property
    def text(self) -> str:
        """The phase and its note, such as ``loaded (2 rows deleted, 3 inserted)``."""
        return f"{self.phase.value} ({self.note})" if self.note else self.phase.value


_LOG = logging.getLogger(__name__)


class DisplayGuard:
    """Suppress and log the errors of a display in a ``with`` block.

    A guard can be used for several blocks. It logs the first failure as a warning and later ones
    at level DEBUG, since a display that is updated often may fail each time.
    """

    def __init__(self) -> None:
        self._level = logging.WARNING

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Log and suppress an error, except an interrupt."""
        # rich raises SystemExit when the terminal or pipe is closed.
        if not isinstance(error, Exception | SystemExit):
            return False
        name = type(error).__name__
        _LOG.log(
            self._level, "the progress display failed (%s: %s); the command continues", name, error
        )
        self._level = logging.DEBUG
        return True
