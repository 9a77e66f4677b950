"""The input and the results of table loads and undos."""

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
        rows: Number of rows.
        sha256: SHA-256 (hex) of the compressed bytes.
        etag: The ETag after the upload; empty if it is not known.
    """

    url: str
    size: int
    rows: int
    sha256: str
    etag: str = ""


@dataclass(frozen=True)
class TableFiles:
    """The files of one table in a run's manifest.

    Attributes:
        table: The table's name, as in Blueprint.
        version: The Blueprint version of the rows.
        columns: The outbound names, in the order of the rows.
        files: The files.
        copy_manifest: URL of the COPY manifest of the files.
        checksum: SHA-256 (hex) of the run's manifest, for the replay log.
    """

    table: str
    version: int
    columns: tuple[str, ...]
    files: tuple[LoadFile, ...]
    copy_manifest: str
    checksum: str

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class TableLoaded:
    """A table whose window was replaced.

    Attributes:
        table: The table's name.
        before: Rows in the window before the load.
        staged: Rows in the staging table.
        outside: Staged rows outside the window, which were not inserted.
        deleted: Rows deleted.
        inserted: Rows inserted.
        seconds: Duration.
        truncated: Number of values truncated to their column's length, by column.
        write_lock_seconds: How long other writers of the table had to wait on Redshift: from the
            start of the DELETE to the end of the COMMIT. None on PostgreSQL, where they do
            not wait, and in records of older versions.
    """

    table: str
    before: int
    staged: int
    outside: int
    deleted: int
    inserted: int
    seconds: float
    truncated: dict[str, int] = field(default_factory=dict)
    write_lock_seconds: float | None = None


@dataclass(frozen=True)
class LoadFailed:
    """A table whose load or undo failed. It was not modified, unless ``unknown`` is set.

    Attributes:
        table: The table's name.
        reason: What happened and what to do next, in full sentences.
        unknown: Whether the outcome of the commit is unknown.
    """

    table: str
    reason: str
    unknown: bool = False


@dataclass(frozen=True)
class LoadAlreadyDone:
    """A table that was skipped because an earlier command loaded the same run into it.

    Attributes:
        table: The table's name.
        at: Time of the earlier load, UTC.
        deleted: Rows deleted by the earlier load.
        inserted: Rows inserted by the earlier load.
    """

    table: str
    at: datetime
    deleted: int
    inserted: int


LoadOutcome = TableLoaded | LoadAlreadyDone | LoadFailed
"""The result of loading one table."""


@dataclass(frozen=True)
class UndoSucceeded:
    """A load that was undone: its window was restored to the state before it.

    Attributes:
        table: The table's name.
        window: The window as text.
        deleted: Rows of the load that were deleted.
        inserted: Rows that were restored.
        backup: The backup table of the deleted rows; empty if there is none.
        seconds: Duration.
        loaded_at: When the load that was undone was committed, UTC.
    """

    table: str
    window: str
    deleted: int
    inserted: int
    backup: str
    seconds: float
    loaded_at: datetime | None = None


@dataclass(frozen=True)
class UndoAlreadyDone:
    """A table that was skipped because an earlier undo restored its rows.

    Attributes:
        table: The table's name.
    """

    table: str


@dataclass(frozen=True)
class TableMaintenance:
    """What a table needs after many of its rows were replaced.

    Attributes:
        table: The table's name.
        reason: How many rows have changed.
        advised: The SQL statements that are worth running.
        analyzed: Whether this command has run ANALYZE.
        warning: Why ANALYZE failed; empty if it did not. The rows are not affected.
    """

    table: str
    reason: str
    advised: tuple[str, ...] = ()
    analyzed: bool = False
    warning: str = ""


@dataclass(frozen=True)
class RemainingLoad:
    """A load of an undone run tag that is still in effect.

    Attributes:
        table: The table's name.
        window: The window as text.
        loaded_at: When it was committed, UTC.
        inserted: Rows inserted.
    """

    table: str
    window: str
    loaded_at: datetime
    inserted: int


UndoOutcome = UndoSucceeded | UndoAlreadyDone | LoadFailed
"""The result of undoing one load of a table."""


@dataclass(frozen=True)
class BackupInfo:
    """A backup of the rows that a load or an undo replaced.

    Attributes:
        run_tag: The tag of the load or undo.
        table: The table that the rows were in.
        backup: The backup table, ``schema.name``.
        rows: Number of rows.
        size: Bytes; None if the warehouse does not report it.
        at: When the backup was created, UTC.
    """

    run_tag: str
    table: str
    backup: str
    rows: int
    size: int | None
    at: datetime


@dataclass(frozen=True)
class LoadRecord:
    """The result of one load of a run, stored below the run tag.

    It is written after the load. If the driver dies in between, only the replay log has the load.

    Attributes:
        at: End of the load, UTC.
        warehouse: ``host:port/database``.
        window: ``(START, END)`` with offsets: the run's window or a part of it.
        loaded: The tables whose window was replaced.
        not_loaded: The tables whose load failed.
    """

    at: datetime
    warehouse: str
    window: tuple[str, str]
    loaded: tuple[TableLoaded, ...]
    not_loaded: tuple[LoadFailed, ...]

    @classmethod
    def of(cls, loads: Iterable[LoadOutcome], window: Window, warehouse: str) -> LoadRecord:
        """Create the record of a load that has just ended."""
        outcomes = tuple(loads)
        return cls(
            at=datetime.now(timezone.utc),
            warehouse=warehouse,
            window=window.arguments,
            loaded=tuple(load for load in outcomes if isinstance(load, TableLoaded)),
            not_loaded=tuple(load for load in outcomes if isinstance(load, LoadFailed)),
        )
