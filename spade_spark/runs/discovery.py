"""What lies below an output store: the runs, each with what its own records say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from spade_spark.errors import InputError, ObjectNotFoundError
from spade_spark.locking.lease import Lease, LeaseStore, LeaseTable
from spade_spark.plan import Plan
from spade_spark.runs.load_results import LoadRecord
from spade_spark.runs.manifest import Manifest
from spade_spark.runs.paths import RunPaths, is_tag
from spade_spark.runs.run_store import RunStore
from spade_spark.storage.base import Store, StoredObject

_READERS = 8
_MOST = 5

# What an attempt at a partition calls its files (spark/task.py), and nobody else.
_ATTEMPT = re.compile(r"\d{5,}-\d+-[0-9a-f]{12}-\d{4,}\.(?:gz|parquet)", re.ASCII)


@dataclass(frozen=True)
class DiscoveredRun:
    """A run tag and what lies below it.

    Attributes:
        run_tag: The run tag.
        url: Where it lies.
        objects: All that lies below it, by key.
        untracked: Its untracked events, where the settings name another store for them.
        plan: What was to be done; None where there is none, or it cannot be read, or a manifest
            says it all.
        manifest: What was made; None where the run is not complete, or it cannot be read.
        loads: What its loads came to, the oldest first.
        lease_table: The claims, as they were when the run was looked at.
        problems: What is wrong with it, a sentence each.
    """

    run_tag: str
    url: str
    objects: tuple[StoredObject, ...]
    untracked: tuple[StoredObject, ...]
    plan: Plan | None
    manifest: Manifest | None
    loads: tuple[LoadRecord, ...]
    lease_table: LeaseTable
    problems: tuple[str, ...]

    @property
    def lease(self) -> Lease | None:
        """Its lock, dead or live."""
        return self.lease_table.find(self.run_tag)

    @property
    def is_live(self) -> bool:
        """Whether somebody must be taken to be working on it."""
        return self.lease is not None and self.lease_table.is_live(self.lease)

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(each.size for each in self.objects)

    @property
    def window(self) -> tuple[str, str] | None:
        """``(START, END)`` with offsets, where it is known."""
        source = self.manifest or self.plan
        return source.window if source else None

    @property
    def done(self) -> int:
        """Partitions with a completion record."""
        prefix = RunPaths(self.run_tag).completed
        return sum(each.key.startswith(prefix) for each in self.objects)

    @property
    def leftovers(self) -> tuple[StoredObject, ...]:
        """What failed, repeated or speculative tasks left, which the manifest does not name.

        None before there is a manifest, and none of a run that an earlier tool made: what of its
        files counts, nothing can tell.
        """
        return self._unnamed(self.objects)

    @property
    def untracked_leftovers(self) -> tuple[StoredObject, ...]:
        """The same in the other store for untracked events."""
        return self._unnamed(self.untracked)

    def _unnamed(self, objects: tuple[StoredObject, ...]) -> tuple[StoredObject, ...]:
        if self.manifest is None or not self.manifest.plan:
            return ()
        # No two files of any attempts have the same name, wherever they lie.
        keys = [file.key for table in self.manifest.tables for file in table.every]
        keys += [file.url for file in self.manifest.untracked]
        keys += [file.key for file in self.manifest.quarantine]
        named = {_name(key) for key in keys}
        return tuple(
            each
            for each in objects
            if _ATTEMPT.fullmatch(_name(each.key)) and _name(each.key) not in named
        )


@dataclass(frozen=True)
class PruneCandidate:
    """What can be removed of a run.

    Attributes:
        what: ``run`` or ``leftovers`` (of failed attempts).
        reason: Why.
        objects: Objects that would go.
        size: Their bytes.
        untracked: How many of them lie below ``output.untracked``.
    """

    what: str
    reason: str
    objects: int
    size: int
    untracked: int = 0

    @classmethod
    def of(
        cls,
        what: str,
        reason: str,
        objects: tuple[StoredObject, ...],
        untracked: tuple[StoredObject, ...],
    ) -> PruneCandidate | None:
        """These objects; None where there are none."""
        every = (*objects, *untracked)
        size = sum(each.size for each in every)
        return cls(what, reason, len(every), size, len(untracked)) if every else None


def find_runs(store: Store, untracked: Store | None = None) -> list[DiscoveredRun]:
    """All runs below ``store``, by one listing and the records of each run.

    Args:
        store: The output store.
        untracked: Where untracked events lie, if that is not below their run tags.
    """
    lease_table = LeaseStore(store).table()
    groups = groupby(store.list(), key=lambda entry: entry.key.partition("/")[0])
    found = [(tag, tuple(entries)) for tag, entries in groups if is_tag(tag)]
    with ThreadPoolExecutor(_READERS, "runs") as pool:
        return list(
            pool.map(lambda each: _discover(store, untracked, each[0], each[1], lease_table), found)
        )


def remove(entries: Iterable[tuple[Store, StoredObject]], run_tag: str) -> None:
    """Removes objects of a run, in an order in which no step leaves it in a worse state.

    First what makes it loadable, then what makes partitions count as done, then files, last of
    all the plan, which tells where untracked events lie: a removal that dies half-way leaves an
    abandoned run that can be removed again.
    """
    layout = RunPaths(run_tag)

    def rank(entry: tuple[Store, StoredObject]) -> int:
        key = entry[1].key
        if key == layout.manifest:
            return 0
        if key.startswith(layout.completed):
            return 1
        return 3 if key == layout.plan else 2

    with ThreadPoolExecutor(_READERS, "remove") as pool:
        for _, step in groupby(sorted(entries, key=rank), key=rank):
            list(pool.map(lambda entry: entry[0].delete(entry[1].key), step))


def _discover(
    store: Store,
    untracked: Store | None,
    run_tag: str,
    objects: tuple[StoredObject, ...],
    lease_table: LeaseTable,
) -> DiscoveredRun:
    run = RunStore(store, run_tag)
    keys = {each.key: each for each in objects}
    problems: list[str] = []
    manifest = plan = None
    events: tuple[StoredObject, ...] = ()
    try:
        if run.layout.manifest in keys:
            sealed = run.completed_run()
            manifest = sealed.manifest if sealed else None
        if manifest is None and run.layout.plan in keys:
            plan = run.plan()
        if untracked:
            events = _untracked(run, plan or run.plan(), untracked)
    except InputError as error:
        problems.append(str(error))
    if manifest:
        problems += _missing(manifest, keys)
    return DiscoveredRun(
        run_tag=run_tag,
        url=run.url,
        objects=objects,
        untracked=events,
        plan=plan,
        manifest=manifest,
        loads=tuple(_loads(run, keys, problems)),
        lease_table=lease_table,
        problems=tuple(problems),
    )


def _untracked(run: RunStore, plan: Plan | None, store: Store) -> tuple[StoredObject, ...]:
    """The run's untracked events in a store of their own; none of a run without a plan."""
    if plan is None:
        return ()
    try:
        return tuple(store.list(run.layout.untracked_by_day(plan.day, "")))
    except ObjectNotFoundError:  # nothing was ever written there
        return ()


def _name(key: str) -> str:
    """A file's name, of its key or URL."""
    return key.rpartition("/")[2]


def _missing(manifest: Manifest, keys: dict[str, StoredObject]) -> Iterator[str]:
    """The manifest's files that are not there as it says."""
    wrong = []
    for table in manifest.tables:
        for file in table.every:
            there = keys.get(file.key)
            if there is None:
                wrong.append(f"{file.key} is not there")
            elif there.size != file.size:
                wrong.append(f"{file.key} has {there.size} bytes, the manifest says {file.size}")
    yield from wrong[:_MOST]
    if len(wrong) > _MOST:
        yield f"and {len(wrong) - _MOST} more files"


def _loads(run: RunStore, keys: Iterable[str], problems: list[str]) -> Iterator[LoadRecord]:
    for key in keys:
        if key.startswith(run.layout.loads):
            try:
                yield run.read_load(key)
            except InputError as error:
                problems.append(str(error))
