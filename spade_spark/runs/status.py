"""The state of runs, as people are shown it: values, made from what was found and loaded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from spade_spark.plan import Plan
from spade_spark.runs.discovery import DiscoveredRun, PruneCandidate
from spade_spark.runs.manifest import Manifest
from spade_spark.runs.paths import QUARANTINE, UNDO
from spade_spark.window import Window


class State(str, Enum):
    """What a run is."""

    TRANSFORMING = "transforming"
    """Somebody makes its rows."""
    LOADING = "loading"
    """Its rows are made, and somebody is at work on it."""
    ABANDONED = "abandoned"
    """It was begun, is not complete, and nobody works on it."""
    COMPLETE = "complete"
    """Its rows are made, and not, or not all, loaded."""
    LOADED = "loaded"
    """All its tables are loaded."""
    UNDONE = "undone"
    """All its tables were loaded, and the load of some or all of them was undone."""
    DAMAGED = "damaged"
    """Its records cannot be read, or files that it names are missing or of another size."""
    LEGACY = "foreign"
    """It has neither plan nor manifest: an earlier tool's."""


@dataclass(frozen=True)
class RunTable:
    """One table of a run; rows, files and size are 0 before the run is complete.

    Attributes:
        table: The table's name.
        version: The Blueprint version that made the rows; None before the run is complete.
        rows: Rows made.
        files: Files that count.
        size: Their bytes.
    """

    table: str
    version: int | None
    rows: int = 0
    files: int = 0
    size: int = 0


class TableLoad(msgspec.Struct, frozen=True, rename={"in_replay_log": "in_ledger"}):
    """The newest load of a run into one table of one warehouse.

    Attributes:
        run_tag: The run.
        table: The table's name.
        warehouse: ``host:port/database``.
        at: When, UTC.
        start: START of the window replaced, as the time column holds it.
        end: END of it.
        before: Rows in the window before; None where only the warehouse's ledger knows of the load.
        deleted: Rows deleted.
        inserted: Rows inserted.
        recorded: Whether the run has a record of it: a driver that died after the commit left none.
        in_replay_log: Whether the replay log has it; None if that warehouse was not queried.
        backup: Where the rows deleted are kept; empty for nowhere, or where it is not known.
        undone: When it was undone, UTC; None where it stands.
    """

    run_tag: str
    table: str
    warehouse: str
    at: datetime
    start: datetime
    end: datetime
    before: int | None
    deleted: int
    inserted: int
    recorded: bool
    in_replay_log: bool | None
    backup: str = ""
    undone: datetime | None = None

    def covers(self, other: Window) -> bool:
        """Whether the window that was replaced has all of ``other`` in it."""
        return self.start <= other.wall_start and other.wall_end <= self.end


@dataclass(frozen=True)
class LeaseHolder:
    """Who holds a run's lock.

    Attributes:
        process: User, host and number of the process.
        seconds: How old its last sign of life is.
        live: Whether it must be taken for running.
    """

    process: str
    seconds: int
    live: bool


@dataclass(frozen=True)
class RunState:
    """One run, as it stands.

    Attributes:
        run_tag: The run tag.
        url: Where it lies.
        state: What it is.
        window: ``(START, END)`` with offsets; None where it is not known.
        tables: Its tables.
        partitions: Partitions planned; None where only the manifest was read.
        done: Partitions done.
        objects: Objects below the run tag.
        size: Their bytes.
        loads: Where and when it was loaded.
        lock: Who holds its lock, dead or live.
        problems: What is wrong with it, a sentence each.
        removable: What `runs --prune` offers to remove of it.
        next: What to do next.
    """

    run_tag: str
    url: str
    state: State
    window: tuple[str, str] | None
    tables: tuple[RunTable, ...]
    partitions: int | None
    done: int
    objects: int
    size: int
    loads: tuple[TableLoad, ...]
    lock: LeaseHolder | None
    problems: tuple[str, ...]
    removable: PruneCandidate | None
    next: str

    @property
    def rows(self) -> int:
        """Rows made, of all tables."""
        return sum(table.rows for table in self.tables)


def state_of(found: DiscoveredRun, loads: Iterable[TableLoad]) -> RunState:
    """``found`` as it stands.

    Args:
        found: What lies below its run tag.
        loads: All loads that are known, of other runs as well.
    """
    every = tuple(loads)
    mine = tuple(each for each in every if each.run_tag == found.run_tag)
    state = _state(found, mine)
    return RunState(
        run_tag=found.run_tag,
        url=found.url,
        state=state,
        window=found.window,
        tables=_tables(found),
        partitions=len(found.plan.partitions) if found.plan else None,
        done=found.done,
        objects=len(found.objects),
        size=found.size,
        loads=mine,
        lock=_holder(found),
        problems=found.problems,
        removable=_removable(found, state, every),
        next=_next_step(found, state, mine),
    )


def _state(found: DiscoveredRun, loads: tuple[TableLoad, ...]) -> State:
    if found.is_live:
        return State.LOADING if found.manifest else State.TRANSFORMING
    if found.problems:
        return State.DAMAGED
    if found.manifest:
        if _not_loaded(found, loads):
            return State.COMPLETE
        return State.UNDONE if any(each.undone for each in loads) else State.LOADED
    return State.ABANDONED if found.plan else State.LEGACY


def _not_loaded(found: DiscoveredRun, loads: Iterable[TableLoad]) -> list[str]:
    """The made tables that no warehouse has, as far as is known."""
    assert found.manifest is not None
    loaded = {each.table for each in loads if each.in_replay_log is not False}
    return [made.table for made in found.manifest.tables if made.table not in loaded]


def _tables(found: DiscoveredRun) -> tuple[RunTable, ...]:
    if found.manifest:
        return tuple(
            RunTable(
                made.table,
                made.version,
                made.rows,
                len(made.every),
                sum(file.size for file in made.every),
            )
            for made in found.manifest.tables
        )
    return tuple(RunTable(name, None) for name in found.plan.tables) if found.plan else ()


def _holder(found: DiscoveredRun) -> LeaseHolder | None:
    if found.lease is None:
        return None
    age = found.lease_table.age(found.lease)
    return LeaseHolder(str(found.lease.request.process), int(age.total_seconds()), found.is_live)


def _removable(
    found: DiscoveredRun, state: State, loads: tuple[TableLoad, ...]
) -> PruneCandidate | None:
    """What may go; nothing of what somebody works on, or of what is not understood."""
    if state is State.ABANDONED:
        return PruneCandidate.of("run", "abandoned", found.objects, found.untracked)
    if state not in {State.COMPLETE, State.LOADED, State.UNDONE}:
        return None
    by = _superseded_by(found, loads)
    if by:
        return PruneCandidate.of("run", f"superseded by {by}", found.objects, found.untracked)
    left = found.leftovers, found.untracked_leftovers
    return PruneCandidate.of("leftovers", "named by no manifest", *left)


def _superseded_by(found: DiscoveredRun, loads: tuple[TableLoad, ...]) -> str:
    """The runs that were loaded over all of this one since, or nothing.

    Where this one was loaded itself, they must have been loaded there, after it. A run of Parquet
    alone is for a lake, in which no load takes its place.
    """
    assert found.manifest is not None
    if not found.manifest.has_tsv:
        return ""
    window = Window.parse(*found.manifest.window)
    by = set()
    for made in found.manifest.tables:
        others = [
            each
            for each in loads
            if each.table == made.table
            and each.run_tag != found.run_tag
            and each.undone is None
            and each.covers(window)
        ]
        own = [each for each in loads if (each.run_tag, each.table) == (found.run_tag, made.table)]
        places = [(each.warehouse, each.at) for each in own] or [("", found.manifest.created)]
        for place, since in places:
            later = [
                each.run_tag for each in others if each.at > since and place in {"", each.warehouse}
            ]
            if not later:
                return ""
            by.add(later[-1])
    return ", ".join(sorted(by))


def _next_step(found: DiscoveredRun, state: State, loads: tuple[TableLoad, ...]) -> str:
    tag = found.run_tag
    if found.is_live:
        return "wait until it has ended"
    if state is State.DAMAGED:
        return "begin a new run: leave --runtag out"
    if state is State.LEGACY:
        return (
            f"load it, if it is an earlier tool's, with --skip-transform --by-prefix --runtag {tag}"
        )
    if found.plan:
        return f"go on with it: {_command(found.plan.window, _plan_args(found.plan), tag)}"
    assert found.manifest is not None
    left = _not_loaded(found, loads)
    return _load_hint(found.manifest, left) if left else _undo_hint(state, tag, loads)


def _load_hint(manifest: Manifest, tables: Iterable[str]) -> str:
    """What can be done with a run that is complete."""
    tag = manifest.run_tag
    damaged = ("--allow-damaged", str(len(manifest.damaged))) if manifest.damaged else ()
    if not manifest.has_tsv and tag.endswith(QUARANTINE):
        return "nothing: a lake does not add rows; replay the window again and publish that run"
    if not manifest.has_tsv:
        words = ("spade-spark", "export", "publish", tag, "--to", "URL", *damaged)
        return f"put it into a lake: {shlex.join(words)}"
    options = ("--skip-transform", *damaged)
    return f"load it: {_command(manifest.window, (*tables, *options), tag)}"


def _undo_hint(state: State, tag: str, loads: Iterable[TableLoad]) -> str:
    """What can be done with a run that is loaded."""
    if state is State.UNDONE:
        return f"nothing: it was undone; to put its rows back: spade-spark undo {UNDO}{tag}"
    if any(each.backup for each in loads):
        return f"nothing: it is loaded; to put back what it replaced: spade-spark undo {tag}"
    return "nothing: it is loaded"


def _plan_args(plan: Plan) -> Iterator[str]:
    """What a command says so that its plan is this one, where the settings are."""
    yield from ("--all-tables",) if plan.all_tables else plan.tables
    yield from _publish_args(plan.streams)
    formats = plan.settings.get("output.format", "tsv")
    if formats != "tsv":
        yield from ("--format", formats)
    if "tsv" not in formats:
        yield "--skip-ace-upload"


def _publish_args(streams: Iterable[str]) -> Iterator[str]:
    """What a command says to publish to ``streams``, each of which ends in its name at AWS."""
    for name in dict.fromkeys(stream.rpartition("/")[2] for stream in streams):
        yield from ("--publish", name)


def _command(window: tuple[str, str], words: Iterable[str], tag: str) -> str:
    return shlex.join(["spade-spark", "replay", *window, *words, "--runtag", tag])
