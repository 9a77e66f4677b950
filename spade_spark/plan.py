"""The plan of a replay: its window, input objects, schemas and tables.

A dry run prints the plan and a replay executes it. A run can only be resumed with the same plan.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from spade_spark.formatting import pluralize
from spade_spark.settings import Settings

PARTITION_BYTES = 32 * 1024 * 1024
"""Compressed input per partition, which takes a core a few seconds."""

SMALL_PARTITION_BYTES = 1024 * 1024
FEW_PARTITIONS = 8
"""A small window is split into up to this many partitions, so that several cores have work."""


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class InputObject:
    """An input object.

    Attributes:
        key: The key in the edge store.
        size: The compressed size in bytes.
        etag: The planned version; tasks refuse any other.
    """

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class InputPartition:
    """The objects that one task reads in order.

    Attributes:
        number: The index in the plan, from 0.
        sources: The objects, largest first.
    """

    number: int
    sources: tuple[InputObject, ...]

    @property
    def size(self) -> int:
        """The compressed size of all objects in bytes."""
        return sum(source.size for source in self.sources)


@dataclass(frozen=True)
class Plan:
    """What a run reads and writes.

    Attributes:
        run_tag: The output prefix.
        created: The UTC time when the plan was made.
        window: ``(START, END)`` of the command line, with offsets.
        tables: The tables to write, sorted.
        all_tables: Whether all tables were requested.
        schemas_sha256: SHA-256 of the published schemas (hex).
        edge: URL of the edge store.
        partitions: The input objects, one partition per task.
        settings: The settings that affect the rows, by full name, without secrets.
        version: The version of spade-spark.
        streams: The streams that the rows are published to, if any.
        streams_sha256: SHA-256 of the stream configuration (hex).
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
        """The ``YYYYMMDD`` prefix of the run's files in a separate store of untracked events."""
        return self.created.strftime("%Y%m%d")

    @property
    def sources(self) -> tuple[InputObject, ...]:
        """All input objects."""
        return tuple(source for part in self.partitions for source in part.sources)

    @property
    def size(self) -> int:
        """The compressed size of all input objects in bytes."""
        return sum(partition.size for partition in self.partitions)


def assign_to_partitions(sources: Iterable[InputObject]) -> tuple[InputPartition, ...]:
    """Assign objects to partitions of about equal size.

    The total size determines the number of partitions. The largest remaining object goes to the
    smallest partition: Graham's longest-processing-time rule, whose largest partition is at most
    4/3 of the optimum (SIAM J. Appl. Math. 17, 1969).
    """
    ordered = sorted(sources, key=lambda source: (-source.size, source.key))
    if not ordered:
        return ()
    count = _partition_count(ordered)
    bins: list[list[InputObject]] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for source in ordered:
        size, number = heapq.heappop(heap)
        bins[number].append(source)
        # Each object has a fixed cost, so empty objects are distributed too.
        heapq.heappush(heap, (size + max(source.size, 1), number))
    return tuple(InputPartition(number, tuple(objects)) for number, objects in enumerate(bins))


def _partition_count(sources: Sequence[_Sized]) -> int:
    total = sum(source.size for source in sources)
    by_size = -(-total // PARTITION_BYTES)
    when_small = min(FEW_PARTITIONS, -(-total // SMALL_PARTITION_BYTES))
    return min(len(sources), max(1, by_size, when_small))


def plan_differences(old: Plan, new: Plan) -> list[str]:
    """Describe each difference that prevents ``new`` from resuming the run of ``old``."""
    differences = []
    for name in ("window", "tables", "schemas_sha256", "edge", "streams", "streams_sha256"):
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            differences.append(f"{name} was {_short(before)}, is {_short(now)}")
    # The plan of an earlier version lacks newer settings, which then had their defaults.
    defaults = Settings().output_affecting(publishing=True)
    for name in sorted(old.settings.keys() | new.settings.keys()):
        before, now = (plan.settings.get(name, defaults.get(name, "")) for plan in (old, new))
        if before != now:
            differences.append(f"setting {name} was {before!r}, is {now!r}")
    return differences + _input_differences(old, new)


def _input_differences(old: Plan, new: Plan) -> list[str]:
    before = {source.key: source for source in old.sources}
    now = {source.key: source for source in new.sources}
    changes = {
        "missing": sorted(before.keys() - now.keys()),
        "new": sorted(now.keys() - before.keys()),
        "changed": sorted(key for key in before.keys() & now.keys() if before[key] != now[key]),
    }
    return [
        f"{pluralize(len(keys), 'input object')} {change}: {_short(tuple(keys))}"
        for change, keys in changes.items()
        if keys
    ]


def _short(value: object, limit: int = 3) -> str:
    if isinstance(value, tuple):
        more = f" and {len(value) - limit} more" if len(value) > limit else ""
        return ", ".join(str(part) for part in value[:limit]) + more or "none"
    return str(value)
