"""Derive the state of a run from its records and its loads."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
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
    """The state of a run."""

    TRANSFORMING = "transforming"
    """A process is transforming it."""
    LOADING = "loading"
    """The transform is complete, and a process holds its lock."""
    ABANDONED = "abandoned"
    """The transform is incomplete, and no process holds its lock."""
    COMPLETE = "complete"
    """The transform is complete; some or all tables are not loaded."""
    LOADED = "loaded"
    """All tables are loaded."""
    UNDONE = "undone"
    """All tables were loaded; the load of some or all of them was undone."""
    DAMAGED = "damaged"
    """Its records cannot be read, or files are missing or have the wrong size."""
    LEGACY = "foreign"
    """It has neither a plan nor a manifest. Usually an earlier tool wrote it."""


@dataclass(frozen=True)
class RunTable:
    """One table of a run. Rows, files and size are 0 until the run is complete.

    Attributes:
        table: The table's name.
        version: The Blueprint version of the rows; None until the run is complete.
        rows: Number of rows.
        files: Number of files.
        size: Bytes of the files.
    """

    table: str
    version: int | None
    rows: int = 0
    files: int = 0
    size: int = 0


class TableLoad(msgspec.Struct, frozen=True, rename={"in_replay_log": "in_ledger"}):
    """A load of a run into one table of one warehouse.

    Attributes:
        run_tag: The run.
        table: The table's name.
        warehouse: ``host:port/database``.
        at: Time of the load, UTC.
        start: START of the replaced window, as in the time column.
        end: END of the replaced window.
        before: Rows in the window before the load; None if only the replay log has the load.
        deleted: Rows deleted.
        inserted: Rows inserted.
        recorded: Whether the run has a record of it; it has none if the driver died
            after the commit.
        in_replay_log: Whether the replay log has it; None if that warehouse was not queried.
        backup: The backup table of the deleted rows; empty if there is none or it is not known.
        undone: Time of its undo, UTC; None if it was not undone.
        replaced_by: The run tags, or undos, that have replaced rows of its window since.
        write_lock_seconds: How long other writers of the table had to wait on Redshift; None if it
            is not known.
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
    replaced_by: tuple[str, ...] = ()
    write_lock_seconds: float | None = None

    @property
    def is_in_effect(self) -> bool:
        """Whether it is in the warehouse and was not undone."""
        return self.undone is None and self.in_replay_log is not False

    def is_repeated_by(self, other: TableLoad) -> bool:
        """Whether ``other`` is a later load in effect of the same table and all of the window."""
        same = (self.run_tag, self.table, self.warehouse)
        return (
            same == (other.run_tag, other.table, other.warehouse)
            and other.is_in_effect
            and other.at > self.at
            and other.start <= self.start
            and self.end <= other.end
        )

    def covers(self, other: Window) -> bool:
        """Whether the replaced window includes all of ``other``."""
        return self.start <= other.wall_start and other.wall_end <= self.end


@dataclass(frozen=True)
class LeaseHolder:
    """The holder of a run's lock.

    Attributes:
        process: User, host and id of the process.
        seconds: Seconds since its last heartbeat.
        live: Whether it may still be running.
    """

    process: str
    seconds: int
    live: bool


@dataclass(frozen=True)
class RunState:
    """One run and its state.

    Attributes:
        run_tag: The run tag.
        url: URL of the run.
        state: Its state.
        window: ``(START, END)`` with offsets; None if unknown.
        tables: Its tables.
        partitions: Planned partitions; None if only the manifest was read.
        done: Partitions with a completion record.
        objects: Number of objects below the run tag.
        size: Bytes of the objects.
        loads: Its loads.
        lock: The holder of its lock, live or expired.
        problems: What is wrong with it, one sentence each.
        removable: What `runs --prune` can remove of it.
        next: What the operator can do next.
        loaded_tables: Its tables with a load in effect.
        undone_tables: Its tables with a load that was undone and not repeated.
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
    loaded_tables: tuple[str, ...] = ()
    undone_tables: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


def state_of(run: DiscoveredRun, loads: Iterable[TableLoad]) -> RunState:
    """Derive the state of a run.

    Args:
        run: The run.
        loads: All known loads, including those of other runs.
    """
    all_loads = tuple(loads)
    own_loads = tuple(load for load in all_loads if load.run_tag == run.run_tag)
    state = _state(run, own_loads)
    return RunState(
        run_tag=run.run_tag,
        url=run.url,
        state=state,
        window=run.window,
        tables=_tables(run),
        partitions=len(run.plan.partitions) if run.plan else None,
        done=run.done,
        objects=len(run.objects),
        size=run.size,
        loads=own_loads,
        lock=_holder(run),
        problems=run.problems,
        removable=_removable(run, state, all_loads),
        next=_next_step(run, state, own_loads),
        loaded_tables=_distinct_tables(load for load in own_loads if load.is_in_effect),
        undone_tables=_undone_tables(own_loads),
    )


def _state(run: DiscoveredRun, loads: tuple[TableLoad, ...]) -> State:
    if run.is_live:
        return State.LOADING if run.manifest else State.TRANSFORMING
    if run.problems:
        return State.DAMAGED
    if run.manifest:
        if _not_loaded(run, loads):
            return State.COMPLETE
        return State.UNDONE if _undone_tables(loads) else State.LOADED
    return State.ABANDONED if run.plan else State.LEGACY


def _not_loaded(run: DiscoveredRun, loads: Iterable[TableLoad]) -> list[str]:
    """The tables of the run without a known load."""
    assert run.manifest is not None
    loaded = {load.table for load in loads if load.in_replay_log is not False}
    return [table.table for table in run.manifest.tables if table.table not in loaded]


def _undone_tables(loads: Sequence[TableLoad]) -> tuple[str, ...]:
    """The tables with a load that was undone and not repeated."""
    return _distinct_tables(
        load for load in loads if load.undone and not any(map(load.is_repeated_by, loads))
    )


def _distinct_tables(loads: Iterable[TableLoad]) -> tuple[str, ...]:
    return tuple(sorted({load.table for load in loads}))


def _tables(run: DiscoveredRun) -> tuple[RunTable, ...]:
    if run.manifest:
        return tuple(
            RunTable(
                table.table,
                table.version,
                table.rows,
                len(table.all_files),
                sum(file.size for file in table.all_files),
            )
            for table in run.manifest.tables
        )
    return tuple(RunTable(name, None) for name in run.plan.tables) if run.plan else ()


def _holder(run: DiscoveredRun) -> LeaseHolder | None:
    if run.lease is None:
        return None
    age = run.lease_table.age(run.lease)
    return LeaseHolder(str(run.lease.request.process), int(age.total_seconds()), run.is_live)


def _removable(
    run: DiscoveredRun, state: State, loads: tuple[TableLoad, ...]
) -> PruneCandidate | None:
    """What can be removed; nothing of a running, damaged or legacy run."""
    if state is State.ABANDONED:
        return PruneCandidate.of("run", "abandoned", run.objects, run.untracked)
    if state not in {State.COMPLETE, State.LOADED, State.UNDONE}:
        return None
    newer = _superseded_by(run, loads)
    if newer:
        return PruneCandidate.of("run", f"superseded by {newer}", run.objects, run.untracked)
    leftovers = run.leftovers, run.untracked_leftovers
    return PruneCandidate.of("leftovers", "not in the manifest", *leftovers)


def _superseded_by(run: DiscoveredRun, loads: tuple[TableLoad, ...]) -> str:
    """The later runs whose loads replaced all of this one; empty if there are none.

    If this run was loaded, they must have been loaded into the same warehouse after it. A run with
    only Parquet files is for a lake, so no load supersedes it.
    """
    assert run.manifest is not None
    if not run.manifest.has_tsv:
        return ""
    window = Window.parse(*run.manifest.window)
    newer = set()
    for table in run.manifest.tables:
        loads_of_table = [load for load in loads if load.table == table.table]
        own = [load for load in loads_of_table if load.run_tag == run.run_tag]
        others = [
            load
            for load in loads_of_table
            if load.run_tag != run.run_tag and load.is_in_effect and load.covers(window)
        ]
        targets = [(load.warehouse, load.at) for load in own] or [("", run.manifest.created)]
        for warehouse, since in targets:
            later = [
                load.run_tag
                for load in others
                if load.at > since and warehouse in {"", load.warehouse}
            ]
            if not later:
                return ""
            newer.add(later[-1])
    return ", ".join(sorted(newer))


def _next_step(run: DiscoveredRun, state: State, loads: tuple[TableLoad, ...]) -> str:
    tag = run.run_tag
    if run.is_live:
        return "wait until the process that holds its lock has ended"
    if state is State.DAMAGED:
        return "start a new run: run the replay again without --runtag"
    if state is State.LEGACY:
        return (
            "if an earlier tool wrote it, load it: spade-spark replay START END TABLE... "
            f"--skip-transform --by-prefix --runtag {tag}"
        )
    if run.plan:
        return f"resume it: {_command(run.plan.window, _plan_args(run.plan), tag)}"
    assert run.manifest is not None
    missing = _not_loaded(run, loads)
    return _load_hint(run.manifest, missing) if missing else _undo_hint(state, tag, loads)


def _load_hint(manifest: Manifest, tables: Iterable[str]) -> str:
    """The next step for a complete run with tables that are not loaded."""
    tag = manifest.run_tag
    damaged = ("--allow-damaged", str(len(manifest.damaged))) if manifest.damaged else ()
    if not manifest.has_tsv and tag.endswith(QUARANTINE):
        return (
            "it cannot be published, because a publication replaces the whole window: replay the "
            "window again, then publish the new run"
        )
    if not manifest.has_tsv:
        command = ("spade-spark", "export", "publish", tag, "--to", "URL", *damaged)
        return f"publish it to a lake: {shlex.join(command)}"
    options = ("--skip-transform", *damaged)
    return f"load it: {_command(manifest.window, (*tables, *options), tag)}"


def _undo_hint(state: State, tag: str, loads: Sequence[TableLoad]) -> str:
    """The next step for a loaded run."""
    if state is State.UNDONE and any(load.is_in_effect for load in loads):
        return (
            f"it is partly undone. To undo the rest: spade-spark undo {tag}. To restore the rows "
            f"of what was undone: spade-spark undo {UNDO}{tag}"
        )
    if state is State.UNDONE:
        return (
            f"nothing to do, its load was undone. To restore its rows: spade-spark undo {UNDO}{tag}"
        )
    if any(load.backup for load in loads):
        return (
            "nothing to do, it is loaded. To restore the rows that it replaced: "
            f"spade-spark undo {tag}"
        )
    return "nothing to do, it is loaded"


def _plan_args(plan: Plan) -> Iterator[str]:
    """The arguments that reproduce this plan, given the same settings."""
    yield from ("--all-tables",) if plan.all_tables else plan.tables
    yield from _publish_args(plan.streams)
    formats = plan.settings.get("output.format", "tsv")
    if formats != "tsv":
        yield from ("--format", formats)
    if "tsv" not in formats:
        yield "--skip-ace-upload"


def _publish_args(streams: Iterable[str]) -> Iterator[str]:
    """The ``--publish`` options of ``streams``, whose ids end in the AWS name."""
    for name in dict.fromkeys(stream.rpartition("/")[2] for stream in streams):
        yield from ("--publish", name)


def _command(window: tuple[str, str], arguments: Iterable[str], tag: str) -> str:
    return shlex.join(["spade-spark", "replay", *window, *arguments, "--runtag", tag])
