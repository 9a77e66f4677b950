"""The loads and undos in the replay log, read only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from spade_spark.errors import AlreadyLoadedError, GuardError, WarehouseError
from spade_spark.runs.paths import QUARANTINE, UNDO
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers
from spade_spark.warehouse.target_rows import TargetRows
from spade_spark.window import PACIFIC, Window

_UNDEFINED = ("42P01", "3F000")  # SQLSTATE: undefined table, undefined schema
_UNDEFINED_COLUMN = "42703"  # SQLSTATE


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
        after = self.rows_after
        return self.deleted if after is None else after - self.inserted + self.deleted

    @property
    def rows_after(self) -> int | None:
        """The number of rows in the window afterwards; None without a fingerprint."""
        after = self.fingerprint.partition(":")[0]
        return int(after) if after else None

    @property
    def is_undo(self) -> bool:
        """Whether this is an undo."""
        return self.run_tag.startswith(UNDO)

    def overlaps(self, other: ReplayLogRow) -> bool:
        """Whether both are of one table, and their windows overlap."""
        return self.table == other.table and self.start <= other.end and other.start <= self.end


def select_history(
    control: str, table: str = "", columns: Sequence[str] = replay_log.COLUMNS
) -> Sql:
    """Return the query for the rows of the replay log, or only those of a table, oldest first."""
    of_table = Sql(' WHERE "table_name" = ', Literal(table)) if table else Sql()
    return Sql(
        "SELECT ",
        identifiers(columns),
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
    columns: Sequence[str] = replay_log.COLUMNS
    try:
        rows = session.rows(select_history(control, table))
    except StatementError as error:
        if error.sqlstate in _UNDEFINED:
            return ()
        if error.sqlstate != _UNDEFINED_COLUMN:
            raise
        columns = _columns_of_older_version(session, control)
        rows = session.rows(select_history(control, table, columns))
    return tuple(_row(dict(zip(columns, row, strict=True))) for row in rows)


def _columns_of_older_version(session: Session, control: str) -> list[str]:
    """Return the columns to read from a replay log that lacks added columns."""
    existing = information_schema.columns(session, control, replay_log.TABLE_NAME)
    present = {column.name for column in existing}
    return [
        column
        for column in replay_log.COLUMNS
        if column in present or column not in replay_log.ADDED_COLUMNS
    ]


def _row(values: Mapping[str, Any]) -> ReplayLogRow:
    """Return a row of the replay log. Columns that the first version did not have are empty."""
    return ReplayLogRow(
        run_tag=values["run_tag"],
        table=values["table_name"],
        start=values["window_start"],
        end=values["window_end"],
        deleted=values["rows_deleted"],
        inserted=values["rows_inserted"],
        at=values["ts"].replace(tzinfo=timezone.utc),
        backup=values.get("backup", ""),
        fingerprint=values.get("fingerprint", ""),
        checksum=values["manifest_checksum"],
    )


def next_log_time(history: Sequence[ReplayLogRow]) -> datetime:
    """Return the current time, or a later one: after every time in a table's history.

    The clock of the machine that wrote the latest row may be ahead.

    Args:
        history: All rows of the table in the replay log, read while the table is locked.

    Returns:
        The time as the column ``ts`` holds it: UTC, without time zone.

    Raises:
        WarehouseError: No time is later than the latest one.
    """
    now = datetime.now(timezone.utc)
    last = max((row.at for row in history), default=None)
    try:
        at = max(now, last + timedelta(microseconds=1)) if last else now
    except OverflowError:
        table = next(row.table for row in history if row.at == last)
        raise WarehouseError(
            f"{table} was not modified: the replay log has a row with the last possible time, "
            f"{last:%Y-%m-%d}: find out who wrote it, and correct its column ts"
        ) from None
    return at.replace(tzinfo=None)


class LoadHistory:
    """The rows of the replay log, with each undo matched to the load that it undid.

    An undo row does not name the load that it undid. It has the load's table and window, and its
    run tag is ``undo-`` and the load's. It undid the newest earlier load with these that was not
    undone at that time: the loads of one window are a stack. An undo can itself be undone, and is
    then matched in the same way.

    Attributes:
        rows: The rows, the oldest first.
    """

    def __init__(self, rows: Iterable[ReplayLogRow]) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: row.at))
        self._by_table: defaultdict[str, list[ReplayLogRow]] = defaultdict(list)
        self._by_window: defaultdict[_WindowKey, list[ReplayLogRow]] = defaultdict(list)
        self._undos: defaultdict[ReplayLogRow, list[ReplayLogRow]] = defaultdict(list)
        self._last_use_of_backup = {row.backup: row for row in self.rows if row.backup}
        for row in self.rows:
            undone = row.is_undo and self.target_of_undo(row.run_tag.removeprefix(UNDO), row)
            if undone:
                self._undos[undone].append(row)
            self._by_table[row.table].append(row)
            self._by_window[row.run_tag, row.table, row.start, row.end].append(row)

    def undo_of(self, row: ReplayLogRow) -> ReplayLogRow | None:
        """Return the undo of ``row`` that is in effect: that has not been undone itself."""
        undos = self._undos.get(row, ())
        return next((undo for undo in undos if self.undo_of(undo) is None), None)

    def target_of_undo(self, run_tag: str, row: ReplayLogRow) -> ReplayLogRow | None:
        """Return what an undo of ``run_tag`` in the table and window of ``row`` would undo."""
        rows = self._by_window.get((run_tag, row.table, row.start, row.end), ())
        return next((other for other in reversed(rows) if self.undo_of(other) is None), None)

    def loads(self, run_tag: str, table: str) -> list[ReplayLogRow]:
        """Return all loads of a run tag into a table, the oldest first."""
        return [row for row in self._by_table.get(table, ()) if row.run_tag == run_tag]

    def later_changes(self, row: ReplayLogRow) -> list[ReplayLogRow]:
        """Return later loads and undos in effect whose windows overlap that of ``row``.

        A load that was undone later is left out, and so is its undo: together they changed nothing.
        """
        rows = self._by_table.get(row.table, ())
        later = [change for change in rows if change.at > row.at and change.overlaps(row)]
        undone = {change: undo for change in later if (undo := self.undo_of(change))}
        cancelled = {*undone, *undone.values()}
        return [change for change in later if change not in cancelled]

    def next_use_of_backup(self, row: ReplayLogRow) -> ReplayLogRow | None:
        """Return the newest load or undo with a backup of the same name, if it is a later one.

        The backup is then not that of ``row``. Older versions of this program used the name of a
        backup again after it was dropped.
        """
        newest = self._last_use_of_backup.get(row.backup, row)
        return newest if newest.at > row.at else None

    def of_table(self, table: str) -> LoadHistory:
        """Return the history of one table."""
        return LoadHistory(self._by_table.get(table, ()))

    def with_undo(self, row: ReplayLogRow) -> LoadHistory:
        """Return the history as it will be after an undo of ``row``."""
        at = self.rows[-1].at + timedelta(microseconds=1)
        undo = replace(row, run_tag=UNDO + row.run_tag, at=at, backup="")
        return LoadHistory((*self.rows, undo))


_WindowKey = tuple[str, str, datetime, datetime]
"""Run tag, table, START and END."""


@dataclass(frozen=True)
class UndoStep:
    """One load that is to be undone.

    Attributes:
        load: The load.
        history: The replay log, as it is right before this step.
        newer: The loads that the same command undoes first.
    """

    load: ReplayLogRow
    history: LoadHistory
    newer: tuple[ReplayLogRow, ...] = ()

    @property
    def is_covered(self) -> bool:
        """Whether a newer load still covers rows of this one, until it is undone."""
        return any(self.load.overlaps(load) for load in self.newer)


def undo_steps(history: LoadHistory, run_tag: str, table: str) -> tuple[UndoStep, ...]:
    """Return the loads that an undo of ``run_tag`` undoes in a table, the newest first.

    These are its loads that are not undone. An undo whose load was repeated afterwards is left
    out, unless it is the newest: the repeated load has replaced the rows that it restored, and the
    undo of a later undo brings the repeated load back.
    """
    planned = history.of_table(table)
    loads = planned.loads(run_tag, table)
    steps: list[UndoStep] = []
    for load in reversed(loads):
        if planned.undo_of(load):
            continue
        later = {change.run_tag for change in planned.later_changes(load)}
        # Either its load was repeated, or a newer undo is left out and keeps this one from being
        # undone.
        left_out = run_tag.removeprefix(UNDO) in later or run_tag in later
        if run_tag.startswith(UNDO) and left_out and load is not loads[-1]:
            continue
        steps.append(UndoStep(load, planned, tuple(step.load for step in steps)))
        planned = planned.with_undo(load)
    return tuple(steps)


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
    matched = LoadHistory(history)
    loads = matched.loads(rows.run_tag, rows.table)
    if not loads:
        return None
    reasons = [
        _difference(load, rows, checksum) or _reason_not_in_effect(load, matched) for load in loads
    ]
    for load, reason in zip(loads, reasons, strict=True):
        if not reason:  # not always the latest: each part of a window can be loaded on its own
            return load
    raise AlreadyLoadedError(
        f"{rows.table} was not modified: run tag {rows.run_tag} was already loaded, at "
        f"{loads[-1].at:%Y-%m-%d %H:%M:%S} UTC ({control}.{replay_log.TABLE_NAME}), but "
        f"{reasons[-1]}; use --force to load it again"
    )


def _difference(load: ReplayLogRow, rows: TargetRows, checksum: str) -> str:
    """Say how the load differs from the requested one; empty if it does not."""
    if load.checksum != checksum:
        return "from other files than the run has now"
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        return f"only for {load.window}, not for all of {rows.window}"
    return ""


def _reason_not_in_effect(load: ReplayLogRow, history: LoadHistory) -> str:
    """Say why the load is no longer in effect; empty if it is."""
    undone = history.undo_of(load)
    if undone:
        return f"was undone at {undone.at:%Y-%m-%d %H:%M:%S} UTC"
    # A replay of the run's own quarantine only adds rows.
    added = load.run_tag + QUARANTINE
    changes = [row for row in history.later_changes(load) if row.run_tag != added]
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
    matched = LoadHistory(history)
    load = next(reversed(matched.loads(run_tag, rows.table)), None)
    if load is None:
        raise GuardError(
            f"{prefix}: rows can only be added to those of run tag {run_tag}, which was not "
            f"loaded; load it first, with --skip-transform --runtag {run_tag}"
        )
    undone = matched.undo_of(load)
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
    changes = [row for row in matched.later_changes(load) if row.run_tag != rows.run_tag]
    if changes:
        by = ", ".join(f"{row.run_tag} ({row.at:%Y-%m-%d %H:%M:%S} UTC)" for row in changes)
        raise GuardError(
            f"{prefix}: its window was replaced after run tag {run_tag} was loaded (by {by}). That "
            "may already have added these rows; use --force to add them anyway"
        )
