"""Undo a load: restore the rows that it replaced.

An undo is a swap whose rows come from the backup instead of files. It backs up the rows that it
deletes and has its own row in the replay log, under ``undo-TAG``, so it can be undone too.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from spade_spark.errors import (
    AlreadyUndoneError,
    GuardError,
    InternalError,
    WarehouseError,
)
from spade_spark.progress import LoadPhase
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import (
    LoadFailed,
    UndoAlreadyDone,
    UndoOutcome,
    UndoSucceeded,
)
from spade_spark.runs.paths import UNDO
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import information_schema
from spade_spark.warehouse.backup import (
    BackedUpRows,
    BackupTable,
    back_up,
    delete_rows,
    logged_backup,
)
from spade_spark.warehouse.concurrency import (
    LockCheck,
    SessionPool,
    replacing_transaction,
    run_concurrently,
)
from spade_spark.warehouse.connection import Session, UnconfirmedCommitError
from spade_spark.warehouse.control_objects import ensure_control_objects
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import (
    LoadGuards,
    guard_row_count,
    guard_rows_after,
)
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import (
    LoadHistory,
    ReplayLogRow,
    UndoStep,
    next_log_time,
)
from spade_spark.warehouse.retry_policies import TABLE_RETRIES, with_remediation_hint
from spade_spark.warehouse.sql import Sql, identifiers
from spade_spark.warehouse.table_attempts import ProgressCallback, TableAttempts
from spade_spark.warehouse.target_rows import (
    TargetRows,
    WarehouseSchemas,
    read_fingerprint,
    schemas_from_settings,
)

_FORCED = "or use --force to restore the older rows and back up the current ones"


@dataclass(frozen=True)
class UndoPlan:
    """How to undo one load.

    Attributes:
        load: The load's row in the replay log.
        rows: The rows to be replaced, under the undo's own tag.
        backup: The backup with the old rows.
        columns: The backup's columns.
        current_rows: The number of rows in the window. If other loads are undone first, the number
            that the window will then have according to the replay log.
        backup_rows: The number of rows in the backup.
        is_unchecked: Whether the rows of the window can be checked only when other loads are
            undone.
    """

    load: ReplayLogRow
    rows: TargetRows
    backup: BackupTable
    columns: tuple[WarehouseColumn, ...]
    current_rows: int
    backup_rows: int
    is_unchecked: bool = False

    def insert(self) -> Sql:
        """Return the INSERT of the backup; columns added since get their default values."""
        names = identifiers(column.name for column in self.columns)
        return Sql(
            "INSERT INTO ",
            self.rows.target,
            " (",
            names,
            ") SELECT ",
            names,
            " FROM ",
            self.backup.table,
        )

    def backup_fingerprint(
        self, all_columns: Sequence[WarehouseColumn], *, changes_rows: bool
    ) -> Sql | None:
        """Return the query for the fingerprint of the backup.

        Args:
            all_columns: All columns of the target, in its order.
            changes_rows: Whether the target may store other rows than are inserted.

        Returns:
            The query; None if the rows may have another fingerprint once they are restored.
        """
        in_backup = {(column.name, column.type) for column in self.columns}
        fills_all = in_backup == {(column.name, column.type) for column in all_columns}
        can_hash = self.rows.warehouse.hashes_staged_rows(all_columns)
        if not fills_all or changes_rows or not can_hash:
            return None
        source = Sql(self.backup.table, " WHERE ", self.rows.in_window())
        return self.rows.fingerprint_of(source, all_columns)


def plan_undo(
    session: Session,
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    step: UndoStep,
    guards: LoadGuards,
) -> UndoPlan:
    """Plan the undo of a load, if it can be undone. Nothing is changed.

    Args:
        session: The session to use.
        warehouse: The warehouse.
        schemas: The schemas of its tables.
        step: The load and the replay log.
        guards: The limits. ``force`` allows an undo although the window was changed since.

    Raises:
        AlreadyUndoneError: The load was undone before.
        GuardError: The backup has too few rows, or the window was changed since.
        WarehouseError: The backup is missing, or the table lacks one of its columns.
    """
    load = step.load
    _check_not_undone(load, step.history)
    backup = _backup(session, step, warehouse, schemas)
    rows = TargetRows(warehouse, schemas, load.table, load.window, UNDO + load.run_tag)
    columns = _columns(session, rows, backup)
    if not guards.force:
        _check_no_later_changes(step)
    if step.is_covered:
        current_rows = load.inserted if load.rows_after is None else load.rows_after
    else:
        if not guards.force:
            _check_fingerprint(session, load, rows, columns)
        ((current_rows,),) = session.rows(rows.count())
    ((backup_rows,),) = session.rows(backup.count())
    if backup_rows != load.rows_before and not guards.force:
        raise GuardError(
            f"{load.table} was not modified: the backup {backup} had {load.rows_before} rows and "
            f"now has {backup_rows}; use --force to restore those that it has"
        )
    if current_rows or backup_rows:
        guard_row_count(rows, current_rows, backup_rows, guards, source=f"the backup {backup}")
    return UndoPlan(load, rows, backup, columns, current_rows, backup_rows, step.is_covered)


def undo_tables(
    warehouse: Warehouse,
    loads: Sequence[ReplayLogRow],
    settings: WarehouseSettings,
    *,
    guards: LoadGuards,
    verify_lock: LockCheck,
    poolsize: int = 4,
    retries: RetryPolicy | None = None,
    progress: ProgressCallback = lambda progress: None,  # noqa: ARG005 - the default does nothing
) -> tuple[UndoOutcome, ...]:
    """Undo loads, ``poolsize`` tables at a time.

    The loads of one table are undone one after the other, in the order given: the newest first. If
    one fails, the older loads of its table are not undone. ``verify_lock`` is called right before
    each table is changed.

    Returns:
        The outcomes, table by table. A load without an outcome was not undone.

    Raises:
        KeyboardInterrupt: An interrupt, raised after all sessions have rolled back and closed. The
            tables that ``progress`` reported as undone are undone.
        WarehouseError: The schema of backups cannot be created.
        ConnectionLostError: The warehouse does not answer.
    """
    schemas = schemas_from_settings(settings)
    retries = retries or TABLE_RETRIES
    sessions = SessionPool(warehouse.connection_info)
    with with_remediation_hint():
        names = {load.table for load in loads}
        retries.call(lambda: ensure_control_objects(warehouse, schemas, names), stop=sessions.stop)
    tables: dict[str, list[_TableUndo]] = {}
    for load in loads:
        rows = TargetRows(warehouse, schemas, load.table, load.window, UNDO + load.run_tag)
        attempts = TableAttempts(rows, retries, sessions, progress, LoadPhase.NOT_UNDONE)
        undo = _TableUndo(load, guards, attempts, verify_lock)
        tables.setdefault(load.table, []).append(undo)
    tasks: list[Callable[[], list[UndoOutcome]]] = [
        partial(_undo_in_order, undos) for undos in tables.values()
    ]
    outcomes = run_concurrently(tasks, sessions, poolsize)
    return tuple(outcome for of_table in outcomes for outcome in of_table)


def _undo_in_order(undos: Sequence[_TableUndo]) -> list[UndoOutcome]:
    """Undo the loads of one table until one fails."""
    outcomes: list[UndoOutcome] = []
    for undo in undos:
        outcomes.append(undo.run())
        if isinstance(outcomes[-1], LoadFailed):
            break
    return outcomes


@dataclass(frozen=True)
class _TableUndo:
    """Undoes one load."""

    load: ReplayLogRow
    guards: LoadGuards
    attempts: TableAttempts
    verify_lock: LockCheck

    def run(self) -> UndoOutcome:
        """Undo the load, with retries."""
        started = time.monotonic()
        outcome = self.attempts.run_with_retries(self._attempt)
        if isinstance(outcome, UndoAlreadyDone):
            self.attempts.report(LoadPhase.UNDONE_BEFORE)
        if isinstance(outcome, UndoAlreadyDone | LoadFailed):
            return outcome
        deleted, inserted, backup = outcome
        self.attempts.report(LoadPhase.UNDONE, f"{deleted:,} rows deleted, {inserted:,} restored")
        return UndoSucceeded(
            table=self.load.table,
            window=str(self.attempts.rows.window),
            deleted=deleted,
            inserted=inserted,
            backup=backup,
            seconds=time.monotonic() - started,
            loaded_at=self.load.at,
        )

    def _attempt(self) -> tuple[int, int, str] | UndoAlreadyDone:
        """Undo the load in one transaction; return rows deleted, rows restored, and the backup."""
        sessions = self.attempts.sessions
        session = sessions.open()
        self.attempts.report(LoadPhase.REPLACING, f"rows written by {self.load.run_tag}")
        result: tuple[int, int, str] | None = None
        try:
            # Read before the transaction, which an error would end.
            distribution = self.attempts.rows.distribution(session)
            with replacing_transaction(
                session, self.attempts.rows, sessions, self.verify_lock
            ) as history:
                # Checked again under the lock: an earlier attempt may have been committed.
                plan = self._plan(session, history)
                ts = next_log_time(history)
                backed_up = back_up(session, plan.rows, distribution, history)
                result = self._replace(session, plan, ts, backed_up)
        except AlreadyUndoneError:
            return UndoAlreadyDone(self.load.table)
        except UnconfirmedCommitError as unconfirmed:
            if result is None or not self.attempts.check_committed(ts):
                raise unconfirmed.if_rolled_back from None
        finally:
            sessions.close(session)
        assert result is not None  # the transaction ended without an error
        return result

    def _plan(self, session: Session, history: Sequence[ReplayLogRow]) -> UndoPlan:
        rows = self.attempts.rows
        step = UndoStep(self.load, LoadHistory(history))
        return plan_undo(session, rows.warehouse, rows.schemas, step, self.guards)

    def _replace(
        self, session: Session, plan: UndoPlan, ts: datetime, backed_up: BackedUpRows
    ) -> tuple[int, int, str]:
        rows = plan.rows
        columns = information_schema.columns(session, rows.schemas.schema, rows.relation)
        # Computed before the DELETE if possible: on Redshift, other writers wait from then on.
        query = plan.backup_fingerprint(columns, changes_rows=rows.changes_rows(session))
        restored = read_fingerprint(session, query) if query else ""
        deleted = delete_rows(session, rows, backed_up)
        inserted = session.run(plan.insert())
        if inserted != plan.backup_rows:
            raise InternalError(
                f"{self.load.table} was not modified: the backup {plan.backup} has "
                f"{plan.backup_rows} rows, but {inserted} would have been inserted; report this "
                "as a bug"
            )
        after = restored or read_fingerprint(session, rows.fingerprint(columns))
        guard_rows_after(rows, after, inserted)
        session.run(
            rows.log_key.insert(
                rows.window,
                "",
                deleted=deleted,
                inserted=inserted,
                ts=ts,
                backup=backed_up.name,
                fingerprint=after,
            )
        )
        return deleted, inserted, backed_up.name


def _backup(
    session: Session, step: UndoStep, warehouse: Warehouse, schemas: WarehouseSchemas
) -> BackupTable:
    """Return the load's backup.

    Raises:
        WarehouseError: It does not exist, or the replay log names a table that it cannot have made.
    """
    row = step.load
    command = shlex.join(["spade-spark", "replay", *row.window.arguments, row.table])
    advice = f"rebuild the rows from the logs: {command}"
    if not row.backup:
        raise WarehouseError(
            f"{row.table} was not modified: the load of run tag {row.run_tag} made no backup "
            f"(warehouse.backup was false); {advice}"
        )
    backup = logged_backup(row.backup, row.run_tag, row.table, warehouse, schemas)
    missing = (
        f"{row.table} was not modified: {backup}, the backup of run tag {row.run_tag}, no longer "
        "exists"
    )
    if not backup.exists(session):
        raise WarehouseError(f"{missing}; {advice}")
    later = step.history.next_use_of_backup(row)
    if later:
        raise WarehouseError(
            f"{missing}: the table with this name has the rows that {later.run_tag} replaced at "
            f"{later.at:%Y-%m-%d %H:%M:%S} UTC; {advice}"
        )
    return backup


def _columns(
    session: Session, rows: TargetRows, backup: BackupTable
) -> tuple[WarehouseColumn, ...]:
    """Return the backup's columns.

    Raises:
        WarehouseError: The table no longer has all of them.
    """
    existing = {
        column.name
        for column in information_schema.columns(session, rows.schemas.schema, rows.relation)
    }
    columns = information_schema.columns(session, backup.schema, backup.name)
    missing = [column.name for column in columns if column.name not in existing]
    if missing:
        raise WarehouseError(
            f"{rows.table} was not modified: {rows.schemas.schema}.{rows.relation} no longer has "
            f"{', '.join(missing)}, which the backup {backup} has: add what is missing, or restore "
            "the other columns with SQL"
        )
    return columns


def _check_not_undone(load: ReplayLogRow, history: LoadHistory) -> None:
    """Check that the load is in the replay log, and that its next undo will be matched to it.

    Raises:
        AlreadyUndoneError: It was undone before.
        GuardError: The run tag was loaded again, for the same window.
        WarehouseError: The replay log does not have the load.
    """
    prefix = f"{load.table} was not modified"
    if load not in history.loads(load.run_tag, load.table):
        raise WarehouseError(
            f"{prefix}: the replay log no longer has a load of run tag {load.run_tag}"
        )
    undone = history.undo_of(load)
    if undone:
        raise AlreadyUndoneError(
            f"{prefix}: run tag {load.run_tag} was already undone, at "
            f"{undone.at:%Y-%m-%d %H:%M:%S} UTC; to restore its rows: spade-spark undo "
            f"{undone.run_tag}"
        )
    newest = history.target_of_undo(load.run_tag, load)
    if newest and newest != load:
        raise GuardError(
            f"{prefix}: run tag {load.run_tag} was loaded again into the window {load.window}, at "
            f"{newest.at:%Y-%m-%d %H:%M:%S} UTC; run the same command again to undo that load first"
        )


def _check_no_later_changes(step: UndoStep) -> None:
    """Check that no later load or undo has replaced rows of the load's window.

    Raises:
        GuardError: One has; the message names the commands that undo it.
    """
    load, changes = step.load, step.history.later_changes(step.load)
    if not changes:
        return
    # Newer loads of the same run tag can be in the way of the undo of these changes.
    newest_only = ["spade-spark", "undo", load.run_tag, load.table, "--latest"]
    commands = [
        newest_only
        for newer in step.newer
        if any(newer.at > change.at and newer.overlaps(change) for change in changes)
    ]
    tags = dict.fromkeys(change.run_tag for change in reversed(changes))
    commands += [["spade-spark", "undo", tag, load.table] for tag in tags]
    latest = "use --latest to undo only the newest load, " if step.newer else ""
    by = ", ".join(f"{change.run_tag} ({change.at:%Y-%m-%d %H:%M:%S} UTC)" for change in changes)
    raise GuardError(
        f"{load.table} was not modified: the window {load.window} was replaced after run tag "
        f"{load.run_tag} was loaded, by {by}: undo that first "
        f"({', then '.join(map(shlex.join, commands))}), {latest}{_FORCED}"
    )


def _check_fingerprint(
    session: Session, load: ReplayLogRow, rows: TargetRows, columns: Sequence[WarehouseColumn]
) -> None:
    """Check that the window's rows are those that the load left.

    Raises:
        GuardError: They are not.
    """
    current = read_fingerprint(session, rows.fingerprint(columns))
    if current == load.fingerprint:
        return
    for query in rows.earlier_fingerprints(columns):
        if read_fingerprint(session, query) == load.fingerprint:
            return
    had, has = (text.partition(":")[0] or "?" for text in (load.fingerprint, current))
    raise GuardError(
        f"{load.table} was not modified: the window {load.window} was changed after run tag "
        f"{load.run_tag} was loaded, but not by a replay ({had} rows then, {has} now): check "
        f"the rows first, {_FORCED}"
    )
