"""What the demo prints: for somebody who sees this project for the first time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spade_spark.reporting.render import format_size, pluralize
from spade_spark.sandbox.demo_queries import DEMO_QUERIES, DemoQueryResult
from spade_spark.sandbox.sample_schemas import MISTAKES
from spade_spark.window import Window


class DemoScreen:
    """Numbers the steps, and shows each step's result in few columns."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def step(self, title: str) -> None:
        """The headline of the next step."""
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {title}", style="bold cyan"))

    def say(self, line: str) -> None:
        """One sentence."""
        self._console.print(Text(line))

    def command(self, line: str) -> None:
        """A command, as somebody would type it."""
        self._console.print(Text(f"$ {line}", style="bold"), soft_wrap=True)

    def show_cursor(self) -> None:
        """Undoes what a replay that was ended in the middle of its progress bar left."""
        self._console.show_cursor()

    def mistakes(self, window: Window, seen: Mapping[str, DemoQueryResult]) -> None:
        """What is wrong with each table, and in how many rows."""
        self.say(
            f"For three hours ({window}) the published schemas had a mistake in "
            f"{pluralize(len(seen), 'table')}:"
        )
        table = _table("", ("table", "rows", "what is wrong"), right=("rows",))
        for mistake in MISTAKES:
            table.add_row(mistake.table, f"{seen[mistake.table].rows:,}", mistake.why)
        self._console.print(table)

    def rows(self, seen: Mapping[str, DemoQueryResult]) -> None:
        """The first rows of each table's window; the spoilt columns stand out."""
        for look in DEMO_QUERIES:
            now = seen[look.table]
            style = "red" if now.wrong else "green"
            table = _table(f"physical.{look.table}", look.columns)
            for column in table.columns:
                column.style = style if column.header in look.wrong else ""
            for row in now.some:
                table.add_row(*(_value(value) for value in row))
            self._console.print(table)

    def comparison(
        self, before: Mapping[str, DemoQueryResult], after: Mapping[str, DemoQueryResult]
    ) -> None:
        """How many rows showed the mistake and do now; whether their neighbours were touched."""
        names = ("table", "rows", "wrong before", "wrong now", "rows outside the window")
        table = _table("Before and after", names, right=names[1:4])
        for name, now in after.items():
            then = before[name]
            same = now.around == then.around
            table.add_row(
                name,
                f"{now.rows:,}",
                f"{then.wrong:,}",
                Text(f"{now.wrong:,}", style="red" if now.wrong else "green"),
                Text(
                    f"{now.around[0]:,}, " + ("untouched" if same else "CHANGED"),
                    style="green" if same else "red",
                ),
            )
        self._console.print(table)

    def ledger(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """The rows that the replay wrote in the same transactions as the tables' rows."""
        names = ("run tag", "table", "window", "deleted", "inserted")
        table = _table("The ledger, infra.replay", names, right=names[3:])
        for run_tag, name, start, end, deleted, inserted in rows:
            window = f"{start} to {_value(end)}"
            table.add_row(run_tag, name, window, f"{deleted:,}", f"{inserted:,}")
        self._console.print(table)

    def outputs(self, url: str, objects: Iterable[tuple[str, int]]) -> None:
        """Where the run lies, folder by folder."""
        files: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for key, size in objects:
            folder = key.rpartition("/")[0] + "/" if key.count("/") > 1 else key
            files[folder] += 1
            sizes[folder] += size
        names = ("below " + url, "files", "size")
        table = _table("What the replay left on S3", names, right=names[1:])
        for folder in sorted(files):
            name = folder.partition("/")[2]
            table.add_row(name, f"{files[folder]}", format_size(sizes[folder]))
        self._console.print(table)

    def end(self, seconds: float, *, right: bool) -> None:
        """The last word."""
        self._console.print()
        if right:
            words = "What was wrong is right, and no other row has changed."
            self._console.print(Text(words, style="bold green"))
        else:
            self._console.print(Text("The demo did not end well; see above.", style="bold red"))
        self.say(
            f"That took {seconds:.0f} s, and nothing of the sandbox is left. To try it yourself: "
            "spade-spark sandbox"
        )


def _table(title: str, names: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE)
    for name in names:
        table.add_column(name, justify="right" if name in right else "left")
    return table


def _value(value: object) -> str:
    """A value of the warehouse as people read it; all times are of one day."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return value.strftime("%H:%M:%S")
    return str(value)
