"""Publish a run to a data lake: replace its window there with the Parquet files of the run.

::

    manifest ─► confirm ─► per table: rewrite days, check guards, commit snapshot ─► DDL ─► report

If one table fails, the others are still published.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.errors import InputError, SettingsError, SpadeError, UsageError
from spade_spark.formatting import pluralize
from spade_spark.lake.ddl import Catalog, Dialect
from spade_spark.lake.publish import ExportGuards, PublishResult, TablePublisher
from spade_spark.lake.rewrite import PartitionRewriter
from spade_spark.lake.snapshot import PublishedRun
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.export import ExportReport
from spade_spark.runs.export_results import ExportOutcome, TableNotPublished, TablePublished
from spade_spark.runs.manifest import Manifest, ManifestTable
from spade_spark.runs.paths import QUARANTINE
from spade_spark.runs.run_store import CompletedRun, RunStore
from spade_spark.settings import Settings
from spade_spark.storage.base import Store, open_store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.window import Window
from spade_spark.writers.arrow_types import TIME, arrow_schema
from spade_spark.writers.partition_paths import NO_DAY


@dataclass(frozen=True)
class ExportRequest:
    """What to publish, and how.

    Attributes:
        run_tag: The run.
        to: The lake: ``s3://bucket/prefix/``, or a directory.
        tables: The tables; empty for all tables of the run.
        dialect: The SQL dialect of the DDL.
        schema: The database or external schema in the DDL; empty for the default of the session.
        guards: The guards.
        allow_damaged: Maximum number of corrupt input objects.
    """

    run_tag: str
    to: str
    tables: tuple[str, ...]
    dialect: Dialect
    schema: str
    guards: ExportGuards
    allow_damaged: int = 0


def publish(request: ExportRequest, settings: Settings, reporter: ConsoleReporter) -> ExportReport:
    """Publish the run that ``request`` describes.

    Returns:
        The report; ``report.complete`` is false if a table was not published.

    Raises:
        SpadeError: No table was published.
    """
    if request.run_tag.endswith(QUARANTINE):
        raise UsageError(
            f"run tag {request.run_tag} has only the quarantined rows of run tag "
            f"{request.run_tag.removesuffix(QUARANTINE)}, but `export publish` replaces the whole "
            "window: replay the window and publish the new run"
        )
    run = RunStore(open_store(settings.require("output.base"), settings.s3), request.run_tag)
    completed = _completed_run(run)
    manifest = completed.manifest
    _refuse_corrupt_input(request, manifest)
    _refuse_other_time_column(manifest, settings.warehouse.time_column)
    tables = _select_tables(request, manifest)
    window = Window.parse(*manifest.window)
    lake = open_store(request.to, settings.s3)
    rows = sum(table.rows for table in tables)
    reporter.confirm(
        f"Replace {window} of {pluralize(len(tables), 'table')} in {lake.url} with {rows:,} rows?"
    )
    schemas = read_tables(run.read_schemas(), is_transformer).tables
    exporter = _TableExporter(request, settings, run.store, lake, completed.checksum, window)
    return ExportReport(
        run_tag=request.run_tag,
        lake=lake.url,
        window=str(window),
        tables=tuple(exporter.publish(table, schemas[table.table]) for table in tables),
    )


def _completed_run(run: RunStore) -> CompletedRun:
    """Return the completed run.

    Raises:
        InputError: The run does not exist or is not complete.
    """
    completed, tag = run.completed_run(), run.paths.run_tag
    if completed:
        return completed
    if run.plan() is None:
        raise InputError(
            f"run tag {tag} does not exist in {run.store.url}: `spade-spark runs` lists the run "
            "tags"
        )
    raise InputError(
        f"run tag {tag} is not complete, as {run.url} has no manifest: `spade-spark runs {tag}` "
        "shows how to resume it"
    )


def _refuse_corrupt_input(request: ExportRequest, manifest: Manifest) -> None:
    """Raise :class:`InputError` if too many input objects of the run are corrupt."""
    corrupt = len(manifest.damaged)
    if corrupt > request.allow_damaged:
        command = shlex.join(
            [
                *("spade-spark", "export", "publish", request.run_tag, *request.tables),
                *("--to", request.to, "--allow-damaged", str(corrupt)),
            ]
        )
        raise InputError(
            f"run tag {request.run_tag} read {pluralize(corrupt, 'corrupt object')}, so nothing "
            "was published: repair the objects and replay with a new run tag, or publish the rows "
            f"that were read with {command}"
        )


def _refuse_other_time_column(manifest: Manifest, time_column: str) -> None:
    """Raise :class:`SettingsError` if the run was partitioned by another time column."""
    if manifest.time_column not in {"", time_column}:
        raise SettingsError(
            f"warehouse.time_column is {time_column}, but run tag {manifest.run_tag} is "
            f"partitioned by {manifest.time_column}: give --conf FILE with the settings of that run"
        )


def _select_tables(request: ExportRequest, manifest: Manifest) -> list[ManifestTable]:
    """Return the requested tables.

    Raises:
        UsageError: The run has no Parquet files or lacks a requested table.
    """
    if not manifest.has_parquet:
        raise UsageError(
            f"run tag {request.run_tag} has only TSV files, and a lake needs Parquet: replay the "
            "window with --format parquet or tsv,parquet"
        )
    tables = {table.table: table for table in manifest.tables}
    missing = sorted(set(request.tables) - tables.keys())
    if missing:
        raise UsageError(f"run tag {request.run_tag} has no table {', '.join(missing)}")
    return [tables[name] for name in sorted(set(request.tables) or tables)]


@dataclass(frozen=True)
class _TableExporter:
    """Publishes single tables of a run."""

    request: ExportRequest
    settings: Settings
    run: Store
    lake: Store
    checksum: str
    window: Window

    def publish(self, files: ManifestTable, table: Table) -> ExportOutcome:
        """Replace the window of one table; return its error, if any, as the outcome."""
        try:
            with tempfile.TemporaryDirectory(prefix="spade-") as scratch:
                return self._publish(files, table, Path(scratch))
        except SpadeError as error:
            return TableNotPublished(files.table, str(error))

    def _publish(self, files: ManifestTable, table: Table, scratch: Path) -> TablePublished:
        schema = arrow_schema(table)
        time_column = self.settings.warehouse.time_column
        number = schema.get_field_index(time_column)
        if number < 0 or schema.field(number).type != TIME:
            raise InputError(
                f"table {table.name} has no time column {time_column}, so its window cannot be "
                f"replaced; the run's rows are in {self.run.url}{self.request.run_tag}/"
            )
        publisher = TablePublisher(
            self.run,
            files,
            PublishedRun.of(self.request.run_tag, self.checksum, self.window),
            PartitionRewriter(
                self.lake, schema, time_column, scratch, self.settings.output.row_group_bytes
            ),
            self.request.guards,
        )
        return self._outcome(files, publisher.publish())

    def _outcome(self, files: ManifestTable, result: PublishResult) -> TablePublished:
        undated = sum(file.rows for file in files.parquet if file.day == NO_DAY)
        catalog = Catalog(self.request.dialect, self.lake.url, self.request.schema)
        already_published = sum(file.rows for file in files.parquet if file.day in result.done_days)
        published = sum(day.published for day in result.days.values())
        return TablePublished(
            table=files.table,
            serial=result.after.serial if result.after else 0,
            days=tuple(result.days),
            replaced=sum(day.replaced for day in result.days.values()),
            published=published,
            carried=sum(day.carried for day in result.days.values()),
            outside=files.rows - undated - already_published - published,
            undated=undated,
            files=sum(len(day.after.files) for day in result.days.values() if day.after),
            ddl=catalog.statements(result.before, result.after, result.target_days)
            if result.after
            else (),
            if_lacking=catalog.late_columns(result.after)
            if result.repeated and result.after
            else (),
            before=result.repeated,
        )
