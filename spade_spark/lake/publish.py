"""One table's window in the lake, replaced.

::

    pointer ─► the window's days, each in a new folder ─► guard ─► swap ─► DDL

Nothing that counts is written to: files go to new folders, and then the pointer is swapped on
condition that it is still the one that was read. Killed before that, nothing has happened but that
there are files which nobody reads; killed after it, all has. Who runs again finds out from the
pointer. Of two at once, the second to swap reads the pointer of the first and makes anew the days
that the first has changed.
"""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Final

import pyarrow as pa

from spade_spark.errors import AlreadyLoadedError, GuardError, InputError, TransientError
from spade_spark.lake.rewrite import PartitionRewriter, RowFilter
from spade_spark.lake.snapshot import (
    DayPartition,
    LakeColumn,
    LakeFile,
    PublishedRun,
    Snapshot,
    commit_snapshot,
    load_snapshot,
    publication_folder,
)
from spade_spark.runs.manifest import ManifestTable
from spade_spark.storage.base import Store
from spade_spark.writers.partition_paths import NO_DAY, DayFile

_SWAPS: Final = 20
_WAIT_SECONDS: Final = 0.2
_DAY_LENGTH: Final = len("2017-11-03")


@dataclass(frozen=True)
class ExportGuards:
    """What a publication may do.

    Attributes:
        allow_empty: Whether a window may be left without rows.
        min_rows_ratio: New rows to old rows in the window, below which nothing is done.
        force: Whether a run may be published again over one that was published over it.
    """

    allow_empty: bool = False
    min_rows_ratio: float = 0.5
    force: bool = False


@dataclass(frozen=True)
class RewrittenPartition:
    """One day as it was made, from what was there.

    Attributes:
        before: What was there.
        after: What is there then; None where there is nothing, and was not.
        published: Rows of the run.
        replaced: Rows that went.
    """

    before: DayPartition | None
    after: DayPartition | None
    published: int
    replaced: int

    @property
    def carried(self) -> int:
        """Rows that stayed."""
        return (self.after.rows if self.after else 0) - self.published


@dataclass(frozen=True)
class PublishResult:
    """What a publication came to.

    Attributes:
        before: The table as it stood; None where it was never published.
        after: As it stands.
        days: The days that were replaced; none where there was nothing to do.
        asked: The days of the window that there are, or were.
        settled: Those that an earlier command replaced by this run's rows.
    """

    before: Snapshot | None
    after: Snapshot | None
    days: dict[str, RewrittenPartition]
    asked: tuple[str, ...]
    settled: tuple[str, ...]

    @property
    def repeated(self) -> bool:
        """Whether an earlier command did all that there was to do."""
        return bool(self.settled) and not self.days


class TablePublisher:
    """Publishes one table of a run.

    Args:
        run: The store of the run's files.
        made: The table as the run made it.
        source: The run and its window.
        workshop: What makes files in the lake.
        rules: What is allowed.
    """

    def __init__(
        self,
        run: Store,
        made: ManifestTable,
        source: PublishedRun,
        workshop: PartitionRewriter,
        rules: ExportGuards,
    ) -> None:
        self._run, self._made, self._source = run, made, source
        self._workshop, self._rules = workshop, rules
        self._lake = workshop.lake
        self._days: dict[str, RewrittenPartition] = {}

    def publish(self) -> PublishResult:
        """Replaces the window's rows.

        Raises:
            GuardError: The run's rows are none, or too few; nothing was changed.
            AlreadyLoadedError: Another run was published over this one since; nothing was changed.
            InputError: A file is not as its record says, or rows that stay have other types, or
                their days are of another column.
            TransientError: Others were first, time and again, or the store does not answer.
            CommitOutcomeUnknownError: The answer to the swap was lost.
        """
        for _ in range(_SWAPS):
            pointer = load_snapshot(self._lake, self._made.table)
            current = pointer.snapshot
            self._refuse_other_column(current)
            asked = self._target_days(current)
            made = {
                day: self._build_partition(day, current)
                for day in self._pending_days(asked, current)
            }
            # The run may have rows of a day and none in the window.
            days = {day: each for day, each in made.items() if each.after}
            settled = tuple(day for day in asked if day not in made)
            if not days:
                return PublishResult(current, current, {}, asked, settled)
            self._guard(days)
            after = self._after(current, days)
            if commit_snapshot(self._lake, pointer, after):
                return PublishResult(current, after, days, asked, settled)
            time.sleep(random.uniform(0, _WAIT_SECONDS))  # noqa: S311 - no secret, but a pause
        raise TransientError(
            f"{self._made.table} was published by others {_SWAPS} times while it was made: run the "
            "same command again"
        )

    def _refuse_other_column(self, current: Snapshot | None) -> None:
        mine, theirs = self._workshop.time_column, current.time_column if current else ""
        if theirs and theirs != mine:
            raise InputError(
                f"{self._made.table} lies in {self._lake.url} by the days of its column {theirs}, "
                f"and run tag {self._source.run_tag} was made by {mine}: set warehouse.time_column "
                "to the former and make the rows again, or publish into another lake"
            )

    def _target_days(self, current: Snapshot | None) -> tuple[str, ...]:
        """The days of the window that the run has rows of, or the lake."""
        first, last = (end[:_DAY_LENGTH] for end in self._source.window)
        days = {file.day for file in self._made.parquet if file.day != NO_DAY}
        days |= current.partitions.keys() if current else set()
        return tuple(sorted(day for day in days if first <= day <= last))

    def _pending_days(self, days: Iterable[str], current: Snapshot | None) -> Iterator[str]:
        """Those of which the run is not what was published last."""
        for day in days:
            there = _partition(current, day)
            over = there.over(self._source, day) if there else ()
            if over and not self._rules.force:
                raise AlreadyLoadedError(
                    f"{self._made.table} was left as it was: run tag {over[-1].run_tag} was "
                    f"published over {self._source.run_tag} in {day} since; if its rows are to go, "
                    "use --force"
                )
            if there is None or over or self._source not in there.sources:
                yield day

    def _build_partition(self, day: str, current: Snapshot | None) -> RewrittenPartition:
        """The day, made anew; what was made of the same before is made already."""
        before = _partition(current, day)
        known = self._days.get(day)
        if known is None or known.before != before:
            known = self._days[day] = self._rebuild(day, before)
        return known

    def _rebuild(self, day: str, before: DayPartition | None) -> RewrittenPartition:
        name = f"{self._source.run_tag}-{uuid.uuid4().hex[:12]}"
        folder = publication_folder(self._made.table, day, name)
        window = RowFilter(*self._source.window)
        mine = [file for file in self._made.parquet if file.day == day]
        new = self._copy(self._run, mine, window, day, f"{folder}new")
        old = before.files if before else ()
        stay = self._copy(self._lake, old, replace(window, inside=False), day, f"{folder}carried")
        earlier = [each for each in (before.sources if before else ()) if each != self._source]
        files = (*new, *stay)
        # A day that is emptied stays, so that it knows what it was emptied by.
        there = files or before
        return RewrittenPartition(
            before=before,
            after=DayPartition(folder, files, (*earlier, self._source)) if there else None,
            published=_rows(new),
            replaced=_rows(old) - _rows(stay),
        )

    def _copy(
        self,
        store: Store,
        files: Iterable[LakeFile | DayFile],
        span: RowFilter,
        day: str,
        name: str,
    ) -> tuple[LakeFile, ...]:
        brought = (
            self._workshop.copy_rows(store, file, span, day, f"{name}-{number:05d}.parquet")
            for number, file in enumerate(files)
        )
        return tuple(file for file in brought if file)

    def _guard(self, days: Mapping[str, RewrittenPartition]) -> None:
        before = sum(day.replaced for day in days.values())
        after = sum(day.published for day in days.values())
        where = f"{self._made.table} was left as it was: in the window {self._window}"
        if before and not after and not self._rules.allow_empty:
            raise GuardError(
                f"{where} run tag {self._source.run_tag} has no rows to replace {before} old ones; "
                "if that is right, use --allow-empty"
            )
        if 0 < after < before * self._rules.min_rows_ratio:
            raise GuardError(
                f"{where} there are {after} new rows to replace {before} old ones, less than "
                f"{self._rules.min_rows_ratio:g} of them; if that is right, use --min-rows-ratio "
                f"with at most {math.floor(1000 * after / before) / 1000:g}"
            )

    @property
    def _window(self) -> str:
        return " to ".join(self._source.window)

    def _after(self, current: Snapshot | None, days: Mapping[str, RewrittenPartition]) -> Snapshot:
        partitions = dict(current.partitions) if current else {}
        partitions |= {day: made.after for day, made in days.items() if made.after}
        serial = current.serial + 1 if current else 1
        return Snapshot(
            table=self._made.table,
            serial=serial,
            published=datetime.now(timezone.utc),
            columns=_columns(self._workshop.schema, current, serial),
            partitions=partitions,
            time_column=self._workshop.time_column,
        )


def _partition(current: Snapshot | None, day: str) -> DayPartition | None:
    return current.partitions.get(day) if current else None


def _rows(files: Iterable[LakeFile]) -> int:
    return sum(file.rows for file in files)


def _columns(schema: pa.Schema, current: Snapshot | None, serial: int) -> tuple[LakeColumn, ...]:
    """The run's columns, and behind them those that older rows have."""
    columns = {each.name: LakeColumn(each.name, str(each.type), serial) for each in schema}
    for older in current.columns if current else ():
        newer = columns.get(older.name)
        columns[older.name] = replace(newer, since=older.since) if newer else older
    return tuple(columns.values())
