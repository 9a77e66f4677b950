"""The story of a publication into a lake: a run's Parquet files become the window's rows there.

::

    manifest ─► ask ─► table by table: days, guard, swap of the pointer ─► DDL ─► report

What one table's failure leaves undone does not touch the others.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.errors import InputError, SettingsError, SpadeError, UsageError
from spade_spark.lake.ddl import Catalog, Dialect
from spade_spark.lake.publish import ExportGuards, PublishResult, TablePublisher
from spade_spark.lake.rewrite import PartitionRewriter
from spade_spark.lake.snapshot import PublishedRun
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.export import ExportReport
from spade_spark.reporting.render import pluralize
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
    """What is asked for.

    Attributes:
        run_tag: The run.
        to: The lake: ``s3://bucket/prefix/``, or a directory.
        tables: The tables; none for all that the run made.
        dialect: Whose statements for the catalog are wanted.
        schema: The database, or external schema, in them; empty for the session's.
        rules: What is allowed.
        allow_damaged: So many of the objects that the run read need not have been whole.
    """

    run_tag: str
    to: str
    tables: tuple[str, ...]
    dialect: Dialect
    schema: str
    rules: ExportGuards
    allow_damaged: int = 0


def publish(request: ExportRequest, settings: Settings, screen: ConsoleReporter) -> ExportReport:
    """Carries out ``request``.

    Returns:
        What it came to; ``report.complete`` says whether all that was asked for is done.

    Raises:
        SpadeError: What ended it before anything was published.
    """
    if request.run_tag.endswith(QUARANTINE):
        raise UsageError(
            f"{request.run_tag} has what was left out of run tag "
            f"{request.run_tag.removesuffix(QUARANTINE)}: its rows are to be added to that window, "
            "and a publication replaces it; replay the window again and publish that run"
        )
    if not settings.output.base:
        raise SettingsError("output.base is not set, where runs lie: give --conf FILE with it")
    run = RunStore(open_store(settings.output.base, settings.s3), request.run_tag)
    sealed = _sealed(run)
    manifest = sealed.manifest
    _refuse_damaged(request, manifest)
    _refuse_other_column(manifest, settings.warehouse.time_column)
    tables = _chosen(request, manifest)
    window = Window.parse(*manifest.window)
    lake = open_store(request.to, settings.s3)
    rows = sum(table.rows for table in tables)
    screen.confirm(
        f"Replace {window} of {pluralize(len(tables), 'table')} in {lake.url} by {rows:,} rows?"
    )
    schemas = read_tables(run.read_schemas(), is_transformer).tables
    story = _TableExporter(request, settings, run.store, lake, sealed.checksum, window)
    return ExportReport(
        run_tag=request.run_tag,
        lake=lake.url,
        window=str(window),
        tables=tuple(story.publish(each, schemas[each.table]) for each in tables),
    )


def _sealed(run: RunStore) -> CompletedRun:
    """A run that is complete.

    Raises:
        InputError: It is not, or there is no such run.
    """
    sealed, tag = run.completed_run(), run.paths.run_tag
    if sealed:
        return sealed
    if run.plan() is None:
        raise InputError(f"there is no run in {run.url}: spade-spark runs lists those that are")
    raise InputError(
        f"{run.url} has no manifest: the run did not complete; go on with it first, as "
        f"spade-spark runs {tag} says"
    )


def _refuse_damaged(request: ExportRequest, manifest: Manifest) -> None:
    """Raises :class:`InputError` where too much of what the run read was not whole, as a load."""
    damaged = len(manifest.damaged)
    if damaged > request.allow_damaged:
        again = shlex.join(
            [
                *("spade-spark", "export", "publish", request.run_tag, *request.tables),
                *("--to", request.to, "--allow-damaged", str(damaged)),
            ]
        )
        raise InputError(
            f"run tag {request.run_tag} read {pluralize(damaged, 'damaged object')}, and so "
            f"nothing was published: mend what is damaged and begin a new run, or publish what "
            f"was made "
            f"with {again}"
        )


def _refuse_other_column(manifest: Manifest, time_column: str) -> None:
    """Raises :class:`SettingsError` where the run's days are of another column."""
    if manifest.time_column not in {"", time_column}:
        raise SettingsError(
            f"warehouse.time_column is {time_column}, and run tag {manifest.run_tag} was made by "
            f"{manifest.time_column}: give --conf FILE with the settings that it was made by"
        )


def _chosen(request: ExportRequest, manifest: Manifest) -> list[ManifestTable]:
    """The tables asked for.

    Raises:
        UsageError: The run did not make one of them, or made no Parquet files.
    """
    if not manifest.has_parquet:
        raise UsageError(
            f"run tag {request.run_tag} has no Parquet files, but TSV alone: make the rows again "
            "with --format parquet, or tsv,parquet"
        )
    made = {each.table: each for each in manifest.tables}
    missing = sorted(set(request.tables) - made.keys())
    if missing:
        raise UsageError(f"run tag {request.run_tag} did not make: {', '.join(missing)}")
    return [made[name] for name in sorted(set(request.tables) or made)]


@dataclass(frozen=True)
class _TableExporter:
    """What every table's publication needs to know."""

    request: ExportRequest
    settings: Settings
    run: Store
    lake: Store
    checksum: str
    window: Window

    def publish(self, made: ManifestTable, table: Table) -> ExportOutcome:
        """One table's window; an error is its outcome."""
        try:
            with tempfile.TemporaryDirectory(prefix="spade-") as scratch:
                return self._publish(made, table, Path(scratch))
        except SpadeError as error:
            return TableNotPublished(made.table, str(error))

    def _publish(self, made: ManifestTable, table: Table, scratch: Path) -> TablePublished:
        schema = arrow_schema(table)
        time_column = self.settings.warehouse.time_column
        number = schema.get_field_index(time_column)
        if number < 0 or schema.field(number).type != TIME:
            raise InputError(
                f"{table.name} has no time in a column {time_column}, so that no window of it can "
                f"be replaced; its rows lie under {self.run.url}{self.request.run_tag}/"
            )
        publisher = TablePublisher(
            self.run,
            made,
            PublishedRun.of(self.request.run_tag, self.checksum, self.window),
            PartitionRewriter(
                self.lake, schema, time_column, scratch, self.settings.output.row_group_bytes
            ),
            self.request.rules,
        )
        return self._outcome(made, publisher.publish())

    def _outcome(self, made: ManifestTable, done: PublishResult) -> TablePublished:
        undated = sum(file.rows for file in made.parquet if file.day == NO_DAY)
        catalog = Catalog(self.request.dialect, self.lake.url, self.request.schema)
        settled = sum(file.rows for file in made.parquet if file.day in done.settled)
        published = sum(day.published for day in done.days.values())
        return TablePublished(
            table=made.table,
            serial=done.after.serial if done.after else 0,
            days=tuple(done.days),
            replaced=sum(day.replaced for day in done.days.values()),
            published=published,
            carried=sum(day.carried for day in done.days.values()),
            outside=made.rows - undated - settled - published,
            undated=undated,
            files=sum(len(day.after.files) for day in done.days.values() if day.after),
            ddl=catalog.statements(done.before, done.after, done.asked) if done.after else (),
            if_lacking=catalog.late_columns(done.after) if done.repeated and done.after else (),
            before=done.repeated,
        )
