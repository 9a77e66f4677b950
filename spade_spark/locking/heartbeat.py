"""A lock that is held: it gives signs of life, and notices when somebody took it over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

from spade_spark.errors import LockLostError, SpadeError
from spade_spark.locking.lease import (
    LEASE_TIMEOUT,
    Lease,
    LeaseRequest,
    LeaseStore,
    LeaseTable,
    format_age,
)

HEARTBEAT_INTERVAL = timedelta(seconds=30)
"""From one sign of life to the next."""

_JOIN_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


class HeldLease:
    """A claim that this process holds, until somebody takes it over.

    Attributes:
        claim: The claim.
        gave_way: The claims that it took the place of.
    """

    def __init__(
        self, locks: LeaseStore, claim: LeaseRequest, gave_way: tuple[Lease, ...] = ()
    ) -> None:
        self.claim = claim
        self.gave_way = gave_way
        self._locks = locks
        self._lost = ""

    @property
    def lost(self) -> bool:
        """Whether the last look found that somebody took the lock over."""
        return bool(self._lost)

    def check(self) -> None:
        """Costs nothing: what the last heartbeat found.

        Raises:
            LockLostError: Somebody took the lock over.
        """
        if self._lost:
            raise LockLostError(self._lost)

    def verify(self) -> None:
        """Asks the store: to be called right before what only the holder may do.

        Raises:
            LockLostError: Somebody took the lock over.
            TransientError: The store does not answer.
        """
        self.check()
        board = self._locks.table()
        if not board.holds(self.claim):
            self._lose(board)
        self.check()

    def renew(self) -> None:
        """One sign of life. A store that does not answer is asked again at the next one."""
        try:
            if not self._locks.renew(self.claim):
                self._lose(self._locks.table())
        except SpadeError as error:
            _LOG.warning(
                "the lock of run tag %s could not give a sign of life: %s; after %s others may "
                "take it for dead",
                self.claim.run_tag,
                error,
                format_age(LEASE_TIMEOUT),
            )

    def _lose(self, board: LeaseTable) -> None:
        """Remembers, in words, that the claim is gone and who has its place."""
        takers = [str(each.claim) for each in board.conflicts(self.claim)]
        by = f"was taken over: {'; '.join(takers)}" if takers else "is gone: somebody took it over"
        self._lost = (
            f"the lock of run tag {self.claim.run_tag} {by}. This command stopped and "
            "changes no more tables; what it finished is kept, and the same command resumes it"
        )


@contextmanager
def acquire_lease(
    locks: LeaseStore,
    claim: LeaseRequest,
    take_over: Collection[str] = (),
    every: timedelta = HEARTBEAT_INTERVAL,
) -> Iterator[HeldLease]:
    """Holds ``claim`` for as long as the block runs, with a heartbeat from a thread of its own.

    Args:
        locks: Where it is claimed.
        claim: What is wanted.
        take_over: Run tags whose claims give way, whether they are live or not.
        every: From one sign of life to the next.

    Raises:
        LockedError: A rival is in the way; the block is not run.
    """
    lock = HeldLease(locks, claim, locks.acquire(claim, take_over))
    stop = threading.Event()
    thread = threading.Thread(
        target=_keep_alive, args=(lock, stop, every), name="lock-heartbeat", daemon=True
    )
    thread.start()
    try:
        yield lock
    finally:
        stop.set()
        # A beat that comes after the release changes nothing: it refreshes what is there.
        thread.join(_JOIN_SECONDS)
        _release(locks, claim)


def _keep_alive(lock: HeldLease, stop: threading.Event, every: timedelta) -> None:
    while not stop.wait(every.total_seconds()) and not lock.lost:
        lock.renew()


def _release(locks: LeaseStore, claim: LeaseRequest) -> None:
    """Gives the claim up; what was done is done, though the store does not answer."""
    try:
        locks.release(claim)
    except SpadeError as error:
        _LOG.warning(
            "the lock of run tag %s could not be released: %s; it is taken for dead after %s",
            claim.run_tag,
            error,
            format_age(LEASE_TIMEOUT),
        )
