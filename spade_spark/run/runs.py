"""What lies below an output store: the runs, each with what its own records say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from spade_spark.errors import InputError
from spade_spark.plan import Plan
from spade_spark.run.layout import Layout, is_tag
from spade_spark.run.loads import LoadRecord
from spade_spark.run.locks import Board, Held, Locks
from spade_spark.run.records import Manifest
from spade_spark.run.run import Run
from spade_spark.store import Store, StoredObject

_READERS = 8
_MOST = 5

# What an attempt at a partition calls its files (engine/partition.py), and nobody else.
_ATTEMPT = re.compile(r"\d{5,}-\d+-[0-9a-f]{12}-\d{4,}\.gz", re.ASCII)


@dataclass(frozen=True)
class FoundRun:
    """A run tag and what lies below it.

    Attributes:
        run_tag: The run tag.
        url: Where it lies.
        objects: All that lies below it, by key.
        plan: What was to be done; None where there is none, or it cannot be read, or a manifest
            says it all.
        manifest: What was made; None where the run is not complete, or it cannot be read.
        loads: What its loads came to, the oldest first.
        board: The claims, as they were when the run was looked at.
        problems: What is wrong with it, a sentence each.
    """

    run_tag: str
    url: str
    objects: tuple[StoredObject, ...]
    plan: Plan | None
    manifest: Manifest | None
    loads: tuple[LoadRecord, ...]
    board: Board
    problems: tuple[str, ...]

    @property
    def held(self) -> Held | None:
        """Its lock, dead or live."""
        return self.board.of(self.run_tag)

    @property
    def is_live(self) -> bool:
        """Whether somebody must be taken to be working on it."""
        return self.held is not None and self.board.is_live(self.held)

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
        prefix = Layout(self.run_tag).completed
        return sum(each.key.startswith(prefix) for each in self.objects)

    @property
    def leftovers(self) -> tuple[StoredObject, ...]:
        """What failed, repeated or speculative tasks left, which the manifest does not name.

        None before there is a manifest, and none of a run that an earlier tool made: what of its
        files counts, nothing can tell.
        """
        if self.manifest is None or not self.manifest.plan:
            return ()
        named = {self._below(file.key) for table in self.manifest.tables for file in table.files}
        named |= {file.url.removeprefix(self.url) for file in self.manifest.untracked}
        return tuple(
            each
            for each in self.objects
            if _ATTEMPT.fullmatch(each.key.rpartition("/")[2])
            and self._below(each.key) not in named
        )

    def _below(self, key: str) -> str:
        """A key of the store as one below the run tag."""
        return key.removeprefix(f"{self.run_tag}/")


def find_runs(store: Store) -> list[FoundRun]:
    """All runs below ``store``, by one listing and the records of each run."""
    board = Locks(store).board()
    groups = groupby(store.list(), key=lambda entry: entry.key.partition("/")[0])
    found = [(tag, tuple(entries)) for tag, entries in groups if is_tag(tag)]
    with ThreadPoolExecutor(_READERS, "runs") as pool:
        return list(pool.map(lambda each: _look(store, each[0], each[1], board), found))


def remove(store: Store, objects: Iterable[StoredObject], run_tag: str) -> None:
    """Removes objects of a run, in an order in which no step leaves it in a worse state.

    First what makes it loadable, then what makes partitions count as done, then files, last of
    all the plan: a removal that dies half-way leaves an abandoned run that can be removed again.
    """
    layout = Layout(run_tag)

    def rank(entry: StoredObject) -> int:
        if entry.key == layout.manifest:
            return 0
        if entry.key.startswith(layout.completed):
            return 1
        return 3 if entry.key == layout.plan else 2

    ordered = sorted(objects, key=rank)
    with ThreadPoolExecutor(_READERS, "remove") as pool:
        for _, step in groupby(ordered, key=rank):
            list(pool.map(store.delete, [entry.key for entry in step]))


def _look(store: Store, run_tag: str, objects: tuple[StoredObject, ...], board: Board) -> FoundRun:
    run = Run(store, run_tag)
    keys = {each.key: each for each in objects}
    problems: list[str] = []
    manifest = plan = None
    try:
        if run.layout.manifest in keys:
            sealed = run.sealed()
            manifest = sealed.manifest if sealed else None
        if manifest is None and run.layout.plan in keys:
            plan = run.plan()
    except InputError as error:
        problems.append(str(error))
    if manifest:
        problems += _missing(manifest, keys)
    return FoundRun(
        run_tag=run_tag,
        url=run.url,
        objects=objects,
        plan=plan,
        manifest=manifest,
        loads=tuple(_loads(run, keys, problems)),
        board=board,
        problems=tuple(problems),
    )


def _missing(manifest: Manifest, keys: dict[str, StoredObject]) -> Iterator[str]:
    """The manifest's files that are not there as it says."""
    wrong = []
    for table in manifest.tables:
        for file in table.files:
            there = keys.get(file.key)
            if there is None:
                wrong.append(f"{file.key} is not there")
            elif there.size != file.size:
                wrong.append(f"{file.key} has {there.size} bytes, the manifest says {file.size}")
    yield from wrong[:_MOST]
    if len(wrong) > _MOST:
        yield f"and {len(wrong) - _MOST} more files"


def _loads(run: Run, keys: Iterable[str], problems: list[str]) -> Iterator[LoadRecord]:
    for key in keys:
        if key.startswith(run.layout.loads):
            try:
                yield run.read_load(key)
            except InputError as error:
                problems.append(str(error))
