"""What a publication into a lake came to, as a value, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.reporting.render import pluralize, print_parts, to_json
from spade_spark.runs.export_results import ExportOutcome, TableNotPublished, TablePublished

_MOST = 4


@dataclass(frozen=True)
class ExportReport:
    """One publication.

    Attributes:
        run_tag: The run.
        lake: The lake's URL.
        window: The window in words.
        tables: What came of each table.
    """

    run_tag: str
    lake: str
    window: str
    tables: tuple[ExportOutcome, ...]

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is done."""
        return not any(isinstance(each, TableNotPublished) for each in self.tables)

    @property
    def ddl(self) -> str:
        """The statements for the catalog, each ended by a semicolon."""
        done = (each for each in self.tables if isinstance(each, TablePublished))
        return "".join(f"{statement};\n" for each in done for statement in each.ddl)


def print_export(report: ExportReport, console: Console) -> None:
    """Prints what was published, and what to do next."""
    print_parts(_parts(report), console)


def export_json(report: ExportReport) -> str:
    """The report as JSON: ``{"run_tag", "lake", "window", "tables", "complete"}``."""
    return to_json(report)


def _parts(report: ExportReport) -> Iterator[RenderableType]:
    yield Text()
    yield _tables(report)
    for each in report.tables:
        if isinstance(each, TableNotPublished):
            yield Text(f"Table {each.table} was not published: {each.reason}", style="red")
        else:
            yield from _remarks(each)
    if report.complete:
        yield Text(f"Done. Run tag {report.run_tag} is published.", style="bold green")
    else:
        yield Text("NOT everything was published, see above", style="bold red")


def _remarks(table: TablePublished) -> Iterator[Text]:
    if table.undated:
        yield Text(
            f"Table {table.table}: {pluralize(table.undated, 'row')} of the run belong to no day "
            "and were not published",
            style="yellow",
        )
    if table.if_lacking:
        yield Text(
            f"Table {table.table} has had columns added. Where the catalog lacks one, run its "
            "statement before those that are printed:",
            style="yellow",
        )
        yield Text("".join(f"  {statement};\n" for statement in table.if_lacking).rstrip("\n"))


def _tables(report: ExportReport) -> Table:
    title = f"What was published in {report.lake}: rows of {report.window}"
    table = Table(title=title, title_justify="left")
    table.add_column("table", overflow="fold")
    table.add_column("days", overflow="fold")
    for name in ("replaced", "published", "carried over", "outside"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in report.tables:
        if isinstance(each, TableNotPublished):
            table.add_row(Text(each.table), *[""] * 5, Text("unchanged", style="red"))
            continue
        figures = (each.replaced, each.published, each.carried, each.outside)
        cells = [""] * 4 if each.before else [f"{figure:,}" for figure in figures]
        table.add_row(Text(each.table), _days(each.days), *cells, _state(each))
    return table


def _state(table: TablePublished) -> str:
    if table.before:
        return "published before"
    return "published" if table.days else "nothing to publish"


def _days(days: tuple[str, ...]) -> str:
    return ", ".join(days) if len(days) <= _MOST else f"{days[0]} to {days[-1]}"
