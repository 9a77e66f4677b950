"""The progress display: bars on a terminal, plain lines elsewhere."""

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
from spade_spark.formatting import format_size
from spade_spark.plan import InputPartition
from spade_spark.progress import DisplayGuard
from spade_spark.reporting.preview import ReplayPreview, print_preview

_LINE_INTERVAL = 5.0


class ConsoleReporter:
    """Shows the progress of a command on standard error."""

    def __init__(self, console: Console, *, ask: bool = False) -> None:
        """Write to ``console``; ``ask`` lets :meth:`confirm` ask questions on a terminal."""
        self.console = console
        self._guard = DisplayGuard()
        self._ask = ask and console.is_terminal and sys.stdin.isatty()

    def log(self, line: str) -> None:
        """Print a line; log a failure to print."""
        with self._guard:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show_preview(self, preview: ReplayPreview) -> None:
        """Print the short preview of a replay."""
        print_preview(preview, self.console, short=True)

    def confirm(self, question: str) -> None:
        """Ask for confirmation on a terminal; do nothing elsewhere.

        Raises:
            UsageError: The answer was no.
        """
        if self._ask and not Confirm.ask(question, console=self.console, default=False):
            raise UsageError("cancelled: nothing was started")

    @contextmanager
    def transforming(
        self, partitions: Sequence[InputPartition]
    ) -> Iterator[Callable[[progress.TransformProgress], None]]:
        """Show the progress of a transform; yield the callback for updates."""
        totals = _TransformTotals(partitions)
        if not self.console.is_terminal:
            yield _LineProgress(self, totals).update
            return
        bar = self._bar()
        task = bar.add_task("transform", total=max(totals.size, 1), detail="starting Spark")
        with self._displayed(bar):
            yield lambda done: bar.update(task, completed=done.bytes_in, detail=totals.text(done))

    @contextmanager
    def loading(self, tables: Sequence[str]) -> Iterator[Callable[[progress.LoadProgress], None]]:
        """Show each table's phase of a load or undo; yield the callback for updates."""
        if not self.console.is_terminal:
            yield lambda step: self.log(f"table {step.table}: {step.text}")
            return
        bar = self._bar()
        tasks = {table: bar.add_task(table, total=None, detail="waiting") for table in tables}

        def show(step: progress.LoadProgress) -> None:
            bar.update(tasks[step.table], detail=step.text)

        with self._displayed(bar):
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
    def _displayed(self, bar: Progress) -> Iterator[None]:
        """Display ``bar`` during the block; a display error does not interrupt the block."""
        with self._guard:
            bar.start()
        try:
            yield
        finally:
            with self._guard:
                bar.stop()


class _TransformTotals:
    """The totals of a transform, and its progress as text."""

    def __init__(self, partitions: Sequence[InputPartition]) -> None:
        self.partitions = len(partitions)
        self.objects = sum(len(partition.sources) for partition in partitions)
        self.size = sum(partition.size for partition in partitions)
        self._started = time.monotonic()

    def text(self, done: progress.TransformProgress) -> str:
        rate = done.rows / max(time.monotonic() - self._started, 0.001)
        return (
            f"{done.objects:,} of {self.objects:,} objects, {format_size(done.bytes_in)} of "
            f"{format_size(self.size)}, {done.rows:,} rows ({rate:,.0f}/s), partitions: "
            f"{done.partitions:,} of {self.partitions:,} done, {done.running} running"
        )


class _LineProgress:
    """Logs a line every few seconds, and one at the end."""

    def __init__(self, reporter: ConsoleReporter, totals: _TransformTotals) -> None:
        self._reporter, self._totals = reporter, totals
        self._logged_at = time.monotonic()
        self._ended = False

    def update(self, done: progress.TransformProgress) -> None:
        now = time.monotonic()
        ended = done.partitions == self._totals.partitions and not self._ended
        if ended or now - self._logged_at >= _LINE_INTERVAL:
            self._logged_at, self._ended = now, ended
            self._reporter.log(f"transform: {self._totals.text(done)}")
