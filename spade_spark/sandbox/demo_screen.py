"""The demo's output on the console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spade_spark.formatting import format_size, pluralize
from spade_spark.sandbox.demo_queries import DEMO_QUERIES, DemoQueryResult
from spade_spark.sandbox.sample_schemas import MISTAKES
from spade_spark.window import Window


class DemoScreen:
    """Prints the demo's numbered steps and their results."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def step(self, title: str) -> None:
        """Print the heading of the next step."""
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {title}", style="bold cyan"))

    def log(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(line))

    def command(self, line: str) -> None:
        """Print a command as a user would type it."""
        self._console.print(Text(f"$ {line}", style="bold"), soft_wrap=True)

    def show_cursor(self) -> None:
        """Show the cursor again after a replay was interrupted during its progress bar."""
        self._console.show_cursor()

    def mistakes(self, window: Window, results: Mapping[str, DemoQueryResult]) -> None:
        """Print each table's number of rows and its mistake."""
        self.log(
            f"For three hours ({window}), the published schemas of "
            f"{pluralize(len(results), 'table')} were wrong:"
        )
        table = _table("", ("table", "rows", "mistake"), right=("rows",))
        for mistake in MISTAKES:
            table.add_row(mistake.table, f"{results[mistake.table].rows:,}", mistake.effect)
        self._console.print(table)

    def rows(self, results: Mapping[str, DemoQueryResult]) -> None:
        """Print the first rows of each table's window, with the affected columns highlighted."""
        self.log("The first rows of the window in each table:")
        for query in DEMO_QUERIES:
            result = results[query.table]
            style = "red" if result.wrong else "green"
            table = _table(f"physical.{query.table}", query.columns)
            for column in table.columns:
                column.style = style if column.header in query.wrong else ""
            for row in result.sample:
                table.add_row(*(_value(value) for value in row))
            self._console.print(table)

    def comparison(
        self, before: Mapping[str, DemoQueryResult], after: Mapping[str, DemoQueryResult]
    ) -> None:
        """Print the numbers of wrong rows, and whether rows outside the window changed."""
        names = ("table", "rows", "wrong before", "wrong after", "other rows")
        table = _table("Rows of the window before and after the replay", names, right=names[1:4])
        for name, result in after.items():
            unchanged = result.outside == before[name].outside
            table.add_row(
                name,
                f"{result.rows:,}",
                f"{before[name].wrong:,}",
                Text(f"{result.wrong:,}", style="red" if result.wrong else "green"),
                Text(
                    f"{result.outside[0]:,}, " + ("unchanged" if unchanged else "CHANGED"),
                    style="green" if unchanged else "red",
                ),
            )
        self._console.print(table)

    def replay_log(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Print the rows of the replay log."""
        names = ("run tag", "table", "window", "deleted", "inserted")
        table = _table("Replay log (infra.replay)", names, right=names[3:])
        for run_tag, name, start, end, deleted, inserted in rows:
            window = f"{_value(start)} to {_value(end)}"
            table.add_row(run_tag, name, window, f"{deleted:,}", f"{inserted:,}")
        self._console.print(table)

    def outputs(self, url: str, objects: Iterable[tuple[str, int]]) -> None:
        """Print the number and size of the run's files by folder."""
        files: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for key, size in objects:
            folder = key.rpartition("/")[0] + "/" if key.count("/") > 1 else key
            files[folder] += 1
            sizes[folder] += size
        names = (url, "files", "size")
        table = _table("Run output on S3", names, right=names[1:])
        for folder in sorted(files):
            name = folder.partition("/")[2]
            table.add_row(name, f"{files[folder]}", format_size(sizes[folder]))
        self._console.print(table)

    def end(self, seconds: float, *, succeeded: bool) -> None:
        """Print the result of the demo."""
        self._console.print()
        if succeeded:
            message = "All wrong rows are corrected, and no other rows changed."
            self._console.print(Text(message, style="bold green"))
        else:
            self._console.print(Text("The demo failed: see the errors above.", style="bold red"))
        self.log(f"The demo took {seconds:.0f} s. Its services and data are removed.")
        self.log("To try replays yourself: spade-spark sandbox")


def _table(title: str, names: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE)
    for name in names:
        table.add_column(name, justify="right" if name in right else "left")
    return table


def _value(value: object) -> str:
    """Format a value. Times have no date: all are on the same day."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return value.strftime("%H:%M:%S")
    return str(value)
