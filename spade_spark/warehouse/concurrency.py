"""Tables side by side, each on its own connection: tries, and tries again of what may pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    ConnectionLostError,
    LockLostError,
    SpadeError,
    TransientError,
)
from spade_spark.progress import DisplayGuard, LoadPhase, LoadProgress
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import LoadFailed
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import (
    BEGIN_SERIALIZABLE,
    ConnectionInfo,
    Session,
    StatementError,
)
from spade_spark.warehouse.sql import Literal, Sql
from spade_spark.warehouse.target_rows import TargetRows

T = TypeVar("T")

_CANCEL_SECONDS = 0.5


ProgressCallback = Callable[[LoadProgress], None]
"""Displays progress; called from several threads. What it raises is logged and has no effect."""

LockCheck = Callable[[], None]
"""Verifies that this process still holds the lock of its run tag; raises LockLostError if not."""


@contextmanager
def replacing_transaction(session: Session, control: str, verify_lock: LockCheck) -> Iterator[None]:
    """The transaction that replaces or restores a table's rows; it holds the replay ledger's lock.

    The run's lock is verified twice. Before the transaction, so that a command that lost it does
    not queue for the ledger. Again once the ledger is locked, since that can take minutes, and the
    command that held the ledger may be the one that took the lock over.

    Args:
        session: Where it runs.
        control: The schema of the control tables.
        verify_lock: Verifies the run's lock.

    Raises:
        LockLostError: Another command took the lock over; nothing was changed.
    """
    verify_lock()
    with session.transaction(BEGIN_SERIALIZABLE):
        # The ledger's lock comes first: later statements see what was committed before, and the
        # ledger's times are in the order of its commits.
        session.run(replay_log.lock(control))
        verify_lock()
        yield


def run_concurrently(
    work: Sequence[Callable[[], T]], sessions: SessionPool, poolsize: int
) -> list[T]:
    """Does all of ``work``, ``poolsize`` at a time; the answers are in its order.

    Raises:
        KeyboardInterrupt: Passed on once every session has rolled back and closed.
    """
    with ThreadPoolExecutor(max_workers=max(1, poolsize), thread_name_prefix="load") as pool:
        futures = [pool.submit(one) for one in work]
        try:
            wait(futures)
        except BaseException:
            _end(futures, sessions)
            raise
    return [future.result() for future in futures]


class SessionPool:
    """The open sessions of all tables, so that an interrupt can end them."""

    def __init__(self, target: ConnectionInfo) -> None:
        self.stop = threading.Event()
        self._target = target
        self._lock = threading.Lock()
        self._open: set[Session] = set()

    def open(self) -> Session:
        """A new session.

        Raises:
            ConnectionLostError: Nobody answers, or the load was interrupted.
        """
        self.check()
        session = Session(self._target)
        with self._lock:
            self._open.add(session)
        return session

    def close(self, session: Session) -> None:
        """Closes it; what it has not committed is rolled back."""
        with self._lock:
            self._open.discard(session)
        session.close()

    def check(self) -> None:
        """Ends a thread's work once the load was interrupted."""
        if self.stop.is_set():
            raise ConnectionLostError("the load was interrupted; run the same command again")

    def cancel(self) -> None:
        """Cancels what every session is doing.

        Through a session of its own: the driver's way to cancel holds the interpreter's lock
        while it waits for the network. Where nobody answers, the sessions end by themselves.
        """
        with self._lock:
            pids = [session.pid for session in self._open]
        with suppress(SpadeError), Session(self._target) as session:
            for pid in pids:
                session.rows(Sql("SELECT pg_cancel_backend(", Literal(pid), ")"))


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
        entry = self.rows.entry

        def look() -> bool:
            with Session(self.rows.warehouse.target) as session:
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


def _end(futures: Sequence[Future[T]], sessions: SessionPool) -> None:
    """Cancels what runs, again and again until all have rolled back, and what has not begun."""
    sessions.stop.set()
    left = {future for future in futures if not future.cancel()}
    while left:
        sessions.cancel()
        _, left = wait(left, timeout=_CANCEL_SECONDS, return_when=FIRST_COMPLETED)
