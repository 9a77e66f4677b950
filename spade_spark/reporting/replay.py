"""The report of a replay: as a value, as JSON, and as the printed summary."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.blueprint.schema import SkippedTable
from spade_spark.formatting import format_size, pluralize
from spade_spark.reporting.render import maintenance_lines, print_parts, to_json
from spade_spark.runs.load_results import (
    LoadAlreadyDone,
    LoadFailed,
    LoadOutcome,
    TableLoaded,
    TableMaintenance,
)
from spade_spark.runs.manifest import Manifest
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome


@dataclass(frozen=True)
class ReplayReport:
    """The result of one replay.

    Attributes:
        run_tag: The run tag.
        url: URL of the run's output.
        window: The window as text.
        manifest: The run's manifest.
        loads: The outcome of each table's load; empty if no load was requested.
        left_out: Tables that ``--all-tables`` skipped because they cannot be transformed.
        unnamed: Keys that were skipped because they contain no time.
        problems: Problems that prevented the load.
        maintenance: The tables that were analyzed, or for which ANALYZE or VACUUM is worth running.
        seconds: Duration of the command.
    """

    run_tag: str
    url: str
    window: str
    manifest: Manifest
    loads: tuple[LoadOutcome, ...] = ()
    left_out: tuple[SkippedTable, ...] = ()
    unnamed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    maintenance: tuple[TableMaintenance, ...] = ()

    @property
    def not_loaded(self) -> tuple[LoadFailed, ...]:
        """The tables whose load failed."""
        return tuple(load for load in self.loads if isinstance(load, LoadFailed))

    @property
    def loaded(self) -> tuple[TableLoaded, ...]:
        """The tables that this command loaded."""
        return tuple(load for load in self.loads if isinstance(load, TableLoaded))

    @property
    def loaded_before(self) -> tuple[LoadAlreadyDone, ...]:
        """The tables that an earlier command already loaded."""
        return tuple(load for load in self.loads if isinstance(load, LoadAlreadyDone))

    @property
    def failed_events(self) -> int:
        """The number of events that failed with an internal error."""
        return self.manifest.counts.outcomes[Outcome.FAILED]

    @property
    def unpublished(self) -> int:
        """The number of rows that could not be published."""
        return sum(counts.dropped for counts in self.manifest.counts.streams.values())

    @property
    def complete(self) -> bool:
        """Whether everything that was requested is done."""
        return not (
            self.problems
            or self.not_loaded
            or self.left_out
            or self.failed_events
            or self.unpublished
        )

    def to_json(self) -> bytes:
        """Return the report as JSON, including ``complete``."""
        return to_json(self).encode()


_MAX_SHOWN = 10
_MEANINGS = {
    Outcome.SUCCESS: "written as a row",
    Outcome.SKIPPED_COLUMNS: "written, but a value is missing or unconvertible",
    Outcome.UNTRACKED: "no table has its name; written as untracked",
    Outcome.MALFORMED: "its payload cannot be decoded",
    Outcome.EMPTY_REQUEST: "no event name or no properties",
    Outcome.FAILED: "internal error",
    Outcome.NOT_REQUESTED: "its table was not requested",
}


def print_summary(report: ReplayReport, console: Console) -> None:
    """Print the counts of input and output, the loads, the errors, and what to do next."""
    print_parts(_parts(report), console)


def _parts(report: ReplayReport) -> Iterator[RenderableType]:
    counts = report.manifest.counts
    yield Text()
    yield Text(f"Replay {report.run_tag}: {report.window}", style="bold")
    yield Text(
        f"Read {pluralize(counts.objects, 'object')}, {format_size(counts.bytes_in)} "
        f"({format_size(counts.bytes_inflated)} decompressed), {counts.lines:,} lines. "
        f"Wrote {counts.row_count:,} rows to "
        f"{pluralize(sum(len(table.all_files) for table in report.manifest.tables), 'file')}. "
        f"Total time: {report.seconds:.0f} s."
    )
    yield _outcomes(report)
    yield _loads(report) if report.loads else _written(report)
    yield from maintenance_lines(report.maintenance)
    if report.manifest.has_parquet:
        yield _parquet(report)
    if counts.streams:
        yield _published(report)
    if _edge_mismatches(report):
        yield _edge_types(report)
    yield from (Text(line, style="yellow") for line in _warnings(report))
    yield from (Text(line, style="red") for line in _errors(report))
    yield _status_line(report)


def _outcomes(report: ReplayReport) -> Table:
    counts = report.manifest.counts
    table = Table(title="Input", title_justify="left")
    table.add_column("outcome", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("meaning")
    for name, count, meaning in (
        ("undecodable lines", counts.undecodable, "not an edge record"),
        ("prefiltered lines", counts.filtered, "cannot contain an event of a requested table"),
        (
            "repeated lines",
            counts.repeated,
            f"from {pluralize(counts.repeated_globs, 'repeated glob')} of {counts.globs:,}",
        ),
    ):
        if count:
            table.add_row(name, f"{count:,}", meaning)
    for outcome, count in counts.outcomes.items():
        if count:
            table.add_row(outcome.value, f"{count:,}", _MEANINGS[outcome])
    return table


def _written(report: ReplayReport) -> Table:
    table = Table(title="Written rows (not loaded)", title_justify="left")
    for name in ("table", "version", "rows", "files"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for written in report.manifest.tables:
        files = f"{len(written.all_files):,}"
        table.add_row(written.table, str(written.version), f"{written.rows:,}", files)
    return table


def _loads(report: ReplayReport) -> Table:
    names = ["before", "deleted", "inserted", "outside\nwindow", "seconds"]
    locks = {
        load.table: f"{load.write_lock_seconds:.1f}"
        for load in report.loads
        if isinstance(load, TableLoaded) and load.write_lock_seconds is not None
    }
    if locks:
        names.append("locked\nseconds")
    table = Table(title="Loaded rows", title_justify="left")
    table.add_column("table", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for load in report.loads:
        if isinstance(load, TableLoaded):
            figures = (load.before, load.deleted, load.inserted, load.outside)
            cells = [*(f"{figure:,}" for figure in figures), f"{load.seconds:.1f}"]
            status = Text("loaded")
        elif isinstance(load, LoadAlreadyDone):
            cells = ["", f"{load.deleted:,}", f"{load.inserted:,}", "", ""]
            status = Text("already loaded")
        else:
            cells = [""] * 5
            status = Text("UNKNOWN" if load.unknown else "unchanged", style="red")
        lock = [locks.get(load.table, "")] if locks else []
        table.add_row(Text(load.table), *cells, *lock, status)
    return table


def _parquet(report: ReplayReport) -> Table:
    table = Table(title="Parquet output", title_justify="left")
    table.add_column("table", overflow="fold")
    for name in ("days", "rows", "undated", "files", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    counts = report.manifest.counts
    for written in report.manifest.tables:
        days = {file.day for file in written.parquet if file.first}
        undated = counts.undated.get(written.table, 0)
        rows = counts.parquet.get(written.table, 0)
        figures = (len(days), rows, undated, len(written.parquet))
        size = format_size(sum(file.size for file in written.parquet))
        table.add_row(written.table, *(f"{figure:,}" for figure in figures), size)
    return table


def _published(report: ReplayReport) -> Table:
    table = Table(title="Published rows", title_justify="left")
    table.add_column("stream", overflow="fold")
    for name in ("published", "records", "filtered", "outside\nwindow", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    for stream, counts in report.manifest.counts.streams.items():
        filtered = counts.filtered + counts.empty
        figures = (counts.published, counts.records, filtered, counts.outside)
        dropped = Text(f"{counts.dropped:,}", style="red" if counts.dropped else "")
        table.add_row(stream, *(f"{figure:,}" for figure in figures), dropped)
    return table


def _edge_mismatches(report: ReplayReport) -> list[tuple[str, EdgeTypeCounts]]:
    """The events with an unexpected or unknown edge type, most affected first."""
    edge_types = report.manifest.counts.edge_types.items()
    return sorted(
        ((name, counts) for name, counts in edge_types if counts.mismatched or counts.unknown),
        key=lambda item: (-item[1].mismatched - item[1].unknown, item[0]),
    )


def _edge_types(report: ReplayReport) -> Table:
    mismatches = _edge_mismatches(report)
    more = f" (top {_MAX_SHOWN} of {len(mismatches)})" if len(mismatches) > _MAX_SHOWN else ""
    table = Table(title=f"Events with an unexpected edge type{more}", title_justify="left")
    table.add_column("event", overflow="fold")
    table.add_column("expected", no_wrap=True)
    for name in ("events", "mismatched", "unknown"):
        table.add_column(name, justify="right", no_wrap=True)
    for event, counts in mismatches[:_MAX_SHOWN]:
        figures = (counts.events, counts.mismatched, counts.unknown)
        table.add_row(event, counts.expected or "-", *(f"{figure:,}" for figure in figures))
    return table


def _warnings(report: ReplayReport) -> Iterator[str]:
    manifest = report.manifest
    yield from (corrupt.reason for corrupt in manifest.damaged[:_MAX_SHOWN])
    if len(manifest.damaged) > _MAX_SHOWN:
        yield (
            f"{pluralize(len(manifest.damaged) - _MAX_SHOWN, 'more corrupt object')}; "
            f"{report.url}_report.json lists all of them"
        )
    for table, reason in list(manifest.fallbacks.items())[:_MAX_SHOWN]:
        yield f"Table {table} was transformed by the slower reference path: {reason}"
    if len(manifest.fallbacks) > _MAX_SHOWN:
        yield (
            f"{pluralize(len(manifest.fallbacks) - _MAX_SHOWN, 'more table')} on the slower "
            f"reference path; {report.url}_report.json lists all of them"
        )
    if manifest.untracked:
        yield f"To propose schemas for the untracked events: spade-spark suggest {report.run_tag}"
    if report.unnamed:
        yield (
            f"Skipped objects whose names contain no time: {len(report.unnamed):,}, such as "
            f"{report.unnamed[0]}"
        )
    for load in report.loaded_before:
        yield (
            f"Table {load.table}: skipped, this run was already loaded at "
            f"{load.at:%Y-%m-%d %H:%M:%S} UTC (use --force to load it again)"
        )
    for stream, counts in manifest.counts.streams.items():
        if counts.throttled:
            yield f"Stream {stream}: records were throttled {pluralize(counts.throttled, 'time')}"
        if counts.repeated:
            yield (
                f"Stream {stream}: up to {counts.repeated:,} rows may have been published twice "
                "(a task or a response was lost); duplicate records have the same UUID"
            )
    for loaded in report.loaded:
        for column, count in loaded.truncated.items():
            yield (
                f"{loaded.table}.{column}: {pluralize(count, 'value')} truncated to the column's "
                "length"
            )


def _errors(report: ReplayReport) -> Iterator[str]:
    for uuid, error in report.manifest.failures[:_MAX_SHOWN]:
        yield f"Event {uuid} failed: {error}"
    if report.failed_events:
        yield (
            f"{pluralize(report.failed_events, 'event')} failed because of a bug in spade-spark; "
            "please report it"
        )
    for skipped in report.left_out:
        yield f"Table {skipped.name} was skipped: {skipped.reason}"
    yield from report.problems
    for stream, counts in report.manifest.counts.streams.items():
        if counts.dropped:
            yield (
                f"Stream {stream}: {pluralize(counts.dropped, 'row')} not published; their records "
                "were too large, or were rejected MaxAttemptsPerRecord times "
                f"({counts.throttled:,} throttled, {counts.internal_errors:,} internal failures, "
                f"{counts.other_errors:,} other errors). Fix the stream, then publish again under "
                "a new run tag (consumers will receive all other rows twice): "
                f"{_republish_command(report, stream)}"
            )
    for load in report.not_loaded:
        yield f"Table {load.table} was not loaded: {load.reason}"


def _republish_command(report: ReplayReport, stream: str) -> str:
    """The command that publishes the run's window to a stream, by the name in the stream's id."""
    tables = [table.table for table in report.manifest.tables]
    command = ["spade-spark", "replay", *report.manifest.window]
    command += tables if len(tables) <= _MAX_SHOWN else ["TABLE"]
    return shlex.join([*command, "--skip-ace-upload", "--publish", stream.rpartition("/")[2]])


def _status_line(report: ReplayReport) -> Text:
    if report.complete:
        return Text(f"Done. Run output: {report.url}", style="bold green")
    return Text(f"INCOMPLETE: see the errors above. Run output: {report.url}", style="bold red")
