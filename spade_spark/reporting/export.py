"""The report of a lake export: as a value, as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.formatting import pluralize
from spade_spark.reporting.render import print_parts, to_json
from spade_spark.runs.export_results import ExportOutcome, TableNotPublished, TablePublished

_MAX_SHOWN = 4


@dataclass(frozen=True)
class ExportReport:
    """The result of one export.

    Attributes:
        run_tag: The run.
        lake: The lake's URL.
        window: The window as text.
        tables: The outcome of each table.
    """

    run_tag: str
    lake: str
    window: str
    tables: tuple[ExportOutcome, ...]

    @property
    def complete(self) -> bool:
        """Whether everything that was requested is done."""
        return not any(isinstance(outcome, TableNotPublished) for outcome in self.tables)

    @property
    def ddl(self) -> str:
        """The catalog's DDL statements, each terminated by a semicolon."""
        published = (table for table in self.tables if isinstance(table, TablePublished))
        return "".join(f"{statement};\n" for table in published for statement in table.ddl)


def print_export(report: ExportReport, console: Console) -> None:
    """Print the published rows, the errors, and what to do next."""
    print_parts(_parts(report), console)


def export_json(report: ExportReport) -> str:
    """Return JSON: ``{"run_tag", "lake", "window", "tables", "complete"}``."""
    return to_json(report)


def _parts(report: ExportReport) -> Iterator[RenderableType]:
    yield Text()
    yield _tables(report)
    for outcome in report.tables:
        if isinstance(outcome, TableNotPublished):
            yield Text(f"Table {outcome.table} was not published: {outcome.reason}", style="red")
        else:
            yield from _warnings(outcome)
    if report.complete:
        yield Text(f"Done. Run {report.run_tag} is published.", style="bold green")
    else:
        yield Text("INCOMPLETE: see the errors above", style="bold red")


def _warnings(table: TablePublished) -> Iterator[Text]:
    if table.undated:
        yield Text(
            f"Table {table.table}: not published: {pluralize(table.undated, 'row')} without a date",
            style="yellow",
        )
    if table.if_lacking:
        yield Text(
            f"Table {table.table} has new columns. First run the statement of each column that the "
            "catalog does not have:",
            style="yellow",
        )
        yield Text("".join(f"  {statement};\n" for statement in table.if_lacking).rstrip("\n"))


def _tables(report: ExportReport) -> Table:
    title = f"Published rows in {report.lake}, {report.window}"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("table", overflow="fold")
    table.add_column("days", overflow="fold")
    for name in ("replaced", "published", "carried over", "outside\nwindow"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for outcome in report.tables:
        if isinstance(outcome, TableNotPublished):
            table.add_row(Text(outcome.table), *[""] * 5, Text("unchanged", style="red"))
            continue
        figures = (outcome.replaced, outcome.published, outcome.carried, outcome.outside)
        cells = [""] * 4 if outcome.before else [f"{figure:,}" for figure in figures]
        table.add_row(Text(outcome.table), _days(outcome.days), *cells, _status(outcome))
    return table


def _status(table: TablePublished) -> str:
    if table.before:
        return "already published"
    return "published" if table.days else "nothing to publish"


def _days(days: tuple[str, ...]) -> str:
    return ", ".join(days) if len(days) <= _MAX_SHOWN else f"{days[0]} to {days[-1]}"
