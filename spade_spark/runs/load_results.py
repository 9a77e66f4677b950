"""What is to be loaded into one table, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from spade_spark.window import Window


@dataclass(frozen=True)
class LoadFile:
    """One gzip TSV file of the manifest.

    Attributes:
        url: ``s3://bucket/key`` or a path.
        size: Compressed bytes.
        rows: Rows in it.
    """

    url: str
    size: int
    rows: int


@dataclass(frozen=True)
class TableFiles:
    """All files of one table and version that a run's manifest names.

    Attributes:
        table: The table's name, as in Blueprint.
        version: The Blueprint version that the rows were made by.
        columns: The outbound names, in the order of the rows' values.
        files: The files that count.
        copy_manifest: URL of Redshift's own manifest of the same files.
        checksum: SHA-256 (hex) of the run's manifest, for the replay ledger.
    """

    table: str
    version: int
    columns: tuple[str, ...]
    files: tuple[LoadFile, ...]
    copy_manifest: str
    checksum: str

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class TableLoaded:
    """One table's window, replaced.

    Attributes:
        table: The table's name.
        before: Rows in the window before.
        staged: Rows that COPY brought.
        outside: Staged rows outside the window, not inserted.
        deleted: Rows deleted.
        inserted: Rows inserted.
        seconds: Time taken.
        truncated: Values cut to their column's length, by column.
    """

    table: str
    before: int
    staged: int
    outside: int
    deleted: int
    inserted: int
    seconds: float
    truncated: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadFailed:
    """One table that was left as it was.

    Attributes:
        table: The table's name.
        reason: What happened and what to do next, whole sentences.
        unknown: Whether a commit's outcome could not be found out.
    """

    table: str
    reason: str
    unknown: bool = False


@dataclass(frozen=True)
class LoadAlreadyDone:
    """One table that an earlier command loaded the same run into, and that was left as it was.

    Attributes:
        table: The table's name.
        at: When, UTC.
        deleted: Rows deleted then.
        inserted: Rows inserted then.
    """

    table: str
    at: datetime
    deleted: int
    inserted: int


LoadOutcome = TableLoaded | LoadAlreadyDone | LoadFailed
"""What came of one table's load."""


@dataclass(frozen=True)
class UndoSucceeded:
    """One table's window, as it was before a load.

    Attributes:
        table: The table's name.
        window: The window, in words.
        deleted: Rows deleted: what the load had put there.
        inserted: Rows put back.
        backup: Where the rows deleted are kept; empty for nowhere.
        seconds: Time taken.
    """

    table: str
    window: str
    deleted: int
    inserted: int
    backup: str
    seconds: float


@dataclass(frozen=True)
class UndoAlreadyDone:
    """One table of which an earlier undo put the rows back, and that was left as it was.

    Attributes:
        table: The table's name.
    """

    table: str


UndoOutcome = UndoSucceeded | UndoAlreadyDone | LoadFailed
"""What came of one table's undo."""


@dataclass(frozen=True)
class BackupInfo:
    """Rows that a load or an undo replaced, and that are kept.

    Attributes:
        run_tag: The run, or the undo.
        table: The table that they were in.
        backup: The table that they are in: ``schema.name``.
        rows: How many.
        size: Bytes; None where the warehouse does not tell.
        at: Since when, UTC.
    """

    run_tag: str
    table: str
    backup: str
    rows: int
    size: int | None
    at: datetime


@dataclass(frozen=True)
class LoadRecord:
    """What one load of a run came to, as it is kept under the run tag.

    It is written after the load: where the driver died in between, the warehouse's replay ledger
    alone knows of it.

    Attributes:
        at: When it ended, UTC.
        warehouse: Where the tables are: ``host:port/database``.
        window: ``(START, END)`` with offsets: all of the run's window, or a part.
        loaded: The tables whose window was replaced.
        not_loaded: The tables that were left as they were.
    """

    at: datetime
    warehouse: str
    window: tuple[str, str]
    loaded: tuple[TableLoaded, ...]
    not_loaded: tuple[LoadFailed, ...]

    @classmethod
    def of(cls, loads: Iterable[LoadOutcome], window: Window, warehouse: str) -> LoadRecord:
        """The record of a load that has just ended."""
        every = tuple(loads)
        return cls(
            at=datetime.now(timezone.utc),
            warehouse=warehouse,
            window=window.arguments,
            loaded=tuple(each for each in every if isinstance(each, TableLoaded)),
            not_loaded=tuple(each for each in every if isinstance(each, LoadFailed)),
        )
