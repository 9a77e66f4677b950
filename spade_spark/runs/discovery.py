"""Find the runs below an output store and read their records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from spade_spark.errors import InputError, ObjectNotFoundError
from spade_spark.formatting import pluralize
from spade_spark.locking.lease import Lease, LeaseStore, LeaseTable
from spade_spark.plan import Plan
from spade_spark.runs.load_results import LoadRecord
from spade_spark.runs.manifest import Manifest
from spade_spark.runs.paths import RunPaths, is_tag
from spade_spark.runs.run_store import RunStore
from spade_spark.storage.base import Store, StoredObject

_READERS = 8
_MAX_SHOWN = 5

# File names of task attempts (spark/task.py).
_ATTEMPT_FILE = re.compile(r"\d{5,}-\d+-[0-9a-f]{12}-\d{4,}\.(?:gz|parquet)", re.ASCII)


@dataclass(frozen=True)
class DiscoveredRun:
    """A run tag and what is stored below it.

    Attributes:
        run_tag: The run tag.
        url: URL of the run.
        objects: All objects below it, by key.
        untracked: Its untracked events, if the settings name another store for them.
        plan: The plan; None if it is missing, cannot be read, or is not needed because there is a
            manifest.
        manifest: The manifest; None if the run is not complete or the manifest cannot be read.
        loads: Its load records, oldest first.
        lease_table: The leases when the run was read.
        problems: What is wrong with it, one sentence each.
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
        """Its lease, live or expired."""
        return self.lease_table.find(self.run_tag)

    @property
    def is_live(self) -> bool:
        """Whether a process may still be working on it."""
        return self.lease is not None and self.lease_table.is_live(self.lease)

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(entry.size for entry in self.objects)

    @property
    def window(self) -> tuple[str, str] | None:
        """``(START, END)`` with offsets; None if unknown."""
        source = self.manifest or self.plan
        return source.window if source else None

    @property
    def done(self) -> int:
        """Number of partitions with a completion record."""
        prefix = RunPaths(self.run_tag).completed
        return sum(entry.key.startswith(prefix) for entry in self.objects)

    @property
    def leftovers(self) -> tuple[StoredObject, ...]:
        """Files of failed, repeated or speculative task attempts that the manifest does not name.

        There are none until there is a manifest, and none for runs of an earlier tool, because no
        record tells which of their files are valid.
        """
        return self._leftovers(self.objects)

    @property
    def untracked_leftovers(self) -> tuple[StoredObject, ...]:
        """As :attr:`leftovers`, in the store of untracked events."""
        return self._leftovers(self.untracked)

    def _leftovers(self, objects: tuple[StoredObject, ...]) -> tuple[StoredObject, ...]:
        if self.manifest is None or not self.manifest.plan:
            return ()
        # File names of attempts are unique across stores and folders.
        keys = [file.key for table in self.manifest.tables for file in table.all_files]
        keys += [file.url for file in self.manifest.untracked]
        keys += [file.key for file in self.manifest.quarantine]
        named = {_name(key) for key in keys}
        return tuple(
            entry
            for entry in objects
            if _ATTEMPT_FILE.fullmatch(_name(entry.key)) and _name(entry.key) not in named
        )


@dataclass(frozen=True)
class PruneCandidate:
    """What can be removed of a run.

    Attributes:
        what: ``run`` or ``leftovers`` (of failed attempts).
        reason: Why it can be removed.
        objects: Number of objects.
        size: Bytes of the objects.
        untracked: How many of the objects are below ``output.untracked``.
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
        """Create a candidate of these objects; return None if there are none."""
        entries = (*objects, *untracked)
        size = sum(entry.size for entry in entries)
        return cls(what, reason, len(entries), size, len(untracked)) if entries else None


def find_runs(store: Store, untracked: Store | None = None) -> list[DiscoveredRun]:
    """Find all runs below ``store`` with one listing, and read the records of each.

    Args:
        store: The output store.
        untracked: The store of untracked events, if they are not below the run tags.
    """
    lease_table = LeaseStore(store).table()
    groups = groupby(store.list(), key=lambda entry: entry.key.partition("/")[0])
    runs = [(tag, tuple(entries)) for tag, entries in groups if is_tag(tag)]
    with ThreadPoolExecutor(_READERS, "runs") as pool:
        return list(
            pool.map(lambda run: _discover(store, untracked, run[0], run[1], lease_table), runs)
        )


def remove(entries: Iterable[tuple[Store, StoredObject]], run_tag: str) -> None:
    """Remove objects of a run in an order that is safe to interrupt.

    The order is manifest, completion records, other files, plan. The plan is last because it
    locates the untracked events. An interrupted removal leaves an abandoned run, which can be
    removed later.
    """
    paths = RunPaths(run_tag)

    def rank(entry: tuple[Store, StoredObject]) -> int:
        key = entry[1].key
        if key == paths.manifest:
            return 0
        if key.startswith(paths.completed):
            return 1
        return 3 if key == paths.plan else 2

    with ThreadPoolExecutor(_READERS, "remove") as pool:
        for _, batch in groupby(sorted(entries, key=rank), key=rank):
            list(pool.map(lambda entry: entry[0].delete(entry[1].key), batch))


def _discover(
    store: Store,
    untracked: Store | None,
    run_tag: str,
    objects: tuple[StoredObject, ...],
    lease_table: LeaseTable,
) -> DiscoveredRun:
    run = RunStore(store, run_tag)
    keys = {entry.key: entry for entry in objects}
    problems: list[str] = []
    manifest = plan = None
    events: tuple[StoredObject, ...] = ()
    try:
        if run.paths.manifest in keys:
            completed = run.completed_run()
            manifest = completed.manifest if completed else None
        if manifest is None and run.paths.plan in keys:
            plan = run.plan()
        if untracked:
            events = _untracked(run, plan or run.plan(), untracked)
    except InputError as error:
        problems.append(str(error))
    if manifest:
        problems += _file_problems(manifest, keys)
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
    """The run's objects in the store of untracked events; none if the run has no plan."""
    if plan is None:
        return ()
    try:
        return tuple(store.list(run.paths.untracked_by_day(plan.day, "")))
    except ObjectNotFoundError:  # no run has written to it yet
        return ()


def _name(key: str) -> str:
    """The file name of a key or URL."""
    return key.rpartition("/")[2]


def _file_problems(manifest: Manifest, keys: dict[str, StoredObject]) -> Iterator[str]:
    """Describe the files of the manifest that are missing or have another size."""
    problems = []
    for table in manifest.tables:
        for file in table.all_files:
            entry = keys.get(file.key)
            if entry is None:
                problems.append(f"{file.key} is missing")
            elif entry.size != file.size:
                problems.append(
                    f"{file.key} has {pluralize(entry.size, 'byte')}, but {file.size:,} in the "
                    "manifest"
                )
    yield from problems[:_MAX_SHOWN]
    if len(problems) > _MAX_SHOWN:
        more = pluralize(len(problems) - _MAX_SHOWN, "more file")
        yield f"{more} missing or of another size"


def _loads(run: RunStore, keys: Iterable[str], problems: list[str]) -> Iterator[LoadRecord]:
    for key in keys:
        if key.startswith(run.paths.loads):
            try:
                yield run.read_load(key)
            except InputError as error:
                problems.append(str(error))
