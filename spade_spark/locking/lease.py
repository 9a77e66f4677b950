"""Who replaces what at the moment: one small object beside the run tags, changed by conditions.

``_locks/claims.json`` below the output store holds every replay that runs, with its tables, its
window and its last sign of life. It is only ever changed by a replace on the condition that it is
still the one that was read, so that of two replays that want the same rows, or of two that take
over the same dead one's place, exactly one gets it. One read shows all of them.

All times are the store's own: those of its answers. The clocks of the machines play no part.

Two claims are rivals where they have the same run tag, or where both replace rows of the same
table and their windows, closed as in SQL, have a second in common. A rival is refused, live or
not, unless it is named (``--take-over TAG``); only a dead claim of the same run tag gives way by
itself, since going on with a run that died is what naming its run tag means. Dead is a claim that
gave no sign of life for :data:`LEASE_TIMEOUT`, or whose process is known to have ended on this
machine.

The lock keeps replays apart that would otherwise redo or undo each other's work. That no row is
lost or doubled does not rest on it, but on the warehouse's own transaction and ledger; replays
that write below different output stores meet only there.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from spade_spark.errors import InputError, LockedError, ObjectNotFoundError, TransientError
from spade_spark.locking.process import Process
from spade_spark.storage.base import Store
from spade_spark.storage.records import decode, encode
from spade_spark.window import Window

KEY = "_locks/claims.json"
"""Below the output store. No run tag begins with ``_``."""

LEASE_TIMEOUT = timedelta(minutes=2)
"""Without a sign of life for this long a claim is taken for dead: four heartbeats."""

_TRIES = 60
_READS = 5
_LONGEST_WAIT = 0.5
_UNITS = {"days": 86_400, "h": 3600, "min": 60}


@dataclass(frozen=True)
class LeaseRequest:
    """What one replay wants for itself.

    Attributes:
        id: Its own, however often a run tag is gone on with.
        run_tag: The run tag.
        process: Who it is.
        tables: The tables whose rows are replaced; None for all, empty where nothing is loaded.
        start: START as the time column holds it.
        end: END as the time column holds it.
    """

    id: str
    run_tag: str
    process: Process
    tables: tuple[str, ...] | None
    start: datetime
    end: datetime

    @classmethod
    def new(cls, run_tag: str, window: Window, tables: tuple[str, ...] | None) -> LeaseRequest:
        """This process's claim."""
        return cls(
            id=uuid.uuid4().hex,
            run_tag=run_tag,
            process=Process.current(),
            tables=tables,
            start=window.wall_start,
            end=window.wall_end,
        )

    def conflicts_with(self, other: LeaseRequest) -> bool:
        """Whether the two must not be at work at once."""
        if self.run_tag == other.run_tag:
            return True
        in_common = self.start <= other.end and other.start <= self.end
        return in_common and _have_one_in_common(self.tables, other.tables)

    def __str__(self) -> str:
        window = f"{self.start} to {self.end} Pacific"
        tables = "all tables" if self.tables is None else ", ".join(self.tables)
        what = f"replaces {tables} in {window}" if tables else f"transforms {window}"
        return f"run tag {self.run_tag} ({self.process}) {what}"


@dataclass(frozen=True)
class Lease:
    """A claim that was granted.

    Attributes:
        claim: The claim.
        since: When it was granted, by the store's clock.
        seen: Its last sign of life, by the store's clock.
    """

    claim: LeaseRequest
    since: datetime
    seen: datetime


@dataclass(frozen=True)
class LeaseTable:
    """All claims at one moment.

    Attributes:
        held: The claims, the oldest first.
        read_at: The moment, by the store's clock.
    """

    held: tuple[Lease, ...]
    read_at: datetime

    def age(self, held: Lease) -> timedelta:
        """How old the claim's last sign of life is."""
        return max(self.read_at - held.seen, timedelta())

    def is_live(self, held: Lease) -> bool:
        """Whether the claim's replay must be taken for running."""
        return self.age(held) <= LEASE_TIMEOUT and not held.claim.process.has_ended()

    def conflicts(self, claim: LeaseRequest) -> tuple[Lease, ...]:
        """The claims that stand in this one's way."""
        return tuple(each for each in self.held if each.claim.conflicts_with(claim))

    def find(self, run_tag: str) -> Lease | None:
        """The claim of a run tag."""
        return next((each for each in self.held if each.claim.run_tag == run_tag), None)

    def holds(self, claim: LeaseRequest) -> bool:
        """Whether this very claim is held."""
        return any(each.claim.id == claim.id for each in self.held)

    def refusal(self, claim: LeaseRequest, take_over: Collection[str] = ()) -> str:
        """Who stands in the way and does not give way, in words; empty where nobody does."""
        in_the_way = (
            each
            for each in self.conflicts(claim)
            if not self._may_be_replaced(each, claim, take_over)
        )
        return "; ".join(self._explain(each) for each in in_the_way)

    def _may_be_replaced(
        self, rival: Lease, claim: LeaseRequest, take_over: Collection[str]
    ) -> bool:
        if rival.claim.run_tag in take_over:
            return True
        return rival.claim.run_tag == claim.run_tag and not self.is_live(rival)

    def _explain(self, rival: Lease) -> str:
        """Who it is, how long ago it was seen, and what to do about it."""
        tag = rival.claim.run_tag
        seen = f"{rival.claim}; its last sign of life is {format_age(self.age(rival))} old"
        if self.is_live(rival):
            return (
                f"{seen}: wait until it has ended, or stop it, then take its place with "
                f"--take-over {tag}"
            )
        ended = rival.claim.process.has_ended()
        gone = "and its process has ended" if ended else "so it may be dead"
        return (
            f"{seen}, {gone}: go on with it with --runtag {tag}, or, if you know that it does not "
            f"run any more, take its place with --take-over {tag}"
        )


@dataclass(frozen=True)
class _Claims:
    """What the object holds."""

    held: tuple[Lease, ...] = ()


class LeaseStore:
    """The claims below one output store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def table(self) -> LeaseTable:
        """All claims, by one read.

        Raises:
            InputError: The object is none of this program's.
        """
        return self._read()[0]

    def acquire(self, claim: LeaseRequest, take_over: Collection[str] = ()) -> tuple[Lease, ...]:
        """Grants ``claim``, all of it or nothing.

        Args:
            claim: What is wanted.
            take_over: Run tags whose claims give way, whether they are live or not.

        Returns:
            The claims that gave way: their replays find that out by their next heartbeat.

        Raises:
            LockedError: A rival is in the way and is named in the message.
            TransientError: The object changed too often meanwhile.
        """
        gave_way: tuple[Lease, ...] = ()

        def grant(board: LeaseTable) -> tuple[Lease, ...]:
            nonlocal gave_way
            if board.holds(claim):  # by an earlier try whose answer was lost
                return board.held
            refusal = board.refusal(claim, take_over)
            if refusal:
                raise LockedError(refusal)
            gave_way = board.conflicts(claim)
            left = tuple(each for each in board.held if each not in gave_way)
            return (*left, Lease(claim, board.read_at, board.read_at))

        self._change(grant)
        return gave_way

    def renew(self, claim: LeaseRequest) -> bool:
        """Gives a sign of life; False where the claim is not held any more."""

        def refresh(board: LeaseTable) -> tuple[Lease, ...]:
            return tuple(
                replace(each, seen=board.read_at) if each.claim.id == claim.id else each
                for each in board.held
            )

        return self._change(refresh).holds(claim)

    def release(self, claim: LeaseRequest) -> None:
        """Gives ``claim`` up; one that is not held any more is no error."""
        self._change(lambda board: tuple(e for e in board.held if e.claim.id != claim.id))

    def _change(self, change: Callable[[LeaseTable], tuple[Lease, ...]]) -> LeaseTable:
        """Replaces the claims by what ``change`` makes of them; the board as it is then."""
        for _ in range(_TRIES):
            board, etag = self._read()
            held = change(board)
            if held == board.held:
                return board
            if not etag:
                self._store.write(KEY, encode(_Claims()), if_absent=True)
                continue
            if self._store.replace(KEY, encode(_Claims(held)), etag):
                return LeaseTable(held, board.read_at)
            # Of those that collided, each waits a time of its own.
            time.sleep(random.uniform(0, _LONGEST_WAIT))  # noqa: S311 - no secret
        raise TransientError(
            f"{self._store.url}{KEY}: others changed it at each of {_TRIES} tries; run the same "
            "command again"
        )

    def _read(self) -> tuple[LeaseTable, str]:
        """The board, and the object's ETag: empty where there is none.

        What cannot be decoded is read again: an answer may be cut, and look whole.
        """
        name = self._store.url + KEY
        for left in reversed(range(_READS)):
            try:
                found = self._store.snapshot(KEY)
                claims = decode(found.data, _Claims, name, "lock table")
                break
            except ObjectNotFoundError:
                return LeaseTable((), datetime.now(timezone.utc)), ""
            except InputError as error:
                if not left:
                    raise InputError(
                        f"{error}; once you know that no replay runs below {self._store.url}, "
                        "remove it"
                    ) from None
        return LeaseTable(claims.held, found.read_at), found.etag


def format_age(age: timedelta) -> str:
    """``age`` for people: ``12 s``, ``43 min``, ``5 h``, ``3 days``."""
    seconds = int(age.total_seconds())
    for unit, size in _UNITS.items():
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _have_one_in_common(ours: tuple[str, ...] | None, theirs: tuple[str, ...] | None) -> bool:
    """Whether a table is in both, spelt as it may be: a warehouse may fold names to lower case."""
    if ours is None or theirs is None:
        return ours != () and theirs != ()
    return bool({name.lower() for name in ours} & {name.lower() for name in theirs})
