"""What a replay would do, as a value: what ``spade-spark plan`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.reporting.render import format_size, pluralize

_MOST = 12

REPEATS = (
    "Consumers must expect repeats: what was published before is published again, and after a "
    "fault some of it twice."
)
"""What is said before anything is published."""


@dataclass(frozen=True)
class TablePreview:
    """One table, as it is and as it would be replaced.

    Attributes:
        table: The table's name.
        version: The version that Blueprint has.
        rows: Rows in the window now.
        hours: Those rows, by the hour of the wall clock.
        differences: How the warehouse's columns differ from Blueprint's, a sentence each.
        statements: The SQL that would run, in its order, without secrets.
    """

    table: str
    version: int
    rows: int
    hours: tuple[tuple[datetime, int], ...]
    differences: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class StreamPreview:
    """One stream that would be published to.

    Attributes:
        stream: What it is called.
        region: Where it is.
        role: Whether a role of its own is assumed for it.
        compressed: Whether it is sent globs.
        events: The tables whose rows would go there.
        others: Events that it takes too, of which no rows would be made.
    """

    stream: str
    region: str
    role: bool
    compressed: bool
    events: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class ReplayPreview:
    """A replay, before it is begun.

    Attributes:
        run_tag: The output prefix.
        url: Where the run would lie.
        window: The window in words.
        edge: Where the logs lie.
        objects: Objects that would be read.
        size: Their compressed bytes.
        partitions: Tasks that they are dealt to.
        empty_hours: Hours of the window (Pacific) in which no object was closed.
        core_seconds: The estimated time of one core for the transform.
        cores: The cores that the master is known to have; 0 where that is not known.
        warehouse: The warehouse in words; empty where none is needed.
        tables: The tables that are fit to be replayed.
        streams: The streams that would be published to.
        remarks: What may surprise, a sentence each.
        problems: What would keep the replay from starting, a sentence each.
    """

    run_tag: str
    url: str
    window: str
    edge: str
    objects: int
    size: int
    partitions: int
    empty_hours: tuple[str, ...]
    core_seconds: float
    cores: int
    warehouse: str
    tables: tuple[TablePreview, ...]
    streams: tuple[StreamPreview, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether the replay would start."""
        return not self.problems

    def to_json(self) -> str:
        """The outlook as JSON."""
        plain = msgspec.to_builtins(self)
        return msgspec.json.format(msgspec.json.encode({**plain, "ready": self.ready})).decode()


def print_preview(outlook: ReplayPreview, console: Console, *, short: bool = False) -> None:
    """Prints the outlook; ``short`` leaves out the hours, the SQL, and the problems.

    The problems are left to the error that a replay ends with where there are any.
    """
    console.print(Group(*_head(outlook), *_tables(outlook)))
    if not short:
        console.print(Group(*_details(outlook)), soft_wrap=True)
    for remark in outlook.remarks:
        console.print(Text(remark, style="yellow"), soft_wrap=True)
    for problem in () if short else outlook.problems:
        console.print(Text(problem, style="red"), soft_wrap=True)


def _head(outlook: ReplayPreview) -> Iterator[RenderableType]:
    yield Text(f"Replay {outlook.run_tag}: {outlook.window}", style="bold")
    yield Text(
        f"Read {pluralize(outlook.objects, 'object')}, {format_size(outlook.size)}, "
        f"from {outlook.edge}"
        f" in {pluralize(outlook.partitions, 'partition')}; write to {outlook.url}"
    )
    yield Text(f"Once Spark is up, the transform takes about {_time(outlook)}.")
    if outlook.warehouse:
        yield Text(f"Load into {outlook.warehouse}.")
    for stream in outlook.streams:
        form = ", compressed" if stream.compressed else ""
        yield Text(f"Publish to {stream.stream} in {stream.region}{form}: {_events(stream)}")
    if outlook.streams:
        yield Text(REPEATS, style="bold yellow")


def _events(stream: StreamPreview) -> str:
    others = f" (no rows are made of {', '.join(stream.others)})" if stream.others else ""
    return ", ".join(stream.events) + others


def _time(outlook: ReplayPreview) -> str:
    if outlook.cores:
        return f"{_seconds(outlook.core_seconds / outlook.cores)} on {outlook.cores} cores"
    return f"{_seconds(outlook.core_seconds)} of one core"


def _seconds(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} minutes"  # noqa: PLR2004 - of use


def _tables(outlook: ReplayPreview) -> Iterator[RenderableType]:
    if not outlook.tables:
        return
    table = Table(title="Tables", title_justify="left")
    table.add_column("table", overflow="fold")
    table.add_column("version", justify="right")
    table.add_column("rows in the window now", justify="right")
    table.add_column("columns", overflow="fold")
    for each in outlook.tables:
        differences = "\n".join(each.differences) or "as Blueprint has them"
        table.add_row(each.table, str(each.version), f"{each.rows:,}", differences)
    yield table


def _details(outlook: ReplayPreview) -> Iterator[RenderableType]:
    for each in outlook.tables:
        if each.hours:
            yield Text(f"\nRows of {each.table} in the window, by hour", style="bold")
        for hour, rows in each.hours:
            yield Text(f"  {hour:%Y-%m-%d %H:00}  {rows:>12,}")
    for each in outlook.tables:
        yield Text(f"\nWhat would run for {each.table}", style="bold")
        yield from (Text(f"  {statement};") for statement in each.statements)
    yield Text()


def format_hours(hours: tuple[str, ...]) -> str:
    """Some hours, not all of a long list."""
    more = f" and {len(hours) - _MOST} more" if len(hours) > _MOST else ""
    return ", ".join(hours[:_MOST]) + more
