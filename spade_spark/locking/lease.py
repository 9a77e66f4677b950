"""Leases of running replays, in one small object that is changed by conditional writes.

``_locks/claims.json`` below the output store lists every running replay with its tables, its
window and its last heartbeat. A process replaces it only if its ETag is still the one that the
process read. If two replays request the same rows, or take over the same expired lease, exactly
one succeeds. One read returns all leases. Messages and the documentation call a lease a lock.

All times are those of the store's responses. The clocks of the machines do not matter.

Two leases conflict if they have the same run tag, or if both replace rows of the same table and
their windows (both ends inclusive, as in SQL) have a second in common. A conflicting request is
refused, unless the user names the other run tag (``--take-over TAG``). An expired lease of the
same run tag is replaced without this option, because to name a run tag is to resume it. A lease
expires after :data:`LEASE_TIMEOUT` without a heartbeat, or when its process is known to have ended
on this machine.

Correctness does not depend on the lease: the warehouse's transactions and the replay log make sure
that no row is lost or duplicated. The lease prevents replays from repeating or undoing each
other's work. It does not cover replays that write below another output store.
"""

from __future__ import annotations

import random
import shlex
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import msgspec

from spade_spark.errors import InputError, LockedError, ObjectNotFoundError, TransientError
from spade_spark.formatting import format_age
from spade_spark.locking.process import Process
from spade_spark.storage.base import Store
from spade_spark.storage.json_codec import decode, encode
from spade_spark.window import Window

KEY = "_locks/claims.json"
"""Key below the output store. No run tag begins with ``_``."""

LEASE_TIMEOUT = timedelta(minutes=2)
"""A lease expires after this time without a heartbeat: four heartbeat intervals."""

_WRITE_ATTEMPTS = 60
_READ_ATTEMPTS = 5
_MAX_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class LeaseRequest:
    """The rows that a replay locks.

    Attributes:
        id: A unique id; a resumed run has a new one.
        run_tag: The run tag.
        process: The requesting process.
        tables: The tables whose rows it replaces; None for all, empty if it loads nothing.
        start: START as in the time column: Pacific wall-clock time without a zone.
        end: END, likewise.
        command: The command that holds the lease if it is not a replay: ``undo``.
    """

    id: str
    run_tag: str
    process: Process
    tables: tuple[str, ...] | None
    start: datetime
    end: datetime
    command: str = ""

    @classmethod
    def new(
        cls, run_tag: str, window: Window, tables: tuple[str, ...] | None, command: str = ""
    ) -> LeaseRequest:
        """Create a request of this process."""
        return cls(
            id=uuid.uuid4().hex,
            run_tag=run_tag,
            process=Process.current(),
            tables=tables,
            start=window.wall_start,
            end=window.wall_end,
            command=command,
        )

    def conflicts_with(self, other: LeaseRequest) -> bool:
        """Whether the two must not run at the same time."""
        if self.run_tag == other.run_tag:
            return True
        overlap = self.start <= other.end and other.start <= self.end
        return overlap and _share_a_table(self.tables, other.tables)

    def __str__(self) -> str:
        window = f"the window {self.start} to {self.end} Pacific"
        tables = "all tables" if self.tables is None else ", ".join(self.tables)
        action = f"replaces {tables} in {window}" if tables else f"transforms {window}"
        command = f"the {self.command} of " if self.command else ""
        return f"{command}run tag {self.run_tag} ({self.process}), which {action}"

    @property
    def resume_hint(self) -> str:
        """What to do after the process of this request has died."""
        if self.command == "undo":
            return f"run it again with {shlex.join(['spade-spark', 'undo', self.run_tag])}"
        return f"resume it with --runtag {self.run_tag}"


class Lease(
    msgspec.Struct,
    frozen=True,
    rename={"request": "claim", "acquired_at": "since", "heartbeat_at": "seen"},
):
    """A granted request. All times are by the store's clock.

    Attributes:
        request: The request.
        acquired_at: When it was granted.
        heartbeat_at: The last heartbeat.
    """

    request: LeaseRequest
    acquired_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True)
class LeaseTable:
    """All leases at one time.

    Attributes:
        leases: The leases, oldest first.
        read_at: That time, by the store's clock.
    """

    leases: tuple[Lease, ...]
    read_at: datetime

    def age(self, lease: Lease) -> timedelta:
        """Time since the last heartbeat."""
        return max(self.read_at - lease.heartbeat_at, timedelta())

    def is_live(self, lease: Lease) -> bool:
        """Whether the holder may still be running."""
        return self.age(lease) <= LEASE_TIMEOUT and not lease.request.process.has_ended()

    def conflicts(self, request: LeaseRequest) -> tuple[Lease, ...]:
        """The leases that conflict with a request."""
        return tuple(lease for lease in self.leases if lease.request.conflicts_with(request))

    def find(self, run_tag: str) -> Lease | None:
        """The lease of a run tag."""
        return next((lease for lease in self.leases if lease.request.run_tag == run_tag), None)

    def holds(self, request: LeaseRequest) -> bool:
        """Whether exactly this request is granted."""
        return any(lease.request.id == request.id for lease in self.leases)

    def refusal(self, request: LeaseRequest, steal_from: Collection[str] = ()) -> str:
        """Why the request is refused, and what to do; empty if it can be granted."""
        return "; ".join(
            self._explain(lease, request)
            for lease in self.conflicts(request)
            if not self._may_be_replaced(lease, request, steal_from)
        )

    def _may_be_replaced(
        self, lease: Lease, request: LeaseRequest, steal_from: Collection[str]
    ) -> bool:
        if lease.request.run_tag in steal_from:
            return True
        return lease.request.run_tag == request.run_tag and not self.is_live(lease)

    def _explain(self, lease: Lease, request: LeaseRequest) -> str:
        """Describe a lease that conflicts with a request, and what to do."""
        tag = lease.request.run_tag
        age = format_age(self.age(lease))
        holder = f"locked by {lease.request}; its last heartbeat was {age} ago"
        if tag == request.run_tag:
            # Not every command has --take-over, and none needs it for its own run tag.
            return (
                f"{holder}: wait until it has ended, or stop it and run this command again when "
                f"its last heartbeat is {format_age(LEASE_TIMEOUT)} old"
            )
        if self.is_live(lease):
            return (
                f"{holder}: wait until it has ended, or stop it and take over its lock with "
                f"--take-over {tag}"
            )
        ended = lease.request.process.has_ended()
        reason = " and its process has ended" if ended else ", so it may be dead"
        return (
            f"{holder}{reason}: {lease.request.resume_hint}, or, if you are sure that it no "
            f"longer runs, take over its lock with --take-over {tag}"
        )


class _LeaseRecord(msgspec.Struct, frozen=True, rename={"leases": "held"}):
    """The content of the object."""

    leases: tuple[Lease, ...] = ()


class LeaseStore:
    """The leases below one output store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def table(self) -> LeaseTable:
        """Read all leases.

        Raises:
            InputError: The object cannot be decoded.
        """
        return self._read()[0]

    def acquire(self, request: LeaseRequest, steal_from: Collection[str] = ()) -> tuple[Lease, ...]:
        """Grant a request in full, or refuse it.

        Args:
            request: The request.
            steal_from: Run tags whose leases are replaced, live or expired.

        Returns:
            The replaced leases. Their holders notice at their next heartbeat.

        Raises:
            LockedError: Another lease conflicts; the message names it.
            TransientError: Other processes changed the object at each attempt.
        """
        displaced: tuple[Lease, ...] = ()

        def grant(table: LeaseTable) -> tuple[Lease, ...]:
            nonlocal displaced
            if table.holds(request):  # granted by an earlier attempt whose response was lost
                return table.leases
            refusal = table.refusal(request, steal_from)
            if refusal:
                raise LockedError(refusal)
            displaced = table.conflicts(request)
            others = tuple(lease for lease in table.leases if lease not in displaced)
            return (*others, Lease(request, table.read_at, table.read_at))

        self._change(grant)
        return displaced

    def renew(self, request: LeaseRequest) -> bool:
        """Write a heartbeat; return False if the lease is no longer held."""

        def refresh(table: LeaseTable) -> tuple[Lease, ...]:
            return tuple(
                msgspec.structs.replace(lease, heartbeat_at=table.read_at)
                if lease.request.id == request.id
                else lease
                for lease in table.leases
            )

        return self._change(refresh).holds(request)

    def release(self, request: LeaseRequest) -> None:
        """Release a lease; do nothing if it is no longer held."""
        self._change(
            lambda table: tuple(lease for lease in table.leases if lease.request.id != request.id)
        )

    def _change(self, change: Callable[[LeaseTable], tuple[Lease, ...]]) -> LeaseTable:
        """Apply ``change`` to the leases; return the table after it."""
        for _ in range(_WRITE_ATTEMPTS):
            table, etag = self._read()
            leases = change(table)
            if leases == table.leases:
                return table
            if not etag:
                self._store.write(KEY, encode(_LeaseRecord()), if_absent=True)
                continue
            if self._store.replace(KEY, encode(_LeaseRecord(leases)), etag):
                return LeaseTable(leases, table.read_at)
            # A random wait makes another collision of the same processes unlikely.
            time.sleep(random.uniform(0, _MAX_WAIT_SECONDS))  # noqa: S311 - no secret
        raise TransientError(
            f"cannot change the lock file {self._store.url}{KEY}: other processes changed it "
            f"during each of {_WRITE_ATTEMPTS} attempts; run the same command again"
        )

    def _read(self) -> tuple[LeaseTable, str]:
        """Read the leases and the object's ETag, which is empty if the object does not exist.

        A response can be cut off and still look complete, so data that cannot be decoded is read
        again.
        """
        name = self._store.url + KEY
        for attempts_left in reversed(range(_READ_ATTEMPTS)):
            try:
                versioned = self._store.read_versioned(KEY)
                record = decode(versioned.data, _LeaseRecord, name, "lock file")
                break
            except ObjectNotFoundError:
                return LeaseTable((), datetime.now(timezone.utc)), ""
            except InputError as error:
                if not attempts_left:
                    raise InputError(
                        f"{error}; make sure that no replay runs below {self._store.url}, then "
                        "delete the object"
                    ) from None
        return LeaseTable(record.leases, versioned.read_at), versioned.etag


def _share_a_table(ours: tuple[str, ...] | None, theirs: tuple[str, ...] | None) -> bool:
    """Whether a table is in both; a warehouse may fold names to lower case."""
    if ours is None or theirs is None:
        return ours != () and theirs != ()
    return bool({name.lower() for name in ours} & {name.lower() for name in theirs})
