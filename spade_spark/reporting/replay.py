"""What a replay came to, as a value."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.blueprint.schema import SkippedTable
from spade_spark.reporting.render import format_size, pluralize, print_parts
from spade_spark.runs.load_results import (
    LoadAlreadyDone,
    LoadFailed,
    LoadOutcome,
    TableLoaded,
)
from spade_spark.runs.manifest import Manifest
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome


@dataclass(frozen=True)
class Report:
    """One replay, from its command to its end.

    Attributes:
        run_tag: The output prefix.
        url: Where the run lies.
        window: The window in words.
        manifest: What was made.
        loads: What came of each table's load; empty where none was asked for.
        left_out: Tables that cannot be made, where all were asked for.
        unnamed: Keys of the window that hold no time in their name and were not read.
        problems: What ended the run before the load.
        seconds: Time taken.
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

    @property
    def not_loaded(self) -> tuple[LoadFailed, ...]:
        """The tables whose load failed."""
        return tuple(load for load in self.loads if isinstance(load, LoadFailed))

    @property
    def loaded(self) -> tuple[TableLoaded, ...]:
        """The tables whose window was replaced."""
        return tuple(load for load in self.loads if isinstance(load, TableLoaded))

    @property
    def loaded_before(self) -> tuple[LoadAlreadyDone, ...]:
        """The tables that an earlier command loaded this run into."""
        return tuple(load for load in self.loads if isinstance(load, LoadAlreadyDone))

    @property
    def failed_events(self) -> int:
        """Events that this program failed on."""
        return self.manifest.counts.outcomes[Outcome.FAILED]

    @property
    def unpublished(self) -> int:
        """Rows that streams were to get and did not."""
        return sum(counts.dropped for counts in self.manifest.counts.streams.values())

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is done."""
        return not (
            self.problems
            or self.not_loaded
            or self.left_out
            or self.failed_events
            or self.unpublished
        )

    def to_json(self) -> bytes:
        """The report as JSON, with the figures that are computed."""
        document = {**_plain(self), "complete": self.complete}
        return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _plain(report: Report) -> dict[str, object]:
    plain = msgspec.to_builtins(report)
    assert isinstance(plain, dict)
    return plain


_MOST = 10
_MEANINGS = {
    Outcome.SUCCESS: "rows",
    Outcome.SKIPPED_COLUMNS: "rows with a column missing or not converted",
    Outcome.UNTRACKED: "no table has this name; written as untracked",
    Outcome.MALFORMED: "records whose payload cannot be read",
    Outcome.EMPTY_REQUEST: "no name or no properties",
    Outcome.FAILED: "this program failed on them",
    Outcome.NOT_REQUESTED: "of tables that were not named",
}


def print_summary(report: Report, console: Console) -> None:
    """Prints what was read, what became of it, what was loaded, and what to do next."""
    print_parts(_parts(report), console)


def _parts(report: Report) -> Iterator[RenderableType]:
    ledger = report.manifest.counts
    yield Text()
    yield Text(f"Replay {report.run_tag}: {report.window}", style="bold")
    yield Text(
        f"Read {pluralize(ledger.objects, 'object')}, {format_size(ledger.bytes_in)} "
        f"({format_size(ledger.bytes_inflated)} inflated), {ledger.lines:,} lines; "
        f"wrote {ledger.row_count:,} rows in "
        f"{pluralize(sum(len(table.every) for table in report.manifest.tables), 'file')}; "
        f"{report.seconds:.0f} s in all."
    )
    yield _outcomes(report)
    yield _loads(report) if report.loads else _tables_made(report)
    if report.manifest.has_parquet:
        yield _parquet(report)
    if ledger.streams:
        yield _published(report)
    if _edge_mismatches(report):
        yield _edge_types(report)
    yield from (Text(line, style="yellow") for line in _warnings(report))
    yield from (Text(line, style="red") for line in _errors(report))
    yield _status_line(report)


def _outcomes(report: Report) -> Table:
    ledger = report.manifest.counts
    table = Table(title="What was read", title_justify="left")
    table.add_column("outcome", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("meaning")
    for name, count, meaning in (
        ("undecodable lines", ledger.undecodable, "lines that are no edge record"),
        ("lines passed over", ledger.filtered, "cannot hold a table that was named"),
        (
            "lines repeated",
            ledger.repeated,
            f"of {ledger.repeated_globs:,} of {ledger.globs:,} globs, which were sent twice",
        ),
    ):
        if count:
            table.add_row(name, f"{count:,}", meaning)
    for outcome, count in ledger.outcomes.items():
        if count:
            table.add_row(outcome.value, f"{count:,}", _MEANINGS[outcome])
    return table


def _tables_made(report: Report) -> Table:
    table = Table(title="What was made (nothing was loaded)", title_justify="left")
    for name in ("table", "version", "rows", "files"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for made in report.manifest.tables:
        table.add_row(made.table, str(made.version), f"{made.rows:,}", f"{len(made.every):,}")
    return table


def _loads(report: Report) -> Table:
    table = Table(title="What was loaded: rows of the window", title_justify="left")
    table.add_column("table", overflow="fold")
    for name in ("before", "deleted", "inserted", "outside", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for load in report.loads:
        if isinstance(load, TableLoaded):
            figures = (load.before, load.deleted, load.inserted, load.outside)
            table.add_row(
                load.table, *(f"{figure:,}" for figure in figures), f"{load.seconds:.1f}", "loaded"
            )
        elif isinstance(load, LoadAlreadyDone):
            cells = ("", f"{load.deleted:,}", f"{load.inserted:,}", "", "", "loaded before")
            table.add_row(load.table, *cells)
        else:
            state = "UNKNOWN" if load.unknown else "unchanged"
            table.add_row(load.table, *[""] * 5, Text(state, style="red"))
    return table


def _parquet(report: Report) -> Table:
    table = Table(title="What was written as Parquet", title_justify="left")
    table.add_column("table", overflow="fold")
    for name in ("days", "rows", "of no day", "files", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    ledger = report.manifest.counts
    for made in report.manifest.tables:
        days = {file.day for file in made.parquet if file.first}
        undated = ledger.undated.get(made.table, 0)
        figures = (len(days), ledger.parquet.get(made.table, 0), undated, len(made.parquet))
        size = format_size(sum(file.size for file in made.parquet))
        table.add_row(made.table, *(f"{figure:,}" for figure in figures), size)
    return table


def _published(report: Report) -> Table:
    table = Table(title="What was published: rows", title_justify="left")
    table.add_column("stream", overflow="fold")
    for name in ("published", "records", "held back", "outside", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    for stream, counts in report.manifest.counts.streams.items():
        held = counts.filtered + counts.empty
        figures = (counts.published, counts.records, held, counts.outside)
        dropped = Text(f"{counts.dropped:,}", style="red" if counts.dropped else "")
        table.add_row(stream, *(f"{figure:,}" for figure in figures), dropped)
    return table


def _edge_mismatches(report: Report) -> list[tuple[str, EdgeTypeCounts]]:
    """The events that came from another edge than was expected, or from none; most first."""
    counted = report.manifest.counts.edge_types.items()
    return sorted(
        ((name, each) for name, each in counted if each.mismatched or each.unknown),
        key=lambda item: (-item[1].mismatched - item[1].unknown, item[0]),
    )


def _edge_types(report: Report) -> Table:
    strays = _edge_mismatches(report)
    more = f", the {_MOST} worst of {len(strays)}" if len(strays) > _MOST else ""
    table = Table(title=f"Events from another edge than expected{more}", title_justify="left")
    table.add_column("event", overflow="fold")
    table.add_column("expected", no_wrap=True)
    for name in ("events", "from the other", "from an unknown"):
        table.add_column(name, justify="right", no_wrap=True)
    for event, counts in strays[:_MOST]:
        figures = (counts.events, counts.mismatched, counts.unknown)
        table.add_row(event, counts.expected or "-", *(f"{figure:,}" for figure in figures))
    return table


def _warnings(report: Report) -> Iterator[str]:
    """What went on all the same and should be known."""
    manifest = report.manifest
    for damaged in manifest.damaged[:_MOST]:
        yield f"Damaged object: {damaged.reason}"
    if len(manifest.damaged) > _MOST:
        yield (
            f"… {len(manifest.damaged) - _MOST} more damaged objects; all of them in "
            f"{report.url}_report.json"
        )
    for table, reason in list(manifest.fallbacks.items())[:_MOST]:
        yield f"Table {table} was transformed by the slower reference path: {reason}"
    if len(manifest.fallbacks) > _MOST:
        yield (
            f"{len(manifest.fallbacks) - _MOST} more tables were transformed by the slower "
            f"reference path; {report.url}_report.json has all of them"
        )
    if manifest.untracked:
        yield f"spade-spark suggest {report.run_tag} proposes tables for the untracked events"
    if report.unnamed:
        yield f"{len(report.unnamed)} objects have no time in their name: {report.unnamed[0]} …"
    for before in report.loaded_before:
        yield (
            f"Table {before.table}: nothing to do, this run was loaded into it at "
            f"{before.at:%Y-%m-%d %H:%M:%S} UTC (--force loads it again)"
        )
    for stream, counts in manifest.counts.streams.items():
        if counts.throttled:
            yield f"Stream {stream}: records were throttled {counts.throttled:,} times"
        if counts.repeated:
            yield (
                f"Stream {stream}: up to {counts.repeated:,} rows may have been published twice "
                "(a task or an answer was lost); records that were have the same UUID"
            )
    for load in report.loaded:
        for column, count in load.truncated.items():
            yield f"{load.table}.{column}: {count:,} values were cut to the column's length"


def _errors(report: Report) -> Iterator[str]:
    """What is not done, and what to do about it."""
    for uuid, error in report.manifest.failures[:_MOST]:
        yield f"Failed on event {uuid}: {error}"
    if report.failed_events:
        yield f"{report.failed_events:,} events failed: a bug of this program, please report it."
    for left_out in report.left_out:
        yield f"Table {left_out.name} was left out: {left_out.reason}"
    yield from report.problems
    for stream, counts in report.manifest.counts.streams.items():
        if counts.dropped:
            yield (
                f"Stream {stream}: {counts.dropped:,} rows were not published: their records were "
                "too large, or refused as often as MaxAttemptsPerRecord allows "
                f"({counts.throttled:,} times throttled, {counts.internal_errors:,} times failed, "
                f"{counts.other_errors:,} times for other reasons). Mend the stream, then publish "
                "again under a new run tag (consumers get repeats of all others): "
                f"{_publishing_again(report, stream)}"
            )
    for load in report.not_loaded:
        yield f"Table {load.table} was not loaded: {load.reason}"


def _publishing_again(report: Report, stream: str) -> str:
    """The command that publishes the run's window to one stream, which ends in its name at AWS."""
    tables = [table.table for table in report.manifest.tables]
    command = ["spade-spark", "replay", *report.manifest.window]
    command += tables if len(tables) <= _MOST else ["TABLE"]
    return shlex.join([*command, "--skip-ace-upload", "--publish", stream.rpartition("/")[2]])


def _status_line(report: Report) -> Text:
    if report.complete:
        return Text(f"Done. Everything of this run lies under {report.url}", style="bold green")
    return Text(f"NOT everything was done, see above. The run: {report.url}", style="bold red")
