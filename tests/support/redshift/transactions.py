"""Isolation and table locks of Redshift, decided by which tables a transaction reads and writes.

Redshift decides by whole tables, PostgreSQL by rows. PostgreSQL therefore runs at REPEATABLE READ
behind this module, which adds:

- a write lock per table, from the first write to the end of the transaction, and locks against
  readers (https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html, r_LOCK.html);
- the isolation level of the database
  (https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html);
- errors for tables that another transaction created or dropped
  (https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-troubleshooting.html).

Where the documentation is silent, this is the stricter reading: every cycle of dependencies between
transactions is refused, though some would be serializable by their rows.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tests.support.redshift.refused import Refused
from tests.support.redshift.table_access import TableAccess
from tests.support.redshift.wire import Closed

_MAX_WAIT_SECONDS = 60.0
_MAX_FINISHED = 200
_INTERNAL_ERROR = "XX000"


class Isolation(Enum):
    """The isolation level of the database. BEGIN cannot change it.

    https://docs.aws.amazon.com/redshift/latest/dg/r_BEGIN.html

    ``SERIALIZABLE`` refuses dependencies between transactions that no serial order can have.
    ``SNAPSHOT`` refuses UPDATE and DELETE of rows that another transaction has changed since the
    snapshot. INSERT and COPY into one table share a lock there: they can be deadlocked with a
    later UPDATE or DELETE (c_write_readwrite.html), but do not wait for each other to end
    (r_Serializable_isolation_example.html). The manual gives SNAPSHOT "protection against update
    and delete conflicts" (r_CREATE_DATABASE.html), but not the error.
    ``SNAPSHOT_BY_TABLE`` is stricter than documented: it refuses UPDATE and DELETE in a table that
    another transaction has written since the snapshot.
    """

    SERIALIZABLE = "Serializable"
    SNAPSHOT = "Snapshot Isolation"
    SNAPSHOT_BY_TABLE = "Snapshot Isolation, conflicts by table"


class Lock(Enum):
    """A lock on a table, held to the end of the transaction."""

    READ = "AccessShareLock"
    APPEND = "RowExclusiveLock"
    WRITE = "ShareRowExclusiveLock"
    EXCLUSIVE = "AccessExclusiveLock"


_CONFLICTS = {
    Lock.READ: {Lock.EXCLUSIVE},
    Lock.APPEND: {Lock.WRITE, Lock.EXCLUSIVE},
    Lock.WRITE: {Lock.APPEND, Lock.WRITE, Lock.EXCLUSIVE},
    Lock.EXCLUSIVE: set(Lock),
}


@dataclass(eq=False)
class Transaction:
    """A transaction of a session. Times are numbers that increase with each event.

    Attributes:
        number: Its number in error messages.
        pid: The session's process id.
        begun: When it began.
        snapshot: When it took its snapshot; None before.
        committed: When it was committed; None before.
        reads: The tables that it has read.
        writes: The tables that it has written.
        created: The tables that it has created.
        dropped: The tables that it has dropped.
        locks: The locks that it holds, by table.
        waits_for: The lock that it waits for.
        cancelled: Whether its statement was cancelled while it waits.
    """

    number: int
    pid: int
    begun: int
    snapshot: int | None = None
    committed: int | None = None
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    locks: dict[str, set[Lock]] = field(default_factory=dict)
    waits_for: tuple[str, Lock] | None = None
    cancelled: bool = False

    def sees(self, other: Transaction) -> bool:
        """Whether the other one was committed before this one's snapshot."""
        return (
            other.committed is not None
            and self.snapshot is not None
            and other.committed < self.snapshot
        )

    def precedes(self, other: Transaction) -> bool:
        """Whether each equivalent serial order has this one before the other one."""
        if self.writes & other.writes and self._commits_before(other):
            return True
        if self.writes & other.reads and other.sees(self):
            return True
        return bool(self.reads & other.writes) and not self.sees(other)

    def _commits_before(self, other: Transaction) -> bool:
        if self.committed is None:
            return False
        return other.committed is None or self.committed < other.committed


class Transactions:
    """All transactions of a server, and the locks that they hold."""

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation
        self._changed = threading.Condition()
        self._closed = False
        self._clock = itertools.count(1)
        self._numbers = itertools.count(647671)
        self._active: list[Transaction] = []
        self._finished: list[Transaction] = []
        self._created: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._table_ids: dict[str, int] = {}

    def begin(self, pid: int) -> Transaction:
        with self._changed:
            transaction = Transaction(next(self._numbers), pid, next(self._clock))
            self._active.append(transaction)
            return transaction

    def access(self, transaction: Transaction, access: TableAccess) -> None:
        """Take the statement's locks, waiting if necessary, and check that it may run.

        Raises:
            Refused: It must fail, and with it the transaction.
        """
        with self._changed:
            self._take_locks(transaction, access)
            self._check_exists(transaction, access)
            if access.takes_snapshot and transaction.snapshot is None:
                transaction.snapshot = next(self._clock)
            if self.isolation is Isolation.SNAPSHOT_BY_TABLE:
                self._check_unchanged(transaction, access)
            transaction.reads |= access.reads
            transaction.writes |= access.writes
            if self.isolation is Isolation.SERIALIZABLE:
                self._check_serializable(transaction, access)
            transaction.created |= access.creates
            transaction.dropped |= access.drops

    def commit(self, transaction: Transaction) -> None:
        with self._changed:
            transaction.committed = next(self._clock)
            self._created.update(dict.fromkeys(transaction.created, transaction.committed))
            self._dropped.update(dict.fromkeys(transaction.dropped, transaction.committed))
            self._finished.append(transaction)
            self._end(transaction)

    def abort(self, transaction: Transaction) -> None:
        with self._changed:
            self._end(transaction)

    def cancel(self, pid: int) -> bool:
        """Cancel a session's statement if it waits for a lock; return whether it does."""
        with self._changed:
            waiting = [other for other in self._active if other.pid == pid and other.waits_for]
            for transaction in waiting:
                transaction.cancelled = True
            self._changed.notify_all()
            return bool(waiting)

    def wait_until_blocked(self, pid: int) -> None:
        """Return when a session's statement waits for a lock.

        Raises:
            AssertionError: It does not within ten seconds.
        """
        with self._changed:
            blocked = self._changed.wait_for(
                lambda: any(other.pid == pid and other.waits_for for other in self._active),
                timeout=10,
            )
        assert blocked, f"the session {pid} does not wait for a lock"

    def close(self) -> None:
        """Disconnect the sessions that wait for a lock."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _end(self, transaction: Transaction) -> None:
        transaction.locks.clear()
        self._active.remove(transaction)
        self._forget_finished()
        self._changed.notify_all()

    def _forget_finished(self) -> None:
        """Forget the transactions that no active one overlaps, directly or through others."""
        horizon = min((transaction.begun for transaction in self._active), default=None)
        kept: list[Transaction] = []
        for transaction in reversed(self._finished[-_MAX_FINISHED:]):
            assert transaction.committed is not None
            if horizon is None or transaction.committed < horizon:
                break
            horizon = min(horizon, transaction.begun)
            kept.insert(0, transaction)
        self._finished = kept

    def _take_locks(self, transaction: Transaction, access: TableAccess) -> None:
        for table, lock in self._locks(access):
            started = next(self._clock)
            if self._blockers(transaction, table, lock):
                self._wait(transaction, table, lock)
                if self._dropped.get(table, 0) > started:
                    # The name was resolved to the table before it was dropped.
                    # https://github.com/dbt-labs/dbt-adapters/issues/617
                    raise Refused(
                        f"could not open relation with OID {self._table_id(table)}", _INTERNAL_ERROR
                    )
            transaction.locks.setdefault(table, set()).add(lock)

    def _locks(self, access: TableAccess) -> Iterator[tuple[str, Lock]]:
        """Yield the locks that a statement takes, in a fixed order."""
        append = Lock.WRITE if self.isolation is Isolation.SERIALIZABLE else Lock.APPEND
        yield from ((table, Lock.EXCLUSIVE) for table in sorted(access.locks))
        yield from ((table, Lock.WRITE) for table in sorted(access.changes))
        yield from ((table, append) for table in sorted(access.appends))
        yield from ((table, Lock.READ) for table in sorted(access.reads))
        # Of two transactions that create the same table, the second one waits for the first one.
        yield from ((f"new {table}", Lock.EXCLUSIVE) for table in sorted(access.creates))

    def _blockers(self, transaction: Transaction, table: str, lock: Lock) -> list[Transaction]:
        return [
            other
            for other in self._active
            if other is not transaction and other.locks.get(table, set()) & _CONFLICTS[lock]
        ]

    def _wait(self, transaction: Transaction, table: str, lock: Lock) -> None:
        transaction.waits_for, transaction.cancelled = (table, lock), False
        try:
            self._check_no_deadlock(transaction)
            self._changed.notify_all()
            free = self._changed.wait_for(
                lambda: (
                    self._closed
                    or transaction.cancelled
                    or not self._blockers(transaction, table, lock)
                ),
                timeout=_MAX_WAIT_SECONDS,
            )
        finally:
            transaction.waits_for = None
        if self._closed:
            raise Closed
        if transaction.cancelled:
            raise Refused("Query cancelled on user's request", "57014")
        if not free:
            raise Refused(f"waited {_MAX_WAIT_SECONDS} s for a lock on {table}", "57014")

    def _check_no_deadlock(self, transaction: Transaction) -> None:
        """Check that the transaction does not wait for itself through others."""
        seen: set[int] = set()
        pending = [transaction]
        while pending:
            waiting = pending.pop()
            if waiting.waits_for is None:
                continue
            for blocker in self._blockers(waiting, *waiting.waits_for):
                if blocker is transaction:
                    raise Refused("deadlock detected", "40P01")
                if blocker.number not in seen:
                    seen.add(blocker.number)
                    pending.append(blocker)

    def _check_exists(self, transaction: Transaction, access: TableAccess) -> None:
        """Check that no other transaction has created the tables since this one began.

        The documented example takes the snapshot at BEGIN, other pages at the first statement. This
        is the stricter reading.
        """
        for table in access.existing - transaction.created:
            if self._created.get(table, 0) > transaction.begun:
                raise Refused("1018", _INTERNAL_ERROR, "Relation does not exist.")

    def _check_unchanged(self, transaction: Transaction, access: TableAccess) -> None:
        if any(
            access.changes & other.writes and not transaction.sees(other)
            for other in self._finished
        ):
            raise Refused(CONFLICT, _INTERNAL_ERROR)

    def _check_serializable(self, transaction: Transaction, access: TableAccess) -> None:
        cycle = self._cycle(transaction)
        if cycle:
            tables = sorted(access.reads | access.writes)
            numbers = ", ".join(str(other.number) for other in cycle)
            raise Refused(
                "1023",
                _INTERNAL_ERROR,
                f"Serializable isolation violation on table - {self._table_id(tables[0])}, "
                f"transactions forming the cycle are: {numbers} (pid:{transaction.pid})",
            )

    def _cycle(self, transaction: Transaction) -> list[Transaction]:
        """Return the transactions of a cycle of dependencies, or none."""
        known = [*self._active, *self._finished]
        paths = [[transaction]]
        seen = {transaction.number}
        while paths:
            path = paths.pop()
            for other in known:
                if other is not path[-1] and path[-1].precedes(other):
                    if other is transaction:
                        return path
                    if other.number not in seen:
                        seen.add(other.number)
                        paths.append([*path, other])
        return []

    def _table_id(self, table: str) -> int:
        return self._table_ids.setdefault(table, 108263 + len(self._table_ids))


CONFLICT = "could not complete because of conflict with concurrent transaction"
"""https://github.com/dbt-labs/dbt-adapters/issues/626"""
