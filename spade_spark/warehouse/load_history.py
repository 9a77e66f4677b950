"""The loads and undos in the replay log, read only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from spade_spark.errors import AlreadyLoadedError, GuardError
from spade_spark.runs.paths import QUARANTINE, UNDO
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers
from spade_spark.warehouse.target_rows import TargetRows
from spade_spark.window import PACIFIC, Window

_COLUMNS = (
    "run_tag",
    "table_name",
    "window_start",
    "window_end",
    "rows_deleted",
    "rows_inserted",
    "ts",
    "backup",
    "fingerprint",
    "manifest_checksum",
)
_UNDEFINED = ("42P01", "3F000")  # SQLSTATE: undefined table, undefined schema


@dataclass(frozen=True)
class ReplayLogRow:
    """One load or undo of a table.

    Attributes:
        run_tag: The run tag; of an undo ``undo-`` and the run tag undone.
        table: The table's name, as in Blueprint.
        start: The window's START as the time column holds it.
        end: The window's END as the time column holds it.
        deleted: The number of rows deleted.
        inserted: The number of rows inserted.
        at: The time, UTC.
        backup: The backup of the replaced rows; empty if there is none.
        fingerprint: Of the window's rows afterwards; empty if it was not computed.
        checksum: SHA-256 (hex) of the run's manifest; empty for an undo.
    """

    run_tag: str
    table: str
    start: datetime
    end: datetime
    deleted: int
    inserted: int
    at: datetime
    backup: str = ""
    fingerprint: str = ""
    checksum: str = ""

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.start.replace(tzinfo=PACIFIC), self.end.replace(tzinfo=PACIFIC, fold=1))

    @property
    def rows_before(self) -> int:
        """The number of rows in the window before, which the backup has too.

        The fingerprint starts with the number of rows afterwards. Without a fingerprint, all rows
        of the window were deleted.
        """
        after = self.fingerprint.partition(":")[0]
        return int(after) - self.inserted + self.deleted if after else self.deleted

    @property
    def is_undo(self) -> bool:
        """Whether this is an undo."""
        return self.run_tag.startswith(UNDO)

    def overlaps(self, other: ReplayLogRow) -> bool:
        """Whether both are of one table, and their windows overlap."""
        return self.table == other.table and self.start <= other.end and other.start <= self.end


def select_history(control: str, table: str = "") -> Sql:
    """Return the query for the rows of the replay log, or only those of a table, oldest first."""
    of_table = Sql(' WHERE "table_name" = ', Literal(table)) if table else Sql()
    return Sql(
        "SELECT ",
        identifiers(_COLUMNS),
        " FROM ",
        Identifier(control, replay_log.TABLE_NAME),
        of_table,
        ' ORDER BY "ts"',
    )


def replay_log_rows(session: Session, control: str, table: str = "") -> tuple[ReplayLogRow, ...]:
    """Return the rows of the replay log, the oldest first; none if the log does not exist.

    Args:
        session: The session to use.
        control: The schema of the control tables.
        table: The table whose rows to return, as in Blueprint; all tables by default.
    """
    try:
        rows = session.rows(select_history(control, table))
    except StatementError as error:
        if error.sqlstate in _UNDEFINED:
            return ()
        raise
    return tuple(
        ReplayLogRow(
            tag, table, start, end, deleted, inserted, ts.replace(tzinfo=timezone.utc), *more
        )
        for tag, table, start, end, deleted, inserted, ts, *more in rows
    )


def next_log_time(history: Sequence[ReplayLogRow]) -> datetime:
    """Return the current time, or a later one: after every time in a table's history.

    The clock of the machine that wrote the latest row may be ahead.

    Args:
        history: All rows of the table in the replay log, read while the table is locked.

    Returns:
        The time as the column ``ts`` holds it: UTC, without time zone.
    """
    now = datetime.now(timezone.utc)
    last = max((row.at for row in history), default=None)
    at = max(now, last + timedelta(microseconds=1)) if last else now
    return at.replace(tzinfo=None)


def latest_load(rows: Iterable[ReplayLogRow], run_tag: str, table: str) -> ReplayLogRow | None:
    """Return the latest load of a run tag into a table."""
    loads = [row for row in rows if (row.run_tag, row.table) == (run_tag, table)]
    return max(loads, key=lambda row: row.at, default=None)


def find_undo(row: ReplayLogRow, rows: Sequence[ReplayLogRow]) -> ReplayLogRow | None:
    """Return the undo of ``row`` that is in effect: that has not been undone itself.

    An undo refers to the latest earlier load of its run tag.
    """
    for undo in rows:
        if undo.table != row.table or undo.run_tag != UNDO + row.run_tag or undo.at <= row.at:
            continue
        before = [other for other in rows if other.at < undo.at]
        if latest_load(before, row.run_tag, row.table) == row and find_undo(undo, rows) is None:
            return undo
    return None


def later_changes(row: ReplayLogRow, rows: Sequence[ReplayLogRow]) -> list[ReplayLogRow]:
    """Return later loads and undos in effect whose windows overlap that of ``row``.

    A load that was undone later is left out, and so is its undo: together they changed nothing.
    """
    later = [change for change in rows if change.at > row.at and change.overlaps(row)]
    undone = {change: undo for change in later if (undo := find_undo(change, rows))}
    return [change for change in later if change not in undone and change not in undone.values()]


def find_completed_load(
    history: Sequence[ReplayLogRow], rows: TargetRows, checksum: str
) -> ReplayLogRow | None:
    """Return the earlier load that already did the requested one, or None.

    Args:
        history: The rows of the table in the replay log.
        rows: The rows to be loaded.
        checksum: The checksum of the manifest to be loaded.

    Raises:
        AlreadyLoadedError: The run tag was loaded, but from other files or for a smaller window, or
            that load was undone or replaced since.
    """
    control = rows.schemas.control
    load = latest_load(history, rows.run_tag, rows.table)
    if load is None:
        return None
    reason = _difference(load, rows, checksum) or _reason_not_in_effect(load, history)
    if reason:
        raise AlreadyLoadedError(
            f"{rows.table} was not modified: run tag {rows.run_tag} was already loaded, at "
            f"{load.at:%Y-%m-%d %H:%M:%S} UTC ({control}.{replay_log.TABLE_NAME}), but {reason}; "
            "use --force to load it again"
        )
    return load


def _difference(load: ReplayLogRow, rows: TargetRows, checksum: str) -> str:
    """Say how the load differs from the requested one; empty if it does not."""
    if load.checksum != checksum:
        return "from other files than the run has now"
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        return f"only for {load.window}, not for all of {rows.window}"
    return ""


def _reason_not_in_effect(load: ReplayLogRow, history: Sequence[ReplayLogRow]) -> str:
    """Say why the load is no longer in effect; empty if it is."""
    undone = find_undo(load, history)
    if undone:
        return f"was undone at {undone.at:%Y-%m-%d %H:%M:%S} UTC"
    # A replay of the run's own quarantine only adds rows.
    added = load.run_tag + QUARANTINE
    changes = [row for row in later_changes(load, history) if row.run_tag != added]
    if not changes:
        return ""
    by = ", ".join(f"{row.run_tag} ({row.at:%Y-%m-%d %H:%M:%S} UTC)" for row in changes)
    return f"its window was replaced later, by {by}"


def check_append_target(history: Sequence[ReplayLogRow], rows: TargetRows, run_tag: str) -> None:
    """Check that rows can be added to those that ``run_tag`` loaded.

    Args:
        history: The rows of the table in the replay log.
        rows: The rows of the window, under the run tag of the addition.
        run_tag: The run whose quarantine the new rows come from.

    Raises:
        GuardError: The load does not exist, was undone or replaced, or has a smaller window.
    """
    prefix = f"{rows.table} was not modified"
    load = latest_load(history, run_tag, rows.table)
    if load is None:
        raise GuardError(
            f"{prefix}: rows can only be added to those of run tag {run_tag}, which was not "
            f"loaded; load it first, with --skip-transform --runtag {run_tag}"
        )
    undone = find_undo(load, history)
    if undone:
        raise GuardError(
            f"{prefix}: rows can only be added to those of run tag {run_tag}, which was undone at "
            f"{undone.at:%Y-%m-%d %H:%M:%S} UTC; to restore them first: spade-spark undo "
            f"{undone.run_tag}"
        )
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        raise GuardError(
            f"{prefix}: run tag {run_tag} was loaded only for {load.window}, not for all of "
            f"{rows.window}, so rows cannot be added; replay the whole window"
        )
    changes = [row for row in later_changes(load, history) if row.run_tag != rows.run_tag]
    if changes:
        by = ", ".join(f"{row.run_tag} ({row.at:%Y-%m-%d %H:%M:%S} UTC)" for row in changes)
        raise GuardError(
            f"{prefix}: its window was replaced after run tag {run_tag} was loaded (by {by}). That "
            "may already have added these rows; use --force to add them anyway"
        )
