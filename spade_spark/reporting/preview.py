"""The preview of a replay: what ``spade-spark plan`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.formatting import format_size, pluralize
from spade_spark.reporting.render import print_parts

_MAX_SHOWN = 12
_MIN_MINUTES = 2

DUPLICATES_WARNING = (
    "Consumers must expect duplicates: a replay publishes rows that were published before, and "
    "a retry may publish some rows twice."
)
"""The warning before publishing."""


@dataclass(frozen=True)
class TablePreview:
    """The preview of one table's load.

    Attributes:
        table: The table's name.
        version: The version in Blueprint.
        rows: Current rows in the window.
        hours: Current rows in the window, by local hour.
        differences: Differences between the warehouse's columns and Blueprint's, one sentence each.
        statements: The SQL that would run, in order, without secrets.
    """

    table: str
    version: int
    rows: int
    hours: tuple[tuple[datetime, int], ...]
    differences: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class StreamPreview:
    """The preview of publishing to one stream.

    Attributes:
        stream: The stream's name.
        region: The stream's AWS region.
        role: Whether the stream's own IAM role is assumed.
        compressed: Whether records are compressed globs.
        events: The events that would be published.
        others: Further events of the stream, which this replay does not produce.
    """

    stream: str
    region: str
    role: bool
    compressed: bool
    events: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class ReplayPreview:
    """The preview of a replay.

    Attributes:
        run_tag: The run tag.
        url: URL of the run's output.
        window: The window as text.
        edge: URL of the edge logs.
        objects: Number of input objects.
        size: Their compressed size in bytes.
        partitions: Number of Spark tasks that read them.
        empty_hours: Hours of the window (Pacific) without an input object.
        core_seconds: The estimated core time of the transform.
        cores: The cores of the Spark master; 0 if unknown.
        warehouse: The warehouse as text; empty if none is needed.
        tls: The sslmode of its connections; empty if none is set, on this machine.
        tables: The tables that can be replayed.
        streams: The streams that would be published to.
        remarks: Warnings, one sentence each.
        problems: Problems that would prevent the replay from starting, one sentence each.
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
    tls: str
    tables: tuple[TablePreview, ...]
    streams: tuple[StreamPreview, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether the replay would start."""
        return not self.problems

    def to_json(self) -> str:
        """Return the preview as JSON."""
        plain = msgspec.to_builtins(self)
        return msgspec.json.format(msgspec.json.encode({**plain, "ready": self.ready})).decode()


def print_preview(preview: ReplayPreview, console: Console, *, short: bool = False) -> None:
    """Print the preview.

    ``short`` omits the hours, the SQL and the problems. A replay reports problems as its error.
    """
    print_parts((*_head(preview), *_tables(preview)), console)
    if not short:
        console.print(Group(*_details(preview)), soft_wrap=True)
    for remark in preview.remarks:
        console.print(Text(remark, style="yellow"), soft_wrap=True)
    for problem in () if short else preview.problems:
        console.print(Text(problem, style="red"), soft_wrap=True)


def _head(preview: ReplayPreview) -> Iterator[RenderableType]:
    yield Text(f"Replay {preview.run_tag}: {preview.window}", style="bold")
    yield Text(
        f"Input: {pluralize(preview.objects, 'object')}, {format_size(preview.size)}, "
        f"{pluralize(preview.partitions, 'partition')}, from {preview.edge}"
    )
    yield Text(f"Output: {preview.url}")
    yield Text(f"Estimated transform time without Spark's startup: {_estimate(preview)}")
    if preview.warehouse:
        tls = f" (TLS: {preview.tls})" if preview.tls else ""
        yield Text(f"Warehouse: {preview.warehouse}{tls}")
    for stream in preview.streams:
        compressed = ", compressed" if stream.compressed else ""
        yield Text(
            f"Stream: {stream.stream} in {stream.region}{compressed}; events: {_events(stream)}"
        )
    if preview.streams:
        yield Text(DUPLICATES_WARNING, style="bold yellow")


def _events(stream: StreamPreview) -> str:
    others = f" (not replayed: {', '.join(stream.others)})" if stream.others else ""
    return ", ".join(stream.events) + others


def _estimate(preview: ReplayPreview) -> str:
    if preview.cores:
        return f"{_seconds(preview.core_seconds / preview.cores)} on {preview.cores} cores"
    return f"{_seconds(preview.core_seconds)} on one core"


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < _MIN_MINUTES else f"{minutes:.0f} minutes"


def _tables(preview: ReplayPreview) -> Iterator[RenderableType]:
    if not preview.tables:
        return
    grid = Table(title="Tables", title_justify="left")
    grid.add_column("table", overflow="fold")
    grid.add_column("version", justify="right")
    grid.add_column("current rows in window", justify="right")
    grid.add_column("columns", overflow="fold")
    for table in preview.tables:
        differences = "\n".join(table.differences) or "match Blueprint"
        grid.add_row(table.table, str(table.version), f"{table.rows:,}", differences)
    yield grid


def _details(preview: ReplayPreview) -> Iterator[RenderableType]:
    for table in preview.tables:
        if table.hours:
            yield Text(f"\nRows of {table.table} in the window, by hour", style="bold")
        for hour, rows in table.hours:
            yield Text(f"  {hour:%Y-%m-%d %H:00}  {rows:>12,}")
    for table in preview.tables:
        yield Text(f"\nSQL for {table.table}", style="bold")
        yield from (Text(f"  {statement};") for statement in table.statements)
    yield Text()


def format_hours(hours: tuple[str, ...]) -> str:
    """Join the hours; shorten a long list."""
    more = f" and {len(hours) - _MAX_SHOWN} more" if len(hours) > _MAX_SHOWN else ""
    return ", ".join(hours[:_MAX_SHOWN]) + more
