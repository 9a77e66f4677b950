"""Replace one table's window in the lake.

::

    snapshot ─► the window's days, each in a new folder ─► guards ─► commit ─► DDL

Existing files are never modified. New files go to new folders. The commit then replaces the
snapshot if it is still the one that was read. A publication that is killed before the commit leaves
only unreferenced files. One that is killed after the commit is complete, and the next command finds
it in the snapshot. If two publications run at the same time, the second to commit reads the
snapshot of the first and rebuilds the days that the first has changed.
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
from spade_spark.formatting import pluralize
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

_COMMIT_ATTEMPTS: Final = 20
_MAX_WAIT_SECONDS: Final = 0.2
_DAY_LENGTH: Final = len("2017-11-03")


@dataclass(frozen=True)
class ExportGuards:
    """The guards of a publication.

    Attributes:
        allow_empty: Whether the window may be left without rows.
        min_rows_ratio: The minimum ratio of new rows to existing rows in the window.
        force: Whether a run may replace rows of a later run.
    """

    allow_empty: bool = False
    min_rows_ratio: float = 0.5
    force: bool = False


@dataclass(frozen=True)
class RewrittenPartition:
    """One day's partition before and after a rewrite.

    Attributes:
        before: The existing partition, if any.
        after: The new partition; None if the day has no rows and had no partition.
        published: Rows of the run.
        replaced: Rows removed.
    """

    before: DayPartition | None
    after: DayPartition | None
    published: int
    replaced: int

    @property
    def carried(self) -> int:
        """Rows that were kept."""
        return (self.after.rows if self.after else 0) - self.published


@dataclass(frozen=True)
class PublishResult:
    """The result of publishing a table.

    Attributes:
        before: The snapshot before; None if the table was never published.
        after: The current snapshot.
        days: The replaced days; empty if there was nothing to do.
        target_days: The days of the window for which the lake or the run has a partition.
        done_days: The target days that an earlier command replaced with rows of this run.
    """

    before: Snapshot | None
    after: Snapshot | None
    days: dict[str, RewrittenPartition]
    target_days: tuple[str, ...]
    done_days: tuple[str, ...]

    @property
    def repeated(self) -> bool:
        """Whether an earlier command already published the run."""
        return bool(self.done_days) and not self.days


class TablePublisher:
    """Publishes one table of a run.

    Args:
        store: The store of the run's files.
        table: The table in the run's manifest.
        run: The run and its window.
        rewriter: Writes files to the lake.
        guards: The guards.
    """

    def __init__(
        self,
        store: Store,
        table: ManifestTable,
        run: PublishedRun,
        rewriter: PartitionRewriter,
        guards: ExportGuards,
    ) -> None:
        self._store, self._table, self._run = store, table, run
        self._rewriter, self._guards = rewriter, guards
        self._lake = rewriter.lake
        self._days: dict[str, RewrittenPartition] = {}

    def publish(self) -> PublishResult:
        """Replace the rows of the window.

        Raises:
            GuardError: The run has no rows or too few; nothing was changed.
            AlreadyLoadedError: A later run replaced rows of this one; nothing was changed.
            InputError: A file does not match its record, existing rows have other column types, or
                the table is partitioned by another column.
            TransientError: Other publications committed first in each attempt, or the store does
                not respond.
            CommitOutcomeUnknownError: The response to the commit was lost.
        """
        for _ in range(_COMMIT_ATTEMPTS):
            versioned = load_snapshot(self._lake, self._table.table)
            current = versioned.snapshot
            self._require_same_time_column(current)
            target_days = self._target_days(current)
            rewritten = {
                day: self._build_partition(day, current)
                for day in self._pending_days(target_days, current)
            }
            # The run may have rows of a day, but none of them in the window.
            days = {day: partition for day, partition in rewritten.items() if partition.after}
            done_days = tuple(day for day in target_days if day not in rewritten)
            if not days:
                return PublishResult(current, current, {}, target_days, done_days)
            self._guard(days)
            after = self._next_snapshot(current, days)
            if commit_snapshot(self._lake, versioned, after):
                return PublishResult(current, after, days, target_days, done_days)
            time.sleep(random.uniform(0, _MAX_WAIT_SECONDS))  # noqa: S311 - no secret
        raise TransientError(
            f"{self._table.table}: other publications committed first in each of "
            f"{_COMMIT_ATTEMPTS} attempts; run the same command again"
        )

    def _require_same_time_column(self, current: Snapshot | None) -> None:
        column, existing = self._rewriter.time_column, current.time_column if current else ""
        if existing and existing != column:
            raise InputError(
                f"{self._table.table} in {self._lake.url} is partitioned by {existing}, but run "
                f"tag {self._run.run_tag} by {column}: set warehouse.time_column to {existing} and "
                "replay the window again, or publish to another lake"
            )

    def _target_days(self, current: Snapshot | None) -> tuple[str, ...]:
        """The days of the window for which the run or the lake has a partition."""
        first, last = (end[:_DAY_LENGTH] for end in self._run.window)
        days = {file.day for file in self._table.parquet if file.day != NO_DAY}
        days |= current.partitions.keys() if current else set()
        return tuple(sorted(day for day in days if first <= day <= last))

    def _pending_days(self, days: Iterable[str], current: Snapshot | None) -> Iterator[str]:
        """The days for which this run is not the latest published run."""
        for day in days:
            existing = _partition(current, day)
            later = existing.later_runs(self._run, day) if existing else ()
            if later and not self._guards.force:
                raise AlreadyLoadedError(
                    f"{self._table.table} was not modified: run tag {later[-1].run_tag} replaced "
                    f"rows of run tag {self._run.run_tag} on {day}. To replace its rows in turn, "
                    "use --force"
                )
            if existing is None or later or self._run not in existing.runs:
                yield day

    def _build_partition(self, day: str, current: Snapshot | None) -> RewrittenPartition:
        """Build a day's partition, or reuse the one built from the same existing partition."""
        before = _partition(current, day)
        built = self._days.get(day)
        if built is None or built.before != before:
            built = self._days[day] = self._rebuild(day, before)
        return built

    def _rebuild(self, day: str, before: DayPartition | None) -> RewrittenPartition:
        name = f"{self._run.run_tag}-{uuid.uuid4().hex[:12]}"
        folder = publication_folder(self._table.table, day, name)
        window = RowFilter(*self._run.window)
        outside = replace(window, inside=False)
        run_files = [file for file in self._table.parquet if file.day == day]
        new = self._copy(self._store, run_files, window, day, f"{folder}new")
        old = before.files if before else ()
        carried = self._copy(self._lake, old, outside, day, f"{folder}carried")
        earlier = [run for run in (before.runs if before else ()) if run != self._run]
        files = (*new, *carried)
        # An emptied day keeps its partition, which records the run that emptied it.
        keep = files or before
        return RewrittenPartition(
            before=before,
            after=DayPartition(folder, files, (*earlier, self._run)) if keep else None,
            published=_rows(new),
            replaced=_rows(old) - _rows(carried),
        )

    def _copy(
        self,
        store: Store,
        files: Iterable[LakeFile | DayFile],
        row_filter: RowFilter,
        day: str,
        name: str,
    ) -> tuple[LakeFile, ...]:
        copies = (
            self._rewriter.copy_rows(store, file, row_filter, day, f"{name}-{number:05d}.parquet")
            for number, file in enumerate(files)
        )
        return tuple(file for file in copies if file)

    def _guard(self, days: Mapping[str, RewrittenPartition]) -> None:
        existing = sum(day.replaced for day in days.values())
        new = sum(day.published for day in days.values())
        table = f"{self._table.table} was not modified"
        if existing and not new and not self._guards.allow_empty:
            raise GuardError(
                f"{table}: run tag {self._run.run_tag} has no rows in the window {self._window} "
                f"to replace {pluralize(existing, 'existing row')}. If this is correct, use "
                "--allow-empty"
            )
        if 0 < new < existing * self._guards.min_rows_ratio:
            raise GuardError(
                f"{table}: run tag {self._run.run_tag} has only {pluralize(new, 'new row')} to "
                f"replace {pluralize(existing, 'existing row')} in the window {self._window}, "
                f"below the minimum ratio {self._guards.min_rows_ratio:g}. If this is correct, use "
                f"--min-rows-ratio {math.floor(1000 * new / existing) / 1000:g} or less"
            )

    @property
    def _window(self) -> str:
        return " to ".join(self._run.window)

    def _next_snapshot(
        self, current: Snapshot | None, days: Mapping[str, RewrittenPartition]
    ) -> Snapshot:
        partitions = dict(current.partitions) if current else {}
        partitions |= {day: rewritten.after for day, rewritten in days.items() if rewritten.after}
        serial = current.serial + 1 if current else 1
        return Snapshot(
            table=self._table.table,
            serial=serial,
            published=datetime.now(timezone.utc),
            columns=_columns(self._rewriter.schema, current, serial),
            partitions=partitions,
            time_column=self._rewriter.time_column,
        )


def _partition(current: Snapshot | None, day: str) -> DayPartition | None:
    return current.partitions.get(day) if current else None


def _rows(files: Iterable[LakeFile]) -> int:
    return sum(file.rows for file in files)


def _columns(schema: pa.Schema, current: Snapshot | None, serial: int) -> tuple[LakeColumn, ...]:
    """The run's columns, followed by those that only older rows have."""
    columns = {field.name: LakeColumn(field.name, str(field.type), serial) for field in schema}
    for older in current.columns if current else ():
        newer = columns.get(older.name)
        columns[older.name] = replace(newer, since=older.since) if newer else older
    return tuple(columns.values())
