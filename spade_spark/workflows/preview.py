"""The dry run of a replay: no Spark, nothing written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from spade_spark.blueprint.schema import Column, Table
from spade_spark.formatting import pluralize
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.reporting.preview import ReplayPreview, StreamPreview, TablePreview, format_hours
from spade_spark.request import Request
from spade_spark.runs.load_results import TableFiles
from spade_spark.runs.paths import RunPaths, copy_manifest_of_load
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import Settings
from spade_spark.sources.listing import Listing
from spade_spark.storage.base import open_store
from spade_spark.streams.validation import region_of
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.warehouse import preflight
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.maintenance import analyze
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.warehouse.window_swap import WindowSwap
from spade_spark.window import PACIFIC, Window
from spade_spark.workflows.planning import PlannedReplay, plan_replay

BYTES_PER_CORE_SECOND = 12_000_000
"""Conservative estimate of the compressed input that a core transforms per second."""

_LOCAL = re.compile(r"local\[(\d+|\*)(?:,\d+)?\]")

_SIZE = re.compile(r"\s*\((\d+)\)")


def preview_replay(request: Request, settings: Settings) -> ReplayPreview:
    """Preview the replay that ``request`` describes.

    Raises:
        SpadeError: The schemas, the edge store or the warehouse cannot be read, or Blueprint
            does not have a requested table.
    """
    warehouse = None if request.skip_load else open_warehouse(settings.warehouse, settings.s3)
    planned = plan_replay(request, settings)
    preview = build_preview(planned, request, settings, warehouse)
    # A replay detects these problems when it begins the run and acquires the lock.
    store = open_store(settings.output.base, settings.s3)
    lease_request = LeaseRequest.new(request.run_tag, request.window, request.replaces)
    run_problems = (
        RunStore(store, request.run_tag).plan_problem(planned.plan),
        LeaseStore(store).table().refusal(lease_request, request.take_over),
    )
    return replace(preview, problems=(*preview.problems, *filter(None, run_problems)))


def build_preview(
    planned: PlannedReplay, request: Request, settings: Settings, warehouse: Warehouse | None
) -> ReplayPreview:
    """Preview a planned replay, with a preflight check unless ``warehouse`` is None.

    Raises:
        ConnectionLostError: The warehouse does not answer.
    """
    store = open_store(settings.output.base, settings.s3)
    result = preflight.PreflightResult((), ())
    if warehouse:
        result = preflight.run_preflight(
            warehouse, planned.tables, request.window, settings.warehouse, output=store.url
        )
    return ReplayPreview(
        run_tag=request.run_tag,
        url=f"{store.url}{request.run_tag}/",
        window=str(request.window),
        edge=settings.input.edge,
        objects=len(planned.plan.sources),
        size=planned.plan.size,
        partitions=len(planned.plan.partitions),
        empty_hours=empty_hours(request.window, planned.listing),
        core_seconds=planned.plan.size / BYTES_PER_CORE_SECOND,
        cores=_cores(settings),
        warehouse=f"{warehouse.name} {warehouse.connection_info}" if warehouse else "",
        tls=warehouse.connection_info.tls if warehouse else "",
        tables=tuple(_tables(request, settings, warehouse, planned, result)) if warehouse else (),
        streams=tuple(_streams(settings, planned)),
        remarks=(*_remarks(request, planned), *result.warnings),
        problems=result.problems,
    )


def empty_hours(window: Window, listing: Listing) -> tuple[str, ...]:
    """The hours of the window, as Pacific time text, in which no log file was closed."""
    hour = window.first.replace(minute=0, second=0, microsecond=0)
    empty = []
    while hour <= window.last:
        if not listing.closed_in(hour):
            empty.append(hour.astimezone(PACIFIC).strftime("%Y-%m-%d %H:00%z"))
        hour += timedelta(hours=1)
    return tuple(empty)


def column_differences(
    table: Table, status: preflight.TableStatus, registry: Registry = TRANSFORMERS
) -> Iterator[str]:
    """Describe each difference between the columns in the warehouse and in Blueprint.

    Raises:
        InputError: A column has an unknown transformer.
    """
    for column, existing in zip(table.columns, status.columns, strict=True):
        if not re.fullmatch(registry.spec(column.transformer).accepted_sql_types, existing.type):
            yield f"{existing.name} is {existing.type}, Blueprint has {column.transformer}"
        elif _size(column) and existing.limit and _size(column) != existing.limit:
            yield f"{existing.name} is {existing.type}, Blueprint has {column.options.strip()}"
    for name in status.unfilled_columns:
        yield f"{name} is not in Blueprint: new rows get its default value"
    for left_out in status.unhashed_columns:
        yield (
            f"{left_out.name} is {left_out.type}: the fingerprint leaves it out, so an undo does "
            "not notice changes of its values"
        )


def _size(column: Column) -> int:
    match = _SIZE.match(column.options)
    return int(match[1]) if match else 0


def _tables(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    planned: PlannedReplay,
    result: preflight.PreflightResult,
) -> Iterator[TablePreview]:
    by_name = {table.name: table for table in planned.tables}
    for status in result.tables:
        table = by_name[status.table]
        yield TablePreview(
            table=table.name,
            version=table.version,
            rows=status.rows,
            hours=status.hours,
            differences=tuple(column_differences(table, status)),
            statements=tuple(_statements(request, settings, warehouse, table, status)),
        )


def _statements(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    table: Table,
    status: preflight.TableStatus,
) -> list[str]:
    """The SQL that a load would run. Its files do not exist yet."""
    base = open_store(settings.output.base, settings.s3).url
    files = TableFiles(
        table=table.name,
        version=table.version,
        columns=tuple(column.outbound for column in table.columns),
        files=(),
        copy_manifest=copy_manifest_of_load(
            base + RunPaths(request.run_tag).copy_manifest(table.name), ":random"
        ),
        checksum="(not known yet)",
    )
    swap = WindowSwap(
        warehouse,
        schemas_from_settings(settings.warehouse),
        files,
        request.window,
        request.run_tag,
        request.from_quarantine,
    )
    script = swap.script(
        status.columns,
        status.all_columns,
        status.distribution,
        changes_rows=status.changes_rows,
    )
    if settings.warehouse.analyze:
        script = (*script, analyze(swap.rows.target))
    return [str(statement) for statement in script]


def _streams(settings: Settings, planned: PlannedReplay) -> Iterator[StreamPreview]:
    names = {table.name for table in planned.tables}
    for target in planned.streams.targets:
        stream = target.stream
        yield StreamPreview(
            stream=target.id,
            region=region_of(stream, settings),
            role=bool(stream.stream_role),
            compressed=stream.compress,
            events=tuple(sorted(stream.events.keys() & names)),
            others=tuple(sorted(stream.events.keys() - names)),
        )


def _remarks(request: Request, planned: PlannedReplay) -> Iterator[str]:
    hours = empty_hours(request.window, planned.listing)
    if hours:
        yield f"Hours without log files: {format_hours(hours)}"
    if request.window.last > datetime.now(timezone.utc):
        yield "END is in the future: later log files are not in the plan"
    formats = planned.plan.settings["output.format"]
    if "parquet" in formats:
        yield f"The run writes Parquet files for a lake (output.format is {formats})"
    if planned.streams.idle:
        yield f"Streams that receive none of the tables: {', '.join(planned.streams.idle)}"
    yield from planned.streams.remarks
    for skipped in planned.skipped_tables:
        yield f"Table {skipped.name} would be skipped: {skipped.reason}"
    if planned.listing.unnamed:
        names = planned.listing.unnamed
        objects = pluralize(len(names), "object")
        yield f"{objects} without a time in the name would not be read: {names[0]} …"


def _cores(settings: Settings) -> int:
    match = _LOCAL.fullmatch(settings.spark.get("spark.master", "local[*]"))
    if not match:
        return 0
    return (os.cpu_count() or 1) if match[1] == "*" else int(match[1])
