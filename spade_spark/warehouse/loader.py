"""Loads tables side by side, each on its own connection; one's failure leaves the others alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from spade_spark.errors import ConnectionLostError
from spade_spark.progress import LoadPhase
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import (
    LoadAlreadyDone,
    LoadFailed,
    LoadOutcome,
    TableFiles,
    TableLoaded,
)
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import backup, information_schema, replay_log
from spade_spark.warehouse.concurrency import LockCheck, SessionPool, run_concurrently
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import ReplayLogRow
from spade_spark.warehouse.retries import TABLE_RETRIES, with_remediation_hint
from spade_spark.warehouse.table_attempts import ProgressCallback, TableAttempts
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.warehouse.window_swap import (
    StagedRows,
    SwapResult,
    WindowSwap,
    completed_load,
    guard,
    stage,
    swap_window,
)
from spade_spark.window import Window


def load_tables(
    warehouse: Warehouse,
    files: Sequence[TableFiles],
    window: Window,
    settings: WarehouseSettings,
    *,
    run_tag: str,
    add_to: str = "",
    rules: LoadGuards,
    verify_lock: LockCheck,
    poolsize: int = 4,
    retries: RetryPolicy | None = None,
    progress: ProgressCallback = lambda progress: None,  # noqa: ARG005 - the default does nothing
) -> tuple[LoadOutcome, ...]:
    """Replaces the window of each table, ``poolsize`` at a time.

    With ``add_to`` the rows are added to those that this run tag loaded, and none are deleted.
    ``verify_lock`` is called right before each table is changed.

    Returns:
        What came of each table, in the order of ``files``.

    Raises:
        KeyboardInterrupt: Passed on once every session has rolled back and closed; what
            ``progress`` reported as loaded is loaded.
        WarehouseError: The replay ledger, or the schema of backups, is not there and cannot be
            created.
        ConnectionLostError: The warehouse does not answer.
    """
    schemas = schemas_from_settings(settings)
    retries = retries or TABLE_RETRIES
    sessions = SessionPool(warehouse.connection_info)
    with with_remediation_hint():
        retries.call(lambda: ensure_control_objects(warehouse, schemas), stop=sessions.stop)
    loads: list[Callable[[], LoadOutcome]] = []
    for one in files:
        swap = WindowSwap(warehouse, schemas, one, window, run_tag, add_to)
        attempts = TableAttempts(swap.rows, retries, sessions, progress, LoadPhase.NOT_LOADED)
        loads.append(_TableLoad(swap, rules, attempts, verify_lock).run)
    return tuple(run_concurrently(loads, sessions, poolsize))


def ensure_control_objects(warehouse: Warehouse, schemas: WarehouseSchemas) -> None:
    """Creates the replay ledger and the schema of backups where they are not there.

    Raises:
        WarehouseError: They cannot be created.
    """
    with Session(warehouse.connection_info) as session:
        # Looked for first: CREATE asks for the right to create even where there is nothing to do.
        if not information_schema.columns(session, schemas.control, replay_log.NAME):
            session.run(replay_log.create(schemas.control))
        backup.ensure_schema(session, warehouse, schemas)


class _TableLoad:
    """One table. A stage that one try has filled serves the next, while its session lives."""

    def __init__(
        self, swap: WindowSwap, rules: LoadGuards, attempts: TableAttempts, verify_lock: LockCheck
    ) -> None:
        self._swap = swap
        self._rules = rules
        self._attempts = attempts
        self._verify_lock = verify_lock
        self._staged: StagedRows | None = None

    def run(self) -> LoadOutcome:
        """Replaces the table's window; every failure is an answer."""
        started = time.monotonic()
        try:
            ended = self._attempts.run_with_retries(self._once)
        finally:
            self._drop_stage()
        if isinstance(ended, LoadFailed):
            return ended
        if isinstance(ended, ReplayLogRow):
            self._attempts.report(LoadPhase.LOADED_BEFORE, f"at {ended.at:%Y-%m-%d %H:%M:%S} UTC")
            return LoadAlreadyDone(self._swap.table, ended.at, ended.deleted, ended.inserted)
        staged, done = ended
        note = f"{done.deleted} rows deleted, {done.inserted} inserted"
        self._attempts.report(LoadPhase.LOADED, note)
        return TableLoaded(
            table=self._swap.table,
            before=staged.before,
            staged=staged.rows,
            outside=staged.rows - staged.inside,
            deleted=done.deleted,
            inserted=done.inserted,
            seconds=time.monotonic() - started,
            truncated=staged.cut,
        )

    def _once(self) -> tuple[StagedRows, SwapResult] | ReplayLogRow:
        """One try; the load of before where there is nothing to do."""
        staged = self._staged or self._stage()
        if isinstance(staged, ReplayLogRow):
            return staged
        self._attempts.sessions.check()
        self._attempts.report(LoadPhase.REPLACING, f"{staged.before} rows by {staged.inside}")
        try:
            done = swap_window(
                self._swap,
                staged,
                self._rules,
                verify_lock=self._verify_lock,
                was_committed=self._attempts.check_committed,
            )
        except ConnectionLostError:
            self._drop_stage()
            raise
        return done if isinstance(done, ReplayLogRow) else (staged, done)

    def _stage(self) -> StagedRows | ReplayLogRow:
        sessions = self._attempts.sessions
        session = sessions.open()
        try:
            before = None if self._rules.force else completed_load(session, self._swap)
            if before:
                sessions.close(session)
                return before
            self._attempts.report(LoadPhase.STAGING, f"{self._swap.files.rows} rows")
            staged = stage(session, self._swap)
            guard(self._swap, staged, self._rules)
        except BaseException:
            sessions.close(session)
            raise
        self._staged = staged
        return staged

    def _drop_stage(self) -> None:
        """Closes the session, and with it goes the temporary table."""
        if self._staged is not None:
            self._attempts.sessions.close(self._staged.session)
            self._staged = None
