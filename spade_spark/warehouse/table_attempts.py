"""Attempts to load or undo one table."""

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
"""Displays progress; called from several threads. Errors that it raises are only logged."""


@dataclass(frozen=True)
class TableAttempts:
    """Loads or undoes one table, with retries.

    Attributes:
        rows: The rows to be replaced.
        retries: The retry policy.
        sessions: The open sessions of all tables.
        progress: Displays each phase.
        failure_phase: The phase to report after a failure.
    """

    rows: TargetRows
    retries: RetryPolicy
    sessions: SessionPool
    progress: ProgressCallback
    failure_phase: LoadPhase
    _display_guard: DisplayGuard = field(default_factory=DisplayGuard)

    def run_with_retries(self, attempt: Callable[[], T]) -> T | LoadFailed:
        """Return the result of ``attempt``, retrying transient errors, or the failure."""
        table = self.rows.table
        try:
            return self._retry(attempt)
        except SpadeError as error:
            return self._failure(
                self._reason(error), unknown=isinstance(error, CommitOutcomeUnknownError)
            )
        except Exception as error:  # noqa: BLE001 - a bug in one table must not stop the others
            return self._failure(
                f"{table}: internal error, {type(error).__name__}: {error}; please report this"
            )

    def report(self, phase: LoadPhase, note: str = "") -> None:
        """Display a phase."""
        with self._display_guard:
            self.progress(LoadProgress(self.rows.table, phase, note))

    def check_committed(self, ts: datetime) -> bool:
        """Whether the replay log has the row that was written at ``ts``.

        Raises:
            CommitOutcomeUnknownError: The warehouse could not be queried.
        """
        key, lock = self.rows.log_key, self.rows.lock

        def query() -> bool:
            with Session(self.rows.warehouse.connection_info) as session:
                return replay_log.was_committed(session, lock, key, ts)

        try:
            return self._retry(query)
        except SpadeError as error:
            raise CommitOutcomeUnknownError(
                f"{key.table}: COMMIT was not confirmed, and it is unknown whether the rows were "
                f"replaced ({error}). Run the same command again: it first looks for "
                f"the result in {key.control}.{replay_log.TABLE_NAME}"
            ) from None

    def _failure(self, reason: str, *, unknown: bool = False) -> LoadFailed:
        self.report(self.failure_phase, reason)
        return LoadFailed(self.rows.table, reason, unknown)

    def _reason(self, error: SpadeError) -> str:
        """Return the error's message, with the table and the next step where they are missing."""
        if isinstance(error, TransientError):
            return f"{self.rows.table} was not modified: {error}; run the same command again"
        if isinstance(error, StatementError):
            return (
                f"{self.rows.table} was not modified: {error}; fix this, then run the same command "
                "again"
            )
        if isinstance(error, LockLostError):
            return f"{self.rows.table} was not modified: {error}"
        return str(error)

    def _retry(self, operation: Callable[[], T]) -> T:
        return self.retries.call(operation, before_wait=self._report_wait, stop=self.sessions.stop)

    def _report_wait(self, attempt: int, error: BaseException) -> None:
        self.report(LoadPhase.WAITING, f"attempt {attempt} failed: {error}")
