"""The report of an undo: as a value, as text, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.reporting.render import maintenance_lines, print_parts, to_json
from spade_spark.runs.load_results import LoadFailed, RemainingLoad, TableMaintenance, UndoSucceeded


@dataclass(frozen=True)
class UndoReport:
    """The result of one undo.

    Attributes:
        run_tag: The run whose loads were undone.
        warehouse: ``host:port/database``.
        tag: The undo's own tag in the replay log, by which it can be undone.
        tables: The outcome of each load, in the order of a table's loads. After a failure, the
            older loads of the table have no outcome.
        passed: Tables that an earlier undo restored.
        remaining: The loads of the run that are still in effect, also into other tables.
        next: The command that undoes the remaining loads; empty if there are none.
        maintenance: The tables that were analyzed, or for which ANALYZE or VACUUM is worth running.
    """

    run_tag: str
    warehouse: str
    tag: str
    tables: tuple[UndoSucceeded | LoadFailed, ...]
    passed: tuple[str, ...] = ()
    remaining: tuple[RemainingLoad, ...] = ()
    next: str = ""
    maintenance: tuple[TableMaintenance, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that was requested is done."""
        return not any(isinstance(outcome, LoadFailed) for outcome in self.tables)


def print_undo(report: UndoReport, console: Console) -> None:
    """Print the restored rows, the errors, and what to do next."""
    print_parts(_parts(report), console)


def undo_json(report: UndoReport) -> str:
    """Return the report as JSON: its attributes, and ``"complete"``."""
    return to_json(report)


def _parts(report: UndoReport) -> Iterator[RenderableType]:
    yield Text()
    if report.tables:
        yield _tables(report)
    yield from maintenance_lines(report.maintenance)
    for table in report.passed:
        yield Text(f"Table {table} was already undone", style="yellow")
    for outcome in report.tables:
        if isinstance(outcome, LoadFailed):
            yield Text(f"Table {outcome.table} was not undone: {outcome.reason}", style="red")
    partly = f"Run {report.run_tag} is partly undone. Not undone: {_remaining(report)}."
    if not report.complete:
        if report.remaining:
            yield Text(partly, style="red")
        yield Text("INCOMPLETE: see the errors above", style="bold red")
        yield Text(f"To undo the rest, fix the errors, then run: {report.next}")
        return
    if report.remaining:
        yield Text(f"Done. {partly}", style="bold yellow")
        yield Text(f"To undo the rest: {report.next}")
    else:
        yield Text(f"Done. Run {report.run_tag} is undone.", style="bold green")
    if report.passed or any(map(_has_backup, report.tables)):
        yield Text(f"To restore the deleted rows: spade-spark undo {report.tag}")


def _remaining(report: UndoReport) -> str:
    """The tables of the remaining loads, with the number of loads where it is not one."""
    loads = Counter(load.table for load in report.remaining)
    return ", ".join(
        table if count == 1 else f"{table} ({count:,} loads)" for table, count in loads.items()
    )


def _has_backup(outcome: UndoSucceeded | LoadFailed) -> bool:
    return isinstance(outcome, UndoSucceeded) and bool(outcome.backup)


def _tables(report: UndoReport) -> Table:
    table = Table(title=Text(f"Restored rows in {report.warehouse}"), title_justify="left")
    for name in ("table", "window"):
        table.add_column(name, overflow="fold")
    for name in ("deleted", "restored", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("backup of deleted rows", overflow="fold")
    table.add_column("status", no_wrap=True)
    for outcome in report.tables:
        if isinstance(outcome, UndoSucceeded):
            figures = (f"{outcome.deleted:,}", f"{outcome.inserted:,}", f"{outcome.seconds:.1f}")
            cells = (outcome.window, *figures, outcome.backup or "none")
            status = Text("undone")
        else:
            cells = ("",) * 5
            status = Text("UNKNOWN" if outcome.unknown else "unchanged", style="red")
        # Text, not markup: names may contain square brackets.
        table.add_row(Text(outcome.table), *(Text(cell) for cell in cells), status)
    return table
