"""Parallel loads and undos, each table on its own connection."""

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
from spade_spark.warehouse.connection import BEGIN_SERIALIZABLE, Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.load_history import ReplayLogRow, replay_log_rows
from spade_spark.warehouse.sql import Literal, Sql
from spade_spark.warehouse.target_rows import TargetRows

T = TypeVar("T")

_CANCEL_SECONDS = 0.5


LockCheck = Callable[[], None]
"""Verifies that this process still holds the lock of its run tag; raises LockLostError if not."""


@contextmanager
def replacing_transaction(
    session: Session, rows: TargetRows, sessions: SessionPool, verify_lock: LockCheck
) -> Iterator[tuple[ReplayLogRow, ...]]:
    """Begin a transaction, lock the table's lock table, and yield the table's history.

    The run's lock is verified twice: before the transaction, so that a command that lost it does
    not wait for the table; and again once the table is locked, because the wait can take minutes,
    and may be for the command that took over the run's lock.

    Another session reads the history. Transactions only append to the replay log, so those of
    different tables never depend on each other: see "Why tables can be replaced in parallel" in
    docs/guarantees.md.

    Args:
        session: The session to use.
        rows: The rows to be replaced.
        sessions: Opens the session that reads the replay log.
        verify_lock: Verifies the run's lock.

    Raises:
        LockLostError: Another command took over the lock; nothing was changed.
    """
    verify_lock()
    with session.transaction(BEGIN_SERIALIZABLE):
        # LOCK takes no snapshot, so all later statements see what the lock's last holder committed.
        session.run(rows.lock.lock())
        verify_lock()
        yield _read_history(rows, sessions)


def run_concurrently(
    tasks: Sequence[Callable[[], T]], sessions: SessionPool, poolsize: int
) -> list[T]:
    """Run all tasks, ``poolsize`` at a time, and return their results in order.

    Raises:
        KeyboardInterrupt: An interrupt, raised after all sessions have rolled back and closed.
    """
    with ThreadPoolExecutor(max_workers=max(1, poolsize), thread_name_prefix="load") as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            wait(futures)
        except BaseException:
            _cancel_all(futures, sessions)
            raise
    return [future.result() for future in futures]


class SessionPool:
    """The open sessions of all tables, so that an interrupt can cancel them."""

    def __init__(self, connection_info: ConnectionInfo) -> None:
        self.stop = threading.Event()
        self._connection_info = connection_info
        self._lock = threading.Lock()
        self._open: set[Session] = set()

    def open(self) -> Session:
        """Open a session.

        Raises:
            ConnectionLostError: The warehouse does not answer, or the command was interrupted.
        """
        self.check()
        session = Session(self._connection_info)
        with self._lock:
            self._open.add(session)
        return session

    def close(self, session: Session) -> None:
        """Close a session; uncommitted work is rolled back."""
        with self._lock:
            self._open.discard(session)
        session.close()

    def check(self) -> None:
        """Raise ConnectionLostError if the command was interrupted."""
        if self.stop.is_set():
            raise ConnectionLostError("the command was interrupted")

    def cancel(self) -> None:
        """Cancel the running statement of every session.

        This uses a separate session because the driver's own cancel holds the interpreter's lock
        while it waits for the network. If the warehouse does not answer, the sessions end by
        themselves.
        """
        with self._lock:
            pids = [session.pid for session in self._open]
        with suppress(SpadeError), Session(self._connection_info) as session:
            for pid in pids:
                session.rows(Sql("SELECT pg_cancel_backend(", Literal(pid), ")"))


def _read_history(rows: TargetRows, sessions: SessionPool) -> tuple[ReplayLogRow, ...]:
    session = sessions.open()
    try:
        return replay_log_rows(session, rows.schemas.control, rows.table)
    finally:
        sessions.close(session)


def _cancel_all(futures: Sequence[Future[T]], sessions: SessionPool) -> None:
    """Cancel tasks that have not started; cancel statements until all other tasks have ended."""
    sessions.stop.set()
    pending = {future for future in futures if not future.cancel()}
    while pending:
        sessions.cancel()
        _, pending = wait(pending, timeout=_CANCEL_SECONDS, return_when=FIRST_COMPLETED)
