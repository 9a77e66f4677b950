"""What an undo came to, as a value, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.reporting.render import print_parts, to_json
from spade_spark.runs.load_results import LoadFailed, UndoSucceeded


@dataclass(frozen=True)
class UndoReport:
    """One undo.

    Attributes:
        run_tag: The run whose loads were to be undone.
        warehouse: Where: ``host:port/database``.
        tag: What the ledger calls the undo, which can be undone by that name.
        tables: What came of each table.
        passed: Tables that were undone before, and so were passed over.
    """

    run_tag: str
    warehouse: str
    tag: str
    tables: tuple[UndoSucceeded | LoadFailed, ...]
    passed: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is done."""
        return not any(isinstance(each, LoadFailed) for each in self.tables)


def print_undo(report: UndoReport, console: Console) -> None:
    """Prints what was put back, and what to do next."""
    print_parts(_parts(report), console)


def undo_json(report: UndoReport) -> str:
    """The report as JSON: ``{"run_tag", "warehouse", "tag", "tables", "passed", "complete"}``."""
    return to_json(report)


def _parts(report: UndoReport) -> Iterator[RenderableType]:
    yield Text()
    if report.tables:
        yield _tables(report)
    for table in report.passed:
        yield Text(f"Table {table} was undone before", style="yellow")
    for each in report.tables:
        if isinstance(each, LoadFailed):
            yield Text(f"Table {each.table} was not undone: {each.reason}", style="red")
    if not report.complete:
        yield Text("NOT everything was undone, see above", style="bold red")
        return
    yield Text(f"Done. Run tag {report.run_tag} is undone.", style="bold green")
    if report.passed or any(_has_backup(each) for each in report.tables):
        yield Text(f"To put its rows back: spade-spark undo {report.tag}")


def _has_backup(outcome: UndoSucceeded | LoadFailed) -> bool:
    return isinstance(outcome, UndoSucceeded) and bool(outcome.backup)


def _tables(report: UndoReport) -> Table:
    title = f"What was put back in {report.warehouse}: rows of the window"
    table = Table(title=title, title_justify="left")
    for name in ("table", "window"):
        table.add_column(name, overflow="fold")
    for name in ("deleted", "put back", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("deleted rows are kept in", overflow="fold")
    table.add_column("", no_wrap=True)
    for each in report.tables:
        if isinstance(each, UndoSucceeded):
            figures = (f"{each.deleted:,}", f"{each.inserted:,}", f"{each.seconds:.1f}")
            cells = (each.window, *figures, each.backup or "nowhere")
            state = Text("undone")
        else:
            cells = ("",) * 5
            state = Text("UNKNOWN" if each.unknown else "unchanged", style="red")
        # As text: in a name, square brackets are no markup.
        table.add_row(Text(each.table), *(Text(cell) for cell in cells), state)
    return table
