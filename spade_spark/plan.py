"""The plan of a replay: a value that says what will be read, by which schemas, into which tables.

A dry run prints it, a run executes it, and a run that died is gone on with only where a new plan
equals the old one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from spade_spark.settings import Settings

PARTITION_BYTES = 32 * 1024 * 1024
"""Compressed input of one partition: some seconds of a core's time."""

SMALL_PARTITION_BYTES = 1024 * 1024
FEW_PARTITIONS = 8
"""A small window is cut finer, so that more than one core has something to do."""


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class InputObject:
    """One object to read.

    Attributes:
        key: Its key below the edge store.
        size: Compressed bytes.
        etag: The version that was planned; another one is refused.
    """

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class InputPartition:
    """The objects that one task reads, one after the other.

    Attributes:
        number: Its place in the plan, from 0.
        sources: What it reads, biggest first.
    """

    number: int
    sources: tuple[InputObject, ...]

    @property
    def size(self) -> int:
        """Compressed bytes of all its sources."""
        return sum(source.size for source in self.sources)


@dataclass(frozen=True)
class Plan:
    """What a run reads and makes.

    Attributes:
        run_tag: The output prefix.
        created: When the plan was made, UTC.
        window: The window as the command line gave it, ``(START, END)`` with offsets.
        tables: The tables to make, sorted; with ``all_tables`` all that the schemas have.
        all_tables: Whether every table was asked for.
        schemas_sha256: Hash of the schemas as they were published (hex).
        edge: URL of the edge store.
        partitions: How the objects are dealt to tasks.
        settings: The settings that bear on the rows, without secrets, by full name.
        version: The version of this program.
        streams: The streams that the rows are published to; none where that was not asked.
        streams_sha256: Hash of their configuration (hex).
    """

    run_tag: str
    created: datetime
    window: tuple[str, str]
    tables: tuple[str, ...]
    all_tables: bool
    schemas_sha256: str
    edge: str
    partitions: tuple[InputPartition, ...]
    settings: dict[str, str]
    version: str
    streams: tuple[str, ...] = ()
    streams_sha256: str = ""

    @property
    def day(self) -> str:
        """``YYYYMMDD`` that the run's files in a bucket of untracked events lie below."""
        return self.created.strftime("%Y%m%d")

    @property
    def sources(self) -> tuple[InputObject, ...]:
        """Every object of the plan."""
        return tuple(source for part in self.partitions for source in part.sources)

    @property
    def size(self) -> int:
        """Compressed bytes of every object of the plan."""
        return sum(partition.size for partition in self.partitions)


def assign_to_partitions(sources: Iterable[InputObject]) -> tuple[InputPartition, ...]:
    """Deals objects to partitions by size, biggest first, each to the emptiest partition.

    The number of partitions follows from the bytes. Graham's longest-processing-time rule: no
    partition is longer than 4/3 of the best deal (SIAM J. Appl. Math. 17, 1969).
    """
    ordered = sorted(sources, key=lambda source: (-source.size, source.key))
    if not ordered:
        return ()
    count = _count(ordered)
    hands: list[list[InputObject]] = [[] for _ in range(count)]
    emptiest = [(0, number) for number in range(count)]
    for source in ordered:
        size, number = heapq.heappop(emptiest)
        hands[number].append(source)
        # An object has a cost of its own beside its bytes: many empty ones must spread too.
        heapq.heappush(emptiest, (size + max(source.size, 1), number))
    return tuple(InputPartition(number, tuple(hand)) for number, hand in enumerate(hands))


def _count(sources: Sequence[_Sized]) -> int:
    total = sum(source.size for source in sources)
    by_size = -(-total // PARTITION_BYTES)
    when_small = min(FEW_PARTITIONS, -(-total // SMALL_PARTITION_BYTES))
    return min(len(sources), max(1, by_size, when_small))


def plan_differences(old: Plan, new: Plan) -> list[str]:
    """What keeps a run of ``old`` from being gone on with as ``new``, a sentence each."""
    found = []
    for name in ("window", "tables", "schemas_sha256", "edge", "streams", "streams_sha256"):
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            found.append(f"{name} was {_short(before)}, is {_short(now)}")
    # A plan of a former version lacks the settings that came later: it went by their defaults.
    defaults = Settings().output_affecting(publishing=True)
    for name in sorted(old.settings.keys() | new.settings.keys()):
        before, now = (plan.settings.get(name, defaults.get(name, "")) for plan in (old, new))
        if before != now:
            found.append(f"setting {name} was {before!r}, is {now!r}")
    return found + _input_differences(old, new)


def _input_differences(old: Plan, new: Plan) -> list[str]:
    before = {source.key: source for source in old.sources}
    now = {source.key: source for source in new.sources}
    lists = {
        "no longer there": sorted(before.keys() - now.keys()),
        "new": sorted(now.keys() - before.keys()),
        "changed": sorted(key for key in before.keys() & now.keys() if before[key] != now[key]),
    }
    return [
        f"{len(keys)} objects {what}: {_short(tuple(keys))}" for what, keys in lists.items() if keys
    ]


def _short(value: object, most: int = 3) -> str:
    if isinstance(value, tuple):
        more = f" and {len(value) - most} more" if len(value) > most else ""
        return ", ".join(str(part) for part in value[:most]) + more or "none"
    return str(value)
