"""A lease that this process holds. A thread renews it and notices if it is taken over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

from spade_spark.errors import LockLostError, SpadeError
from spade_spark.formatting import format_age
from spade_spark.locking.lease import (
    LEASE_TIMEOUT,
    Lease,
    LeaseRequest,
    LeaseStore,
    LeaseTable,
)

HEARTBEAT_INTERVAL = timedelta(seconds=30)
"""Time between two heartbeats."""

_JOIN_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


class HeldLease:
    """A lease that this process holds until another process takes it over.

    Attributes:
        request: The granted request.
        displaced: The leases that it replaced.
    """

    def __init__(
        self, leases: LeaseStore, request: LeaseRequest, displaced: tuple[Lease, ...] = ()
    ) -> None:
        self.request = request
        self.displaced = displaced
        self._leases = leases
        self._lost = ""

    @property
    def lost(self) -> bool:
        """Whether this process knows that the lease was taken over."""
        return bool(self._lost)

    def check(self) -> None:
        """Check the result of the last heartbeat, without a request to the store.

        Raises:
            LockLostError: Another process took the lease over.
        """
        if self._lost:
            raise LockLostError(self._lost)

    def verify(self) -> None:
        """Check the lease in the store. Call this right before each change of a table.

        Raises:
            LockLostError: Another process took the lease over.
            TransientError: The store does not respond.
        """
        self.check()
        table = self._leases.table()
        if not table.holds(self.request):
            self._lose(table)
        self.check()

    def renew(self) -> None:
        """Write a heartbeat. If the store does not respond, the next heartbeat retries."""
        try:
            if not self._leases.renew(self.request):
                self._lose(self._leases.table())
        except SpadeError as error:
            _LOG.warning(
                "cannot renew the lock of run tag %s: %s; the next heartbeat retries, and the lock "
                "expires after %s without a heartbeat",
                self.request.run_tag,
                error,
                format_age(LEASE_TIMEOUT),
            )

    def _lose(self, table: LeaseTable) -> None:
        """Record that the lease is lost, and which process took it over."""
        holders = [str(lease.request) for lease in table.conflicts(self.request)]
        reason = (
            f"was taken over by {'; '.join(holders)}"
            if holders
            else "no longer exists: another command took it over"
        )
        self._lost = (
            f"the lock of run tag {self.request.run_tag} {reason}. This command stopped and "
            "changes no more tables. Finished work is kept. After the other command has ended, "
            "run this one again (a replay with its --runtag)"
        )


@contextmanager
def acquire_lease(
    leases: LeaseStore,
    request: LeaseRequest,
    steal_from: Collection[str] = (),
    interval: timedelta = HEARTBEAT_INTERVAL,
) -> Iterator[HeldLease]:
    """Hold a lease while the block runs, with heartbeats from a thread.

    Args:
        leases: The leases of the output store.
        request: The request.
        steal_from: Run tags whose leases are replaced, live or expired.
        interval: Time between two heartbeats.

    Raises:
        LockedError: Another lease conflicts; the block does not run.
    """
    lease = HeldLease(leases, request, leases.acquire(request, steal_from))
    stop = threading.Event()
    thread = threading.Thread(
        target=_keep_alive, args=(lease, stop, interval), name="lock-heartbeat", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        # A heartbeat after the release is harmless: it only updates existing leases.
        thread.join(_JOIN_SECONDS)
        _release(leases, request)


def _keep_alive(lease: HeldLease, stop: threading.Event, interval: timedelta) -> None:
    while not stop.wait(interval.total_seconds()) and not lease.lost:
        lease.renew()


def _release(leases: LeaseStore, request: LeaseRequest) -> None:
    """Release the lease. A store that does not respond must not fail a finished command."""
    try:
        leases.release(request)
    except SpadeError as error:
        _LOG.warning(
            "cannot release the lock of run tag %s: %s; it expires in %s",
            request.run_tag,
            error,
            format_age(LEASE_TIMEOUT),
        )
