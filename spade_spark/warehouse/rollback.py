"""A way back: the rows that a load replaced, put back under the same lock, guards and ledger.

An undo is a replace whose rows come from the backup instead of from files. It keeps what it
deletes, and has a ledger row of its own (``undo-TAG``), so that it can be undone in its turn.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from spade_spark.errors import (
    AlreadyUndoneError,
    CommitOutcomeUnknownError,
    ConnectionLostError,
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
from spade_spark.warehouse.backup import BackupTable, backup_and_delete
from spade_spark.warehouse.concurrency import (
    LockCheck,
    SessionPool,
    replacing_transaction,
    run_concurrently,
)
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import LoadGuards, fingerprint, guard_rows
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import (
    ReplayLogRow,
    find_undo,
    later_changes,
    latest_load,
    replay_log_rows,
)
from spade_spark.warehouse.loader import ensure_control_objects
from spade_spark.warehouse.retries import TABLE_RETRIES, with_remediation_hint
from spade_spark.warehouse.sql import Sql, identifiers
from spade_spark.warehouse.table_attempts import ProgressCallback, TableAttempts
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas, schemas_from_settings


@dataclass(frozen=True)
class UndoPlan:
    """A load that can be undone, as it was found.

    Attributes:
        load: The load's row of the ledger.
        rows: The rows that go, under the undo's own tag.
        backup: Where the rows are that come back.
        columns: Their columns.
        now: How many rows go.
        kept: How many come back.
        newest: The time of the ledger's newest row, UTC.
    """

    load: ReplayLogRow
    rows: TargetRows
    backup: BackupTable
    columns: tuple[WarehouseColumn, ...]
    current_rows: int
    backup_rows: int
    newest: datetime

    def insert(self) -> Sql:
        """Puts the rows back; columns that were added since get their defaults."""
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


def plan_undo(
    session: Session,
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    load: ReplayLogRow,
    rules: LoadGuards,
) -> UndoPlan:
    """Looks whether a load can be undone; nothing is changed.

    Args:
        session: Where to look: in the undo's own transaction, or beforehand.
        warehouse: The warehouse.
        schemas: Where its tables stand.
        load: The run tag and the table; of several loads of them the newest counts.
        rules: What is allowed; with ``force`` a window that was changed since, too.

    Raises:
        AlreadyUndoneError: It was undone before.
        GuardError: The rows that would come back are too few, or the window was changed since.
        WarehouseError: There are no rows to put back, or no column to put them in.
    """
    history = replay_log_rows(session, schemas.control)
    row = latest_load(history, load.run_tag, load.table)
    left = f"{load.table} was left as it was"
    if row is None:
        raise WarehouseError(f"{left}: the ledger has no load of run tag {load.run_tag} any more")
    undone = find_undo(row, history)
    if undone:
        raise AlreadyUndoneError(
            f"{left}: run tag {row.run_tag} was undone already, at {undone.at:%Y-%m-%d %H:%M:%S} "
            f"UTC; to put its rows back, spade-spark undo {undone.run_tag}"
        )
    backup = _backup(session, row)
    rows = TargetRows(warehouse, schemas, row.table, row.window, UNDO + row.run_tag)
    columns = _columns(session, rows, backup)
    if not rules.force:
        _refuse_changed(session, row, rows, columns, history)
    ((now,),) = session.rows(rows.count())
    ((kept,),) = session.rows(backup.count())
    if kept != row.before and not rules.force:
        raise GuardError(
            f"{left}: {backup} has {kept} rows, but {row.before} were kept there: somebody "
            "changed it; --force puts back what it has"
        )
    if now or kept:
        guard_rows(rows, now, kept, rules, kind="kept rows")
    return UndoPlan(row, rows, backup, columns, now, kept, history[-1].at)


def undo_tables(
    warehouse: Warehouse,
    loads: Sequence[ReplayLogRow],
    settings: WarehouseSettings,
    *,
    rules: LoadGuards,
    verify_lock: LockCheck,
    poolsize: int = 4,
    retries: RetryPolicy | None = None,
    progress: ProgressCallback = lambda progress: None,  # noqa: ARG005 - the default does nothing
) -> tuple[UndoOutcome, ...]:
    """Undoes each of ``loads``, ``poolsize`` at a time.

    ``verify_lock`` is called right before each table is changed.

    Returns:
        What came of each, in their order.

    Raises:
        KeyboardInterrupt: Passed on once every session has rolled back and closed; what
            ``progress`` reported as undone is undone.
        WarehouseError: The schema of backups is not there and cannot be created.
        ConnectionLostError: The warehouse does not answer.
    """
    schemas = schemas_from_settings(settings)
    retries = retries or TABLE_RETRIES
    sessions = SessionPool(warehouse.connection_info)
    with with_remediation_hint():
        retries.call(lambda: ensure_control_objects(warehouse, schemas), stop=sessions.stop)
    work: list[Callable[[], UndoOutcome]] = []
    for load in loads:
        rows = TargetRows(warehouse, schemas, load.table, load.window, UNDO + load.run_tag)
        attempts = TableAttempts(rows, retries, sessions, progress, LoadPhase.NOT_UNDONE)
        work.append(_TableUndo(load, rules, attempts, verify_lock).run)
    return tuple(run_concurrently(work, sessions, poolsize))


@dataclass(frozen=True)
class _TableUndo:
    """One table."""

    load: ReplayLogRow
    rules: LoadGuards
    attempts: TableAttempts
    verify_lock: LockCheck

    def run(self) -> UndoOutcome:
        """Undoes the load; every failure is an answer."""
        started = time.monotonic()
        ended = self.attempts.run_with_retries(self._once)
        if isinstance(ended, UndoAlreadyDone):
            self.attempts.report(LoadPhase.UNDONE_BEFORE)
        if isinstance(ended, UndoAlreadyDone | LoadFailed):
            return ended
        deleted, inserted, backup = ended
        self.attempts.report(LoadPhase.UNDONE, f"{deleted} rows deleted, {inserted} put back")
        return UndoSucceeded(
            table=self.load.table,
            window=str(self.attempts.rows.window),
            deleted=deleted,
            inserted=inserted,
            backup=backup,
            seconds=time.monotonic() - started,
        )

    def _once(self) -> tuple[int, int, str] | UndoAlreadyDone:
        """One try, in one commit: rows deleted, rows put back, and where the former are kept."""
        sessions = self.attempts.sessions
        session = sessions.open()
        self.attempts.report(
            LoadPhase.REPLACING, f"by the rows that {self.load.run_tag} had replaced"
        )
        done: tuple[int, int, str] | None = None
        ts = datetime.now(timezone.utc).replace(tzinfo=None)
        try:
            with replacing_transaction(
                session, self.attempts.rows.schemas.control, self.verify_lock
            ):
                # Here too: of a driver that died, the commit may have gone through since.
                plan = self._plan(session)
                ts = _after(plan.newest)
                done = self._replace(session, plan, ts)
        except AlreadyUndoneError:
            return UndoAlreadyDone(self.load.table)
        except CommitOutcomeUnknownError:
            if done is None or not self.attempts.check_committed(ts):
                raise ConnectionLostError(
                    f"the connection broke during the commit of {self.load.table}, which was not "
                    "done"
                ) from None
        finally:
            sessions.close(session)
        assert done is not None  # the transaction ended without an error
        return done

    def _plan(self, session: Session) -> UndoPlan:
        rows = self.attempts.rows
        return plan_undo(session, rows.warehouse, rows.schemas, self.load, self.rules)

    def _replace(self, session: Session, plan: UndoPlan, ts: datetime) -> tuple[int, int, str]:
        backup, deleted = backup_and_delete(session, plan.rows)
        inserted = session.run(plan.insert())
        if inserted != plan.backup_rows:
            raise InternalError(
                f"{self.load.table} was left as it was: {plan.backup_rows} rows are kept in "
                f"{plan.backup}, but the insert took {inserted}; report this"
            )
        session.run(
            plan.rows.log_key.insert(
                plan.rows.window,
                "",
                deleted=deleted,
                inserted=inserted,
                ts=ts,
                backup=backup,
                fingerprint=fingerprint(session, plan.rows),
            )
        )
        return deleted, inserted, backup


def _backup(session: Session, row: ReplayLogRow) -> BackupTable:
    """The load's backup, which is there.

    Raises:
        WarehouseError: It is not.
    """
    words = shlex.join(["spade-spark", "replay", *row.window.arguments, row.table])
    again = f"make the rows again from the logs, with {words}"
    if not row.backup:
        raise WarehouseError(
            f"{row.table} was left as it was: the rows that run tag {row.run_tag} replaced were "
            f"not kept (warehouse.backup was false): {again}"
        )
    backup = BackupTable.parse(row.backup)
    if not backup.exists(session):
        raise WarehouseError(
            f"{row.table} was left as it was: {backup}, where the rows that run tag {row.run_tag} "
            f"replaced were kept, is not there any more: {again}"
        )
    return backup


def _columns(
    session: Session, rows: TargetRows, backup: BackupTable
) -> tuple[WarehouseColumn, ...]:
    """The kept rows' columns, which the table has still.

    Raises:
        WarehouseError: It has not.
    """
    there = {
        each.name
        for each in information_schema.columns(session, rows.schemas.schema, rows.relation)
    }
    kept = information_schema.columns(session, backup.schema, backup.name)
    gone = [column.name for column in kept if column.name not in there]
    if gone:
        raise WarehouseError(
            f"{rows.table} was left as it was: {rows.schemas.schema}.{rows.relation} has no "
            f"{', '.join(gone)} any more, which the rows in {backup} have: add what is missing, "
            "or put the other columns back by hand"
        )
    return kept


def _refuse_changed(
    session: Session,
    row: ReplayLogRow,
    rows: TargetRows,
    columns: Sequence[WarehouseColumn],
    history: Sequence[ReplayLogRow],
) -> None:
    """Refuses a window that is not as the load left it.

    Raises:
        GuardError: It was changed since, by a replay or by somebody else.
    """
    left = f"{row.table} was left as it was: the window {row.window}"
    forced = "--force puts the older rows back all the same, and keeps those that are there now"
    changes = later_changes(row, history)
    if changes:
        by = ", ".join(f"{each.run_tag} ({each.at:%Y-%m-%d %H:%M:%S} UTC)" for each in changes)
        raise GuardError(
            f"{left} was replaced since run tag {row.run_tag} was loaded, by {by}: undo that "
            f"first; {forced}"
        )
    now = fingerprint(session, rows, columns)
    if now != row.fingerprint:
        had, has = (text.partition(":")[0] or "?" for text in (row.fingerprint, now))
        raise GuardError(
            f"{left} was changed since run tag {row.run_tag} was loaded, by no replay ({had} rows "
            f"then, {has} now): look at it first; {forced}"
        )


def _after(newest_at: datetime) -> datetime:
    """Now, UTC; after all that the ledger has, though another machine's clock was ahead."""
    now = max(datetime.now(timezone.utc), newest_at + timedelta(microseconds=1))
    return now.replace(tzinfo=None)
