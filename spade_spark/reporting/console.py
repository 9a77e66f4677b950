"""What a run shows while it works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm

from spade_spark import progress
from spade_spark.errors import UsageError
from spade_spark.plan import InputPartition
from spade_spark.progress import DisplayGuard
from spade_spark.reporting.preview import ReplayPreview, print_preview
from spade_spark.reporting.render import format_size

_LINE_SECONDS = 5.0


class ConsoleReporter:
    """Where a run's progress is shown; on standard error, so that output can be piped."""

    def __init__(self, console: Console, *, ask: bool = False) -> None:
        """Shows on ``console``; with ``ask`` a person there is asked before rows are replaced."""
        self.console = console
        self._guard = DisplayGuard()
        self._asks = ask and console.is_terminal and sys.stdin.isatty()

    def log(self, line: str) -> None:
        """Prints a line that stays; a failure to print it is logged."""
        with self._guard:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show_preview(self, outlook: ReplayPreview) -> None:
        """What is going to happen, in short."""
        print_preview(outlook, self.console, short=True)

    def confirm(self, question: str) -> None:
        """Whether to begin: asked on a terminal, taken for granted elsewhere.

        Raises:
            UsageError: The answer was no.
        """
        if self._asks and not Confirm.ask(question, console=self.console, default=False):
            raise UsageError("nothing was begun, since the answer was no")

    @contextmanager
    def transforming(
        self, partitions: Sequence[InputPartition]
    ) -> Iterator[Callable[[progress.TransformProgress], None]]:
        """Shows how much of ``partitions`` is done, from what the yielded function is told."""
        goal = _TransformTotals(partitions)
        if not self.console.is_terminal:
            yield _LineProgress(self, goal).tell
            return
        bar = self._bar()
        task = bar.add_task("transform", total=max(goal.size, 1), detail="starting Spark")
        with self._shown(bar):
            yield lambda done: bar.update(task, completed=done.bytes_in, detail=goal.text(done))

    @contextmanager
    def loading(self, tables: Sequence[str]) -> Iterator[Callable[[progress.LoadProgress], None]]:
        """Shows each table's phase, from what is passed to the yielded function."""
        if not self.console.is_terminal:
            yield lambda at: self.log(f"load {at.table}: {at.phase.value} {at.note}".rstrip())
            return
        bar = self._bar()
        tasks = {table: bar.add_task(table, total=None, detail="waiting") for table in tables}

        def show(at: progress.LoadProgress) -> None:
            bar.update(tasks[at.table], detail=f"{at.phase.value} {at.note}")

        with self._shown(bar):
            yield show

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self.console,
        )

    @contextmanager
    def _shown(self, bar: Progress) -> Iterator[None]:
        """Shows ``bar`` while the block runs; a terminal that fails does not end the block."""
        with self._guard:
            bar.start()
        try:
            yield
        finally:
            with self._guard:
                bar.stop()


class _TransformTotals:
    """What is to be done, and how far it is in words."""

    def __init__(self, partitions: Sequence[InputPartition]) -> None:
        self.partitions = len(partitions)
        self.objects = sum(len(partition.sources) for partition in partitions)
        self.size = sum(partition.size for partition in partitions)
        self._began = time.monotonic()

    def text(self, done: progress.TransformProgress) -> str:
        speed = done.rows / max(time.monotonic() - self._began, 0.001)
        return (
            f"{done.objects:,} of {self.objects:,} objects, {format_size(done.bytes_in)} of "
            f"{format_size(self.size)}, {done.rows:,} rows ({speed:,.0f}/s), partitions: "
            f"{done.partitions:,} of {self.partitions:,} done, {done.running} running"
        )


class _LineProgress:
    """A line every few seconds, and one at the end."""

    def __init__(self, screen: ConsoleReporter, goal: _TransformTotals) -> None:
        self._screen, self._goal = screen, goal
        self._said = time.monotonic()
        self._ended = False

    def tell(self, done: progress.TransformProgress) -> None:
        now = time.monotonic()
        ended = done.partitions == self._goal.partitions and not self._ended
        if ended or now - self._said >= _LINE_SECONDS:
            self._said, self._ended = now, ended
            self._screen.log(f"transform: {self._goal.text(done)}")
