"""Looks at a replay without beginning it: no Spark, nothing written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from spade_spark.blueprint.schema import Column, Table
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.reporting.preview import ReplayPreview, StreamPreview, TablePreview, format_hours
from spade_spark.request import Request
from spade_spark.runs.load_results import TableFiles
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import Settings
from spade_spark.sources.listing import Listing
from spade_spark.storage.base import open_store
from spade_spark.streams.validation import region_of
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.warehouse import preflight
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.warehouse.window_swap import WindowSwap
from spade_spark.window import PACIFIC, Window
from spade_spark.workflows.planning import PlannedReplay, plan_replay

BYTES_PER_CORE_SECOND = 12_000_000
"""Compressed input that a core turns into rows in a second (bench/README.md), with a margin."""

_LOCAL = re.compile(r"local\[(\d+|\*)(?:,\d+)?\]")

_SIZE = re.compile(r"\s*\((\d+)\)")


def preview_replay(request: Request, settings: Settings) -> ReplayPreview:
    """What ``request`` would do.

    Raises:
        SpadeError: What keeps anything from being said at all: no schemas, no edge store, no
            warehouse that answers, a table that Blueprint does not have.
    """
    warehouse = None if request.skip_load else open_warehouse(settings.warehouse, settings.s3)
    prepared = plan_replay(request, settings)
    outlook = build_preview(prepared, request, settings, warehouse)
    # A replay asks these of its run and its lock itself, when it takes them.
    store = open_store(settings.output.base, settings.s3)
    claim = LeaseRequest.new(request.run_tag, request.window, request.replaces)
    asked = (
        RunStore(store, request.run_tag).plan_problem(prepared.plan),
        LeaseStore(store).table().refusal(claim, request.take_over),
    )
    return replace(outlook, problems=(*outlook.problems, *filter(None, asked)))


def build_preview(
    prepared: PlannedReplay, request: Request, settings: Settings, warehouse: Warehouse | None
) -> ReplayPreview:
    """What carrying out ``prepared`` would do; ``warehouse`` is None where nothing is loaded.

    Raises:
        ConnectionLostError: The warehouse does not answer.
    """
    store = open_store(settings.output.base, settings.s3)
    found = preflight.PreflightResult((), ())
    if warehouse:
        found = preflight.run_preflight(
            warehouse, prepared.tables, request.window, settings.warehouse, output=store.url
        )
    return ReplayPreview(
        run_tag=request.run_tag,
        url=f"{store.url}{request.run_tag}/",
        window=str(request.window),
        edge=settings.input.edge,
        objects=len(prepared.plan.sources),
        size=prepared.plan.size,
        partitions=len(prepared.plan.partitions),
        empty_hours=empty_hours(request.window, prepared.listing),
        core_seconds=prepared.plan.size / BYTES_PER_CORE_SECOND,
        cores=_cores(settings),
        warehouse=f"{warehouse.name} {warehouse.connection_info}" if warehouse else "",
        tables=tuple(_tables(request, settings, warehouse, prepared, found)) if warehouse else (),
        streams=tuple(_streams(settings, prepared)),
        remarks=tuple(_remarks(request, prepared)),
        problems=found.problems,
    )


def empty_hours(window: Window, listing: Listing) -> tuple[str, ...]:
    """The hours of the window, as Pacific text, in which no object was closed."""
    hour = window.first.replace(minute=0, second=0, microsecond=0)
    empty = []
    while hour <= window.last:
        if not listing.closed_in(hour):
            empty.append(hour.astimezone(PACIFIC).strftime("%Y-%m-%d %H:00%z"))
        hour += timedelta(hours=1)
    return tuple(empty)


def column_differences(
    table: Table, state: preflight.TableStatus, registry: Registry = TRANSFORMERS
) -> Iterator[str]:
    """How the warehouse's columns differ from what Blueprint says, a sentence each.

    Raises:
        InputError: A column has an unknown transformer.
    """
    for column, there in zip(table.columns, state.columns, strict=True):
        if not re.fullmatch(registry.spec(column.transformer).sql_types, there.type):
            yield f"{there.name} is {there.type}, Blueprint makes {column.transformer}"
        elif _size(column) and there.limit and _size(column) != there.limit:
            yield f"{there.name} is {there.type}, Blueprint has {column.options.strip()}"
    for name in state.others:
        yield f"{name} is not in Blueprint: it gets its default"


def _size(column: Column) -> int:
    match = _SIZE.match(column.options)
    return int(match[1]) if match else 0


def _tables(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    prepared: PlannedReplay,
    found: preflight.PreflightResult,
) -> Iterator[TablePreview]:
    by_name = {table.name: table for table in prepared.tables}
    for state in found.states:
        table = by_name[state.table]
        yield TablePreview(
            table=table.name,
            version=table.version,
            rows=state.rows,
            hours=state.hours,
            differences=tuple(column_differences(table, state)),
            statements=tuple(_statements(request, settings, warehouse, table, state)),
        )


def _statements(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    table: Table,
    state: preflight.TableStatus,
) -> list[str]:
    """The SQL that would run, from files whose number and rows are not known yet."""
    base = open_store(settings.output.base, settings.s3).url
    files = TableFiles(
        table=table.name,
        version=table.version,
        columns=tuple(column.outbound for column in table.columns),
        files=(),
        copy_manifest=base + RunPaths(request.run_tag).copy_manifest(table.name),
        checksum="(not known yet)",
    )
    job = WindowSwap(
        warehouse,
        schemas_from_settings(settings.warehouse),
        files,
        request.window,
        request.run_tag,
        request.from_quarantine,
    )
    return [str(statement) for statement in job.script(state.columns, state.all_columns)]


def _streams(settings: Settings, prepared: PlannedReplay) -> Iterator[StreamPreview]:
    made = {table.name for table in prepared.tables}
    for target in prepared.streams.targets:
        stream = target.stream
        yield StreamPreview(
            stream=target.id,
            region=region_of(stream, settings),
            role=bool(stream.stream_role),
            compressed=stream.compress,
            events=tuple(sorted(stream.events.keys() & made)),
            others=tuple(sorted(stream.events.keys() - made)),
        )


def _remarks(request: Request, prepared: PlannedReplay) -> Iterator[str]:
    hours = empty_hours(request.window, prepared.listing)
    if hours:
        yield f"Hours of the window without any object: {format_hours(hours)}"
    if request.window.last > datetime.now(timezone.utc):
        yield "END lies in the future: logs that come later are not in the plan"
    formats = prepared.plan.settings["output.format"]
    if "parquet" in formats:
        yield f"Rows are written as Parquet for a lake (output.format is {formats})"
    if prepared.streams.idle:
        yield f"Streams that take none of the tables: {', '.join(prepared.streams.idle)}"
    yield from prepared.streams.remarks
    for left_out in prepared.skipped_tables:
        yield f"Table {left_out.name} would be left out: {left_out.reason}"
    if prepared.listing.unnamed:
        names = prepared.listing.unnamed
        yield f"{len(names)} objects have no time in their name and are not read: {names[0]} …"


def _cores(settings: Settings) -> int:
    match = _LOCAL.fullmatch(settings.spark.get("spark.master", "local[*]"))
    if not match:
        return 0
    return (os.cpu_count() or 1) if match[1] == "*" else int(match[1])
