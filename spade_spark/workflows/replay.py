"""The story of a replay, top to bottom.

::

    plan ─► list ─► read ─► decode ─► transform ─► write ─► seal ─► load ─► report

:func:`replay` refuses what cannot work before anything is begun, makes the rows (or takes those of
an earlier run tag), and replaces the window in the warehouse, table by table. What is counted on
the way must balance, or nothing is loaded.
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
from spade_spark.locking.heartbeat import HeldLease, acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.plan import Plan
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.corrupt_input import damage_problem, withheld_message
from spade_spark.reporting.preview import REPEATS
from spade_spark.reporting.render import pluralize
from spade_spark.reporting.replay import Report
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
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.window import Window
from spade_spark.workflows.planning import (
    PlannedReplay,
    plan_replay,
    select_run_tables,
    select_tables,
)
from spade_spark.workflows.preview import build_preview

_LOG = logging.getLogger(__name__)


def replay(request: Request, settings: Settings, screen: ConsoleReporter) -> Report:
    """Carries out ``request``.

    Returns:
        What it came to; ``report.complete`` says whether all that was asked for is done.

    Raises:
        SpadeError: What ended the replay before any table was touched.
    """
    began = time.monotonic()
    run = RunStore(open_store(settings.output.base, settings.s3), request.run_tag)
    warehouse = None if request.skip_load else open_warehouse(settings.warehouse, settings.s3)
    metrics = Metrics(settings.metrics, screen.log)
    story = _ReplayRunner(request, settings, run, warehouse, screen, metrics)
    report = story.load_existing() if request.skip_transform else story.run_full()
    report = replace(report, seconds=time.monotonic() - began)
    run.write_report(report.to_json())
    return report


@dataclass(frozen=True)
class _ReplayRunner:
    """What every step of one replay needs to know."""

    request: Request
    settings: Settings
    run: RunStore
    warehouse: Warehouse | None
    screen: ConsoleReporter
    metrics: Metrics

    def run_full(self) -> Report:
        """Plans, looks at the warehouse, transforms, seals, loads."""
        require_java()
        prepared = plan_replay(self.request, self.settings)
        self._confirm_plan(prepared)
        with self._lock() as lock:
            plan = self.run.begin(prepared.plan, prepared.schemas)
            sealed = self.run.completed_run() or self._transform(plan, prepared, lock)
            loaded = self._load(sealed, prepared.tables, lock)
        return replace(
            loaded,
            left_out=prepared.skipped_tables,
            unnamed=prepared.listing.unnamed,
        )

    def load_existing(self) -> Report:
        """Takes what an earlier run made, looks at the warehouse, loads."""
        with self._lock() as lock:
            return self._take(lock)

    def _take(self, lock: HeldLease) -> Report:
        sealed = self.run.completed_run()
        if sealed is None and self.request.by_prefix:
            sealed = self._import_legacy()
        if sealed is None:
            raise InputError(
                f"{self.run.url} has no manifest: the run did not complete. Give the same command "
                "without --skip-transform to go on with it (or, if an earlier tool made it, with "
                "--by-prefix to load whatever lies there)"
            )
        if not sealed.manifest.has_tsv:
            raise UsageError(
                f"run tag {self.request.run_tag} has no TSV files for a warehouse to load, but "
                "Parquet alone: make the rows again with --format tsv,parquet, or put them into a "
                f"lake by spade-spark export publish {self.request.run_tag} --to URL"
            )
        made = Window.parse(*sealed.manifest.window)
        window = self.request.window
        if window.first < made.first or made.last < window.last:
            raise UsageError(
                f"run tag {self.request.run_tag} was made for {made}: the window to load must lie "
                "inside that"
            )
        tables = select_run_tables(self.request, sealed, self.run.read_schemas())
        self._confirm_load(sealed, tables)
        return self._load(sealed, tables, lock)

    @contextmanager
    def _lock(self) -> Iterator[HeldLease]:
        """Keeps other replays of the same run tag or the same rows away until the end."""
        claim = LeaseRequest.new(self.request.run_tag, self.request.window, self.request.replaces)
        with acquire_lease(LeaseStore(self.run.store), claim, self.request.take_over) as lock:
            for lease in lock.displaced:
                self.screen.log(f"took over the lock of {lease.request}")
            yield lock

    def _import_legacy(self) -> CompletedRun:
        """Takes over an earlier tool's run tag, by the schemas as they are now."""
        schemas = fetch.fetch(self.settings.blueprint.schemas, self.settings.s3)
        tables = select_tables(self.request, read_tables(schemas, is_transformer))
        self.screen.log(f"reading {self.run.url} to count its rows")
        manifest = import_legacy_run(
            self.run, tables, self.request.window, datetime.now(timezone.utc)
        )
        self.run.write_schemas(schemas)
        return self.run.write_manifest(manifest)

    def _confirm_plan(self, prepared: PlannedReplay) -> None:
        """Shows what is going to happen; nothing is begun for a load that cannot work."""
        problem = self.run.plan_problem(prepared.plan)
        if problem:
            raise UsageError(problem)
        outlook = build_preview(prepared, self.request, self.settings, self.warehouse)
        self.screen.show_preview(outlook)
        if outlook.problems:
            raise WarehouseError(
                "the replay could not work, so nothing was begun:\n  "
                + "\n  ".join(outlook.problems)
            )
        self._confirm(sum(table.rows for table in outlook.tables))
        if outlook.streams:
            streams = pluralize(len(outlook.streams), "stream")
            self.screen.confirm(f"Publish to {streams}? {REPEATS}")

    def _confirm_load(self, sealed: CompletedRun, tables: Sequence[Table]) -> None:
        """As :meth:`_agree`, for rows that were made before."""
        assert self.warehouse is not None  # a request without transform and load is refused
        states = preflight.require_preflight(
            self.warehouse,
            tables,
            self.request.window,
            self.settings.warehouse,
            output=self.run.store.url,
        )
        made = {table.table: table.rows for table in sealed.manifest.tables}
        for state in states:
            self.screen.log(
                f"{state.table}: {state.rows:,} rows in the window now, {made[state.table]:,} made"
            )
        self._confirm(sum(state.rows for state in states))

    def _confirm(self, rows: int) -> None:
        verb = "Add to" if self.request.from_quarantine else "Replace"
        if self.warehouse:
            where = f"{self.warehouse.name} {self.warehouse.connection_info}"
            self.screen.confirm(f"{verb} {rows:,} rows in {where}?")

    def _transform(self, plan: Plan, prepared: PlannedReplay, lock: HeldLease) -> CompletedRun:
        """Does the partitions that are not done yet, on Spark, and seals the run."""
        # Imported where it is needed: a load alone starts no Spark.
        from spade_spark.spark import driver  # noqa: PLC0415 - see above

        done = self.run.completions(plan)
        numbers = {completion.partition for completion in done}
        left = [each for each in plan.partitions if each.number not in numbers]
        if done:
            self.screen.log(f"going on: {len(done):,} of {len(plan.partitions):,} partitions done")
        job = BroadcastContext(
            run_tag=plan.run_tag,
            plan=self.run.plan_digest(),
            day=plan.day,
            settings=self.settings.for_tasks(),
            schemas=prepared.schemas,
            requested=None if plan.all_tables else frozenset(plan.tables),
            from_quarantine=bool(self.request.from_quarantine),
            publishing=self._publishing(prepared),
            edge_types=prepared.edge_types,
            time_column=self.settings.warehouse.time_column,
        )
        began = time.monotonic()
        with self.screen.transforming(left) as watch:
            returned = driver.transform(
                job, left, self.settings.spark, check_lock=lock.check, watch=watch
            )
        self._require_published(job.publishing, returned, [*done, *returned])
        now = datetime.now(timezone.utc)
        sealed = self.run.complete(plan, prepared.tables, [*done, *returned], now)
        for table, reason in sealed.manifest.fallbacks.items():
            _LOG.warning("table %s uses the slower reference path: %s", table, reason)
        self.metrics.send(run_metrics(sealed.manifest.counts, time.monotonic() - began))
        return sealed

    def _publishing(self, prepared: PlannedReplay) -> PublishConfig | None:
        """What is published, of rows whose time the load would take for the window's."""
        targets = prepared.streams.targets
        window = self.request.window
        span = WindowFilter(
            self.settings.warehouse.time_column, str(window.wall_start), str(window.wall_end)
        )
        allowed = self.request.allow_damaged
        return PublishConfig(targets, span, allow_damaged=allowed) if targets else None

    def _require_published(
        self,
        publishing: PublishConfig | None,
        returned: Sequence[Completion],
        completions: Sequence[Completion],
    ) -> None:
        """Leaves a run open of which rows are not published, so that it can be gone on with."""
        held = [each for each in returned if publishing and publishing.exceeds_damage_limit(each)]
        if publishing and held:
            raise InputError(withheld_message(held, completions, publishing.tables, self.request))

    def _load(self, sealed: CompletedRun, tables: Sequence[Table], lock: HeldLease) -> Report:
        """Replaces each table's window, unless the input is too damaged for that."""
        request, settings = self.request, self.settings.warehouse
        report = Report(request.run_tag, self.run.url, str(request.window), sealed.manifest)
        problem = damage_problem(sealed, request)
        if problem or self.warehouse is None:
            return replace(report, problems=(problem,) if problem else ())
        names = {table.name for table in tables}
        # A quarantine need not have rows of every table; nothing is added to the others.
        files = [
            each
            for each in sealed.files
            if each.table in names and (each.rows or not request.from_quarantine)
        ]
        rules = LoadGuards(
            min_rows_ratio=settings.min_rows_ratio,
            allow_empty=request.allow_empty,
            max_truncated=request.max_truncated,
            force=request.force,
            skip_quiet=request.all_tables,
        )
        lock.verify()
        with self.screen.loading([each.table for each in files]) as show:
            loads = load_tables(
                self.warehouse,
                files,
                request.window,
                settings,
                run_tag=request.run_tag,
                add_to=request.from_quarantine,
                rules=rules,
                verify_lock=lock.verify,
                poolsize=request.poolsize,
                progress=show,
            )
        record = LoadRecord.of(loads, request.window, self.warehouse.connection_info.address)
        if record.loaded or record.not_loaded:
            self.run.write_load(record)
        self.metrics.send(load_metrics(loads))
        return replace(report, loads=loads)
