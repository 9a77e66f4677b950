"""A replay: reprocess a window of edge logs and replace its rows in the warehouse.

::

    plan ─► preflight ─► confirm ─► lock ─► transform (Spark) ─► manifest ─► load ─► report

A replay checks everything it can before it changes anything. It writes the rows to the output store
under its run tag; a repeated command resumes there. Then it replaces the window of each table, in
one transaction per table. It loads nothing if the audit counts of the transform do not balance.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from spade_spark.blueprint import fetch
from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.errors import InputError, UsageError, WarehouseError
from spade_spark.formatting import pluralize
from spade_spark.locking.heartbeat import HeldLease, acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.plan import InputPartition, Plan
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.corrupt_input import corrupt_input_problem, withheld_message
from spade_spark.reporting.preview import DUPLICATES_WARNING
from spade_spark.reporting.replay import ReplayReport
from spade_spark.reporting.statsd import Metrics, load_metrics, run_metrics
from spade_spark.request import Request
from spade_spark.runs.import_legacy import import_legacy_run
from spade_spark.runs.load_results import LoadRecord
from spade_spark.runs.manifest import Completion
from spade_spark.runs.run_store import CompletedRun, RunStore
from spade_spark.settings import Settings
from spade_spark.spark.broadcast_context import BroadcastContext, PublishConfig
from spade_spark.spark.java import require_java
from spade_spark.storage.base import open_store
from spade_spark.streams.routing import WindowFilter
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.warehouse import preflight
from spade_spark.warehouse.control_objects import migrate_replay_log
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.maintenance import maintain
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.window import Window
from spade_spark.workflows.planning import (
    PlannedReplay,
    plan_replay,
    select_run_tables,
    select_tables,
)
from spade_spark.workflows.preview import build_preview

_LOG = logging.getLogger(__name__)


def replay(
    request: Request, settings: Settings, reporter: ConsoleReporter, *, migrate: bool = False
) -> ReplayReport:
    """Run the replay that ``request`` describes.

    Args:
        request: The request.
        settings: The settings.
        reporter: Shows the progress and asks for confirmation.
        migrate: Whether to add columns that the replay log of an older version lacks, first.

    Returns:
        The report; ``report.complete`` is false if a part of the request failed.

    Raises:
        SpadeError: The replay failed before it changed a table.
    """
    started = time.monotonic()
    run = RunStore(open_store(settings.output.base, settings.s3), request.run_tag)
    warehouse = None if request.skip_load else open_warehouse(settings.warehouse, settings.s3)
    if warehouse and migrate:
        for statement in migrate_replay_log(warehouse, settings.warehouse.control):
            reporter.log(f"upgraded the replay log: {statement}")
    metrics = Metrics(settings.metrics, reporter.log)
    replay_runner = _ReplayRunner(request, settings, run, warehouse, reporter, metrics)
    report = replay_runner.load_existing() if request.skip_transform else replay_runner.run_full()
    report = replace(report, seconds=time.monotonic() - started)
    run.write_report(report.to_json())
    return report


@dataclass(frozen=True)
class _ReplayRunner:
    """The steps of one replay and what they share."""

    request: Request
    settings: Settings
    run: RunStore
    warehouse: Warehouse | None
    reporter: ConsoleReporter
    metrics: Metrics

    def run_full(self) -> ReplayReport:
        """Plan, confirm, transform and load."""
        require_java()
        planned = plan_replay(self.request, self.settings)
        self._confirm_plan(planned)
        with self._lock() as lock:
            plan = self.run.begin(planned.plan, planned.schemas)
            completed = self.run.completed_run() or self._transform(plan, planned, lock)
            report = self._load(completed, planned.tables, lock)
        return replace(report, left_out=planned.skipped_tables, unnamed=planned.listing.unnamed)

    def load_existing(self) -> ReplayReport:
        """Load the files of an earlier run (``--skip-transform``)."""
        with self._lock() as lock:
            completed = self._existing_run()
            tables = select_run_tables(self.request, completed, self.run.read_schemas())
            self._confirm_load(completed, tables)
            return self._load(completed, tables, lock)

    def _confirm_plan(self, planned: PlannedReplay) -> None:
        """Show the preview and ask for confirmation; refuse a replay that cannot succeed."""
        problem = self.run.plan_problem(planned.plan)
        if problem:
            raise UsageError(problem)
        preview = build_preview(planned, self.request, self.settings, self.warehouse)
        self.reporter.show_preview(preview)
        if preview.problems:
            raise WarehouseError(
                "the replay cannot succeed, so nothing was changed:\n  "
                + "\n  ".join(preview.problems)
            )
        self._confirm(sum(table.rows for table in preview.tables))
        if preview.streams:
            streams = pluralize(len(preview.streams), "stream")
            self.reporter.confirm(f"Publish to {streams}? {DUPLICATES_WARNING}")

    def _confirm(self, rows: int) -> None:
        if self.warehouse:
            action = "Add the quarantined rows to" if self.request.from_quarantine else "Replace"
            where = f"{self.warehouse.name} {self.warehouse.connection_info}"
            self.reporter.confirm(f"{action} {rows:,} existing rows in {where}?")

    @contextmanager
    def _lock(self) -> Iterator[HeldLease]:
        """Lock the run tag, and the window of the tables, against other replays."""
        lease_request = LeaseRequest.new(
            self.request.run_tag, self.request.window, self.request.replaces
        )
        with acquire_lease(
            LeaseStore(self.run.store), lease_request, self.request.take_over
        ) as lock:
            for lease in lock.displaced:
                self.reporter.log(f"took over the lock of {lease.request}")
            yield lock

    def _transform(self, plan: Plan, planned: PlannedReplay, lock: HeldLease) -> CompletedRun:
        """Transform the remaining partitions on Spark and write the manifest."""
        earlier = self.run.completions(plan)
        finished = {completion.partition for completion in earlier}
        remaining = [part for part in plan.partitions if part.number not in finished]
        if earlier:
            self.reporter.log(
                f"resuming: {len(earlier):,} of {len(plan.partitions):,} partitions done"
            )
        context = self._task_context(plan, planned)
        started = time.monotonic()
        completions = self._run_on_spark(context, remaining, lock)
        self._require_published(context.publishing, completions, [*earlier, *completions])
        now = datetime.now(timezone.utc)
        completed = self.run.complete(plan, planned.tables, [*earlier, *completions], now)
        for table, reason in completed.manifest.fallbacks.items():
            _LOG.warning("table %s uses the slower reference path: %s", table, reason)
        self.metrics.send(run_metrics(completed.manifest.counts, time.monotonic() - started))
        return completed

    def _task_context(self, plan: Plan, planned: PlannedReplay) -> BroadcastContext:
        return BroadcastContext(
            run_tag=plan.run_tag,
            plan=self.run.plan_digest(),
            day=plan.day,
            settings=self.settings.for_tasks(),
            schemas=planned.schemas,
            requested=None if plan.all_tables else frozenset(plan.tables),
            from_quarantine=bool(self.request.from_quarantine),
            publishing=self._publish_config(planned),
            edge_types=planned.edge_types,
            time_column=self.settings.warehouse.time_column,
        )

    def _publish_config(self, planned: PlannedReplay) -> PublishConfig | None:
        """Publish the rows with a time in the window: the same rows that the load inserts."""
        targets = planned.streams.targets
        if not targets:
            return None
        window = self.request.window
        window_filter = WindowFilter(
            self.settings.warehouse.time_column, str(window.wall_start), str(window.wall_end)
        )
        return PublishConfig(targets, window_filter, allow_damaged=self.request.allow_damaged)

    def _run_on_spark(
        self, context: BroadcastContext, partitions: list[InputPartition], lock: HeldLease
    ) -> list[Completion]:
        # Imported here: a load alone needs no Spark.
        from spade_spark.spark import driver  # noqa: PLC0415 - see above

        with self.reporter.transforming(partitions) as show_progress:
            return driver.transform(
                context,
                partitions,
                self.settings.spark,
                check_lock=lock.check,
                show_progress=show_progress,
            )

    def _require_published(
        self,
        publishing: PublishConfig | None,
        completions: Sequence[Completion],
        all_completions: Sequence[Completion],
    ) -> None:
        """Leave the run incomplete, so that it can be resumed, if rows were not published."""
        if publishing is None:
            return
        withheld = [
            completion for completion in completions if publishing.exceeds_corrupt_limit(completion)
        ]
        if withheld:
            raise InputError(
                withheld_message(withheld, all_completions, publishing.tables, self.request)
            )

    def _load(
        self, completed: CompletedRun, tables: Sequence[Table], lock: HeldLease
    ) -> ReplayReport:
        """Replace the window of each table, unless too many input objects are corrupt."""
        request, settings = self.request, self.settings.warehouse
        report = ReplayReport(
            request.run_tag, self.run.url, str(request.window), completed.manifest
        )
        problem = corrupt_input_problem(completed, request)
        if problem or self.warehouse is None:
            return replace(report, problems=(problem,) if problem else ())
        names = {table.name for table in tables}
        # A quarantine may have no rows for some tables; they stay unchanged.
        files = [
            table_files
            for table_files in completed.files
            if table_files.table in names and (table_files.rows or not request.from_quarantine)
        ]
        guards = LoadGuards(
            min_rows_ratio=settings.min_rows_ratio,
            allow_empty=request.allow_empty,
            max_truncated=request.max_truncated,
            force=request.force,
            allow_already_empty=request.all_tables,
        )
        lock.verify()
        with self.reporter.loading([table_files.table for table_files in files]) as progress:
            loads = load_tables(
                self.warehouse,
                files,
                request.window,
                settings,
                run_tag=request.run_tag,
                add_to=request.from_quarantine,
                guards=guards,
                verify_lock=lock.verify,
                poolsize=request.poolsize,
                progress=progress,
            )
        record = LoadRecord.of(loads, request.window, self.warehouse.connection_info.address)
        if record.loaded or record.not_loaded:
            self.run.write_load(record)
        self.metrics.send(load_metrics(loads))
        maintenance = maintain(
            self.warehouse,
            schemas_from_settings(settings),
            loads,
            run_analyze=settings.analyze,
            poolsize=request.poolsize,
        )
        return replace(report, loads=loads, maintenance=maintenance)

    def _existing_run(self) -> CompletedRun:
        """The completed run that ``--skip-transform`` loads.

        Raises:
            InputError: The run is not complete.
            UsageError: It has no TSV files, or the requested window is not inside its window.
        """
        completed = self.run.completed_run()
        if completed is None and self.request.by_prefix:
            completed = self._import_legacy()
        if completed is None:
            raise InputError(
                f"{self.run.url} has no manifest: the run does not exist or is not complete. To "
                "resume it, omit --skip-transform; to load the files of an earlier tool, add "
                "--by-prefix"
            )
        if not completed.manifest.has_tsv:
            raise UsageError(
                f"run tag {self.request.run_tag} has only Parquet files, and the load needs TSV: "
                "replay the window with --format tsv,parquet, or publish the run to a lake with "
                f"spade-spark export publish {self.request.run_tag} --to URL"
            )
        available, requested = Window.parse(*completed.manifest.window), self.request.window
        if requested.first < available.first or available.last < requested.last:
            raise UsageError(
                f"run tag {self.request.run_tag} has the window {available}: choose START and END "
                "inside it"
            )
        return completed

    def _import_legacy(self) -> CompletedRun:
        """Import the files of an earlier tool with the current schemas (``--by-prefix``)."""
        schemas = fetch.fetch(self.settings.blueprint.schemas, self.settings.s3)
        tables = select_tables(self.request, read_tables(schemas, is_transformer))
        self.reporter.log(f"counting the rows in {self.run.url}")
        manifest = import_legacy_run(
            self.run, tables, self.request.window, datetime.now(timezone.utc)
        )
        self.run.write_schemas(schemas)
        return self.run.write_manifest(manifest)

    def _confirm_load(self, completed: CompletedRun, tables: Sequence[Table]) -> None:
        """Like :meth:`_confirm_plan`, for the files of a completed run."""
        assert self.warehouse is not None  # Request.check refuses to skip both steps
        result = preflight.require_preflight(
            self.warehouse,
            tables,
            self.request.window,
            self.settings.warehouse,
            output=self.run.store.url,
        )
        new_rows = {table.table: table.rows for table in completed.manifest.tables}
        for warning in result.warnings:
            self.reporter.log(warning)
        for status in result.tables:
            self.reporter.log(
                f"{status.table}: {status.rows:,} rows in the window now, "
                f"{new_rows[status.table]:,} rows in the run"
            )
        self._confirm(sum(status.rows for status in result.tables))
