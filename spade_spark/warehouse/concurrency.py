"""Tables side by side, each on its own connection: tries, and tries again of what may pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

from spade_spark.errors import (
    ConnectionLostError,
    SpadeError,
)
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import (
    BEGIN_SERIALIZABLE,
    ConnectionInfo,
    Session,
)
from spade_spark.warehouse.sql import Literal, Sql

T = TypeVar("T")

_CANCEL_SECONDS = 0.5


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

    def __init__(self, connection_info: ConnectionInfo) -> None:
        self.stop = threading.Event()
        self._connection_info = connection_info
        self._lock = threading.Lock()
        self._open: set[Session] = set()

    def open(self) -> Session:
        """A new session.

        Raises:
            ConnectionLostError: Nobody answers, or the load was interrupted.
        """
        self.check()
        session = Session(self._connection_info)
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
        with suppress(SpadeError), Session(self._connection_info) as session:
            for pid in pids:
                session.rows(Sql("SELECT pg_cancel_backend(", Literal(pid), ")"))


def _end(futures: Sequence[Future[T]], sessions: SessionPool) -> None:
    """Cancels what runs, again and again until all have rolled back, and what has not begun."""
    sessions.stop.set()
    left = {future for future in futures if not future.cancel()}
    while left:
        sessions.cancel()
        _, left = wait(left, timeout=_CANCEL_SECONDS, return_when=FIRST_COMPLETED)
