"""What the replay ledger in the warehouse says of all loads and undos; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from spade_spark.errors import AlreadyLoadedError, GuardError
from spade_spark.runs.paths import QUARANTINE, UNDO
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.sql import Identifier, Sql, identifiers
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
    """One table's window that was replaced.

    Attributes:
        run_tag: The run that was loaded; of an undo ``undo-`` and what was undone.
        table: The table's name, as in Blueprint.
        start: START as the time column holds it.
        end: END as the time column holds it.
        deleted: Rows deleted.
        inserted: Rows inserted.
        at: When, UTC.
        backup: Where the rows deleted are kept; empty for nowhere.
        fingerprint: Of the window's rows when it was done; empty where it was not taken.
        checksum: SHA-256 (hex) of the manifest loaded; empty for an undo.
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
        """The window that was replaced."""
        return Window(self.start.replace(tzinfo=PACIFIC), self.end.replace(tzinfo=PACIFIC, fold=1))

    @property
    def before(self) -> int:
        """Rows in the window before, which are those that were kept.

        After it there were ``before - deleted + inserted``, and how many that were stands in the
        fingerprint. Without one all rows of the window were deleted.
        """
        after = self.fingerprint.partition(":")[0]
        return int(after) - self.inserted + self.deleted if after else self.deleted

    @property
    def is_undo(self) -> bool:
        """Whether it put rows back."""
        return self.run_tag.startswith(UNDO)

    def overlaps(self, other: ReplayLogRow) -> bool:
        """Whether both replaced rows of one table, and their windows have a second in common."""
        return self.table == other.table and self.start <= other.end and other.start <= self.end


def replay_log_rows(session: Session, control: str) -> tuple[ReplayLogRow, ...]:
    """All rows of the replay ledger, the oldest first; none where no replay was ever loaded.

    Args:
        session: Where to look.
        control: The schema of the control tables.
    """
    statement = Sql(
        "SELECT ",
        identifiers(_COLUMNS),
        " FROM ",
        Identifier(control, replay_log.NAME),
        ' ORDER BY "ts"',
    )
    try:
        rows = session.rows(statement)
    except StatementError as refusal:
        if refusal.sqlstate in _UNDEFINED:
            return ()
        raise
    return tuple(
        ReplayLogRow(
            tag, table, start, end, deleted, inserted, ts.replace(tzinfo=timezone.utc), *more
        )
        for tag, table, start, end, deleted, inserted, ts, *more in rows
    )


def latest_load(rows: Iterable[ReplayLogRow], run_tag: str, table: str) -> ReplayLogRow | None:
    """The last load of a run tag into a table."""
    mine = [row for row in rows if (row.run_tag, row.table) == (run_tag, table)]
    return max(mine, key=lambda row: row.at, default=None)


def find_undo(row: ReplayLogRow, rows: Sequence[ReplayLogRow]) -> ReplayLogRow | None:
    """What undid ``row`` and was not undone itself.

    An undo undoes the newest load before it of the run tag that it names.
    """
    for each in rows:
        if each.table != row.table or each.run_tag != UNDO + row.run_tag or each.at <= row.at:
            continue
        before = [other for other in rows if other.at < each.at]
        if latest_load(before, row.run_tag, row.table) == row and find_undo(each, rows) is None:
            return each
    return None


def later_changes(row: ReplayLogRow, rows: Sequence[ReplayLogRow]) -> list[ReplayLogRow]:
    """The later rows of the ledger that stand and have rows in common with ``row``.

    What was undone does not stand, and its undo, if that is later too, changed nothing in the end.
    """
    later = [each for each in rows if each.at > row.at and each.overlaps(row)]
    undone = {each: undo for each in later if (undo := find_undo(each, rows))}
    return [each for each in later if each not in undone and each not in undone.values()]


def find_completed_load(session: Session, rows: TargetRows, checksum: str) -> ReplayLogRow | None:
    """The load that did before what is asked for now; None where there was none.

    Args:
        session: Where to look: beforehand, and again under the ledger's lock.
        rows: What is to be loaded.
        checksum: Of the manifest that is to be loaded.

    Raises:
        AlreadyLoadedError: The ledger has the run tag, but that load does not stand, or was
            another.
    """
    control = rows.schemas.control
    if not session.rows(rows.log_key.select()):
        return None
    history = replay_log_rows(session, control)
    load = latest_load(history, rows.run_tag, rows.table)
    assert load is not None  # the ledger has the run tag
    why = _difference(load, rows, checksum) or _end(load, history)
    if why:
        raise AlreadyLoadedError(
            f"{rows.table} has run tag {rows.run_tag} already, loaded at "
            f"{load.at:%Y-%m-%d %H:%M:%S} UTC ({control}.{replay_log.NAME}), but {why}; it was not "
            "modified: use --force to load it again"
        )
    return load


def _difference(load: ReplayLogRow, rows: TargetRows, checksum: str) -> str:
    """What was loaded that is not what is asked for; empty where it is."""
    if load.checksum != checksum:
        return "from other files than the run has now"
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        return f"for {load.window} alone, not for all of {rows.window}"
    return ""


def _end(load: ReplayLogRow, history: Sequence[ReplayLogRow]) -> str:
    """What ended the load; empty where it stands."""
    undone = find_undo(load, history)
    if undone:
        return f"that was undone at {undone.at:%Y-%m-%d %H:%M:%S} UTC"
    # What was tried again from the run's own quarantine was added to it.
    added = load.run_tag + QUARANTINE
    changes = [row for row in later_changes(load, history) if row.run_tag != added]
    if not changes:
        return ""
    by = ", ".join(f"{each.run_tag} ({each.at:%Y-%m-%d %H:%M:%S} UTC)" for each in changes)
    return f"its window was replaced since, by {by}"


def check_append_target(session: Session, rows: TargetRows, run_tag: str) -> None:
    """Refuses to add rows to the window that ``run_tag`` loaded unless that load stands.

    Args:
        session: Where to look: beforehand, and again under the ledger's lock.
        rows: The window that rows are added to, under the run tag of the addition.
        run_tag: The run whose quarantine the rows come from.

    Raises:
        GuardError: The load is not there, was undone, is of another window, or was replaced.
    """
    left = f"{rows.table} was left as it was"
    history = replay_log_rows(session, rows.schemas.control)
    load = latest_load(history, run_tag, rows.table)
    if load is None:
        raise GuardError(
            f"{left}: run tag {run_tag} was not loaded into it, so there is nothing to add to: "
            f"load it first, with --skip-transform --runtag {run_tag}"
        )
    undone = find_undo(load, history)
    if undone:
        raise GuardError(f"{left}: run tag {run_tag} was undone, at {undone.at} UTC")
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        raise GuardError(
            f"{left}: run tag {run_tag} was loaded for {load.window} alone, not for all of "
            f"{rows.window}: what is outside cannot be added; replay the whole window again"
        )
    changes = [row for row in later_changes(load, history) if row.run_tag != rows.run_tag]
    if changes:
        by = ", ".join(f"{each.run_tag} ({each.at:%Y-%m-%d %H:%M:%S} UTC)" for each in changes)
        raise GuardError(
            f"{left}: its window was replaced since run tag {run_tag} was loaded, by {by}, which "
            "may have brought these rows already; --force adds them all the same"
        )
