"""Load tables in parallel. If one table fails, the others are loaded anyway."""

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
from spade_spark.warehouse.concurrency import LockCheck, SessionPool, run_concurrently
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.control_objects import ensure_control_objects
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import ReplayLogRow, replay_log_rows
from spade_spark.warehouse.retry_policies import TABLE_RETRIES, with_remediation_hint
from spade_spark.warehouse.table_attempts import ProgressCallback, TableAttempts
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.warehouse.window_swap import (
    StagedRows,
    SwapResult,
    WindowSwap,
    completed_load,
    guard_staged_rows,
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
    guards: LoadGuards,
    verify_lock: LockCheck,
    poolsize: int = 4,
    retries: RetryPolicy | None = None,
    progress: ProgressCallback = lambda progress: None,  # noqa: ARG005 - the default does nothing
) -> tuple[LoadOutcome, ...]:
    """Replace the window's rows, ``poolsize`` tables at a time.

    With ``add_to``, the rows are added to those loaded under that run tag, and none are deleted.
    ``verify_lock`` is called right before each table is changed.

    Returns:
        The outcomes, in the order of ``files``.

    Raises:
        KeyboardInterrupt: An interrupt, raised after all sessions have rolled back and closed. The
            tables that ``progress`` reported as loaded are loaded.
        WarehouseError: The replay log or the schema of backups cannot be created.
        ConnectionLostError: The warehouse does not answer.
    """
    schemas = schemas_from_settings(settings)
    tables = [table_files.table for table_files in files]
    retries = retries or TABLE_RETRIES
    sessions = SessionPool(warehouse.connection_info)
    with with_remediation_hint():
        retries.call(lambda: ensure_control_objects(warehouse, schemas, tables), stop=sessions.stop)
    loads: list[Callable[[], LoadOutcome]] = []
    for table_files in files:
        swap = WindowSwap(warehouse, schemas, table_files, window, run_tag, add_to)
        attempts = TableAttempts(swap.rows, retries, sessions, progress, LoadPhase.NOT_LOADED)
        loads.append(_TableLoad(swap, guards, attempts, verify_lock).run)
    return tuple(run_concurrently(loads, sessions, poolsize))


class _TableLoad:
    """Loads one table. Attempts share the staging table while its session is open."""

    def __init__(
        self, swap: WindowSwap, guards: LoadGuards, attempts: TableAttempts, verify_lock: LockCheck
    ) -> None:
        self._swap = swap
        self._guards = guards
        self._attempts = attempts
        self._verify_lock = verify_lock
        self._staged: StagedRows | None = None

    def run(self) -> LoadOutcome:
        """Load the table, with retries."""
        started = time.monotonic()
        try:
            outcome = self._attempts.run_with_retries(self._attempt)
        finally:
            self._drop_stage()
        if isinstance(outcome, LoadFailed):
            return outcome
        if isinstance(outcome, ReplayLogRow):
            self._attempts.report(LoadPhase.LOADED_BEFORE, f"at {outcome.at:%Y-%m-%d %H:%M:%S} UTC")
            return LoadAlreadyDone(self._swap.table, outcome.at, outcome.deleted, outcome.inserted)
        staged, result = outcome
        has_lock = self._swap.warehouse.has_table_write_locks
        note = f"{result.deleted:,} rows deleted, {result.inserted:,} inserted"
        self._attempts.report(LoadPhase.LOADED, note)
        return TableLoaded(
            table=self._swap.table,
            before=staged.existing,
            staged=staged.total,
            outside=staged.total - staged.in_window,
            deleted=result.deleted,
            inserted=result.inserted,
            seconds=time.monotonic() - started,
            truncated=staged.truncated,
            write_lock_seconds=result.write_lock_seconds if has_lock else None,
        )

    def _attempt(self) -> tuple[StagedRows, SwapResult] | ReplayLogRow:
        """Stage the rows, unless a failed attempt did, and swap them; or return an earlier load."""
        staged = self._staged or self._stage()
        if isinstance(staged, ReplayLogRow):
            return staged
        self._attempts.sessions.check()
        self._attempts.report(
            LoadPhase.REPLACING, f"{staged.existing:,} old rows, {staged.in_window:,} new rows"
        )
        try:
            result = swap_window(
                self._swap,
                staged,
                self._guards,
                sessions=self._attempts.sessions,
                verify_lock=self._verify_lock,
                was_committed=self._attempts.check_committed,
            )
        except ConnectionLostError:
            self._drop_stage()
            raise
        return result if isinstance(result, ReplayLogRow) else (staged, result)

    def _stage(self) -> StagedRows | ReplayLogRow:
        sessions = self._attempts.sessions
        session = sessions.open()
        try:
            earlier = None if self._guards.force else self._completed_load(session)
            if earlier:
                sessions.close(session)
                return earlier
            self._attempts.report(LoadPhase.STAGING, f"{self._swap.files.rows:,} rows")
            staged = stage(session, self._swap)
            guard_staged_rows(self._swap, staged, self._guards)
        except BaseException:
            sessions.close(session)
            raise
        self._staged = staged
        return staged

    def _completed_load(self, session: Session) -> ReplayLogRow | None:
        control = self._swap.schemas.control
        return completed_load(replay_log_rows(session, control, self._swap.table), self._swap)

    def _drop_stage(self) -> None:
        """Close the session, which drops its temporary table."""
        if self._staged is not None:
            self._attempts.sessions.close(self._staged.session)
            self._staged = None
