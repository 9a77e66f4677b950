"""The attempts to load or undo one table, with retries of transient faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    LockLostError,
    SpadeError,
    TransientError,
)
from spade_spark.progress import DisplayGuard, LoadPhase, LoadProgress
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import LoadFailed
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.concurrency import SessionPool
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.target_rows import TargetRows

T = TypeVar("T")

ProgressCallback = Callable[[LoadProgress], None]
"""Displays progress; called from several threads. What it raises is logged and has no effect."""


@dataclass(frozen=True)
class TableAttempts:
    """One table's tries.

    Attributes:
        rows: What is changed.
        retries: How often, and how long.
        sessions: Where sessions come from.
        progress: Displays each phase.
        failed: The phase that a failure ends in.
    """

    rows: TargetRows
    retries: RetryPolicy
    sessions: SessionPool
    progress: ProgressCallback
    failed: LoadPhase
    _guard: DisplayGuard = field(default_factory=DisplayGuard)

    def run_with_retries(self, once: Callable[[], T]) -> T | LoadFailed:
        """What ``once`` gives, tried again where it may pass; every failure is an answer."""
        table = self.rows.table
        try:
            return self._retrying(once)
        except SpadeError as error:
            return self._failed(
                self._reason(error), unknown=isinstance(error, CommitOutcomeUnknownError)
            )
        except Exception as error:  # noqa: BLE001 - one table's bug leaves the others alone
            return self._failed(f"{table}: a bug, {type(error).__name__}: {error}; report this")

    def report(self, phase: LoadPhase, note: str = "") -> None:
        """Displays a phase; a display that fails changes nothing."""
        with self._guard:
            self.progress(LoadProgress(self.rows.table, phase, note))

    def check_committed(self, ts: datetime) -> bool:
        """Looks at the ledger for the row of that time, trying again while nobody answers.

        Raises:
            CommitOutcomeUnknownError: It cannot be found out.
        """
        entry = self.rows.log_key

        def look() -> bool:
            with Session(self.rows.warehouse.connection_info) as session:
                return replay_log.was_committed(session, entry, ts)

        try:
            return self._retrying(look)
        except SpadeError as error:
            raise CommitOutcomeUnknownError(
                f"{entry.table}: the answer to the commit was lost, and whether it was done "
                f"could not be found out ({error}). A row in {entry.control}."
                f"{replay_log.NAME} for it means that it was: run the same command "
                "again, which looks first"
            ) from None

    def _failed(self, reason: str, *, unknown: bool = False) -> LoadFailed:
        self.report(self.failed, reason)
        return LoadFailed(self.rows.table, reason, unknown)

    def _reason(self, error: SpadeError) -> str:
        """The error's message; what the warehouse or a broken connection said gets its frame."""
        if isinstance(error, TransientError):
            return f"{self.rows.table} was left as it was: {error}; run the same command again"
        if isinstance(error, StatementError):
            return (
                f"{self.rows.table} was left as it was: {error}; mend that, then run the same "
                "command again"
            )
        if isinstance(error, LockLostError):
            return f"{self.rows.table} was not modified: {error}"
        return str(error)

    def _retrying(self, operation: Callable[[], T]) -> T:
        return self.retries.call(operation, before_wait=self._report_wait, stop=self.sessions.stop)

    def _report_wait(self, attempt: int, error: BaseException) -> None:
        self.report(LoadPhase.WAITING, f"try {attempt} failed: {error}")
