"""Plan a replay: select the tables, list the input objects and build the :class:`Plan`.

``spade-spark replay`` executes the result, ``spade-spark plan`` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from difflib import get_close_matches

from spade_spark import __version__
from spade_spark.blueprint import fetch
from spade_spark.blueprint.metadata import read_edge_types
from spade_spark.blueprint.schema import SchemaCatalog, SkippedTable, Table, read_tables
from spade_spark.errors import InputError, UsageError
from spade_spark.plan import Plan, assign_to_partitions
from spade_spark.request import Request
from spade_spark.runs.run_store import CompletedRun, sha256
from spade_spark.settings import Settings
from spade_spark.sources.listing import Listing, list_window
from spade_spark.storage.base import open_store
from spade_spark.streams.targets import StreamSelection, select_streams
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.workflows.quarantine_replay import list_quarantine
from spade_spark.writers.parquet_requirements import require_parquet_columns, require_pyarrow


@dataclass(frozen=True)
class PlannedReplay:
    """A plan and what was read to make it.

    Attributes:
        plan: The plan.
        schemas: The published schemas, byte for byte.
        tables: The tables to write.
        listing: The input objects of the window.
        skipped_tables: With ``--all-tables``, the tables whose schema is invalid.
        streams: The streams that the rows are published to.
        edge_types: The expected edge type of each event. None without event metadata, and for a
            quarantine, since the original run has counted its events.
    """

    plan: Plan
    schemas: bytes
    tables: tuple[Table, ...]
    listing: Listing
    skipped_tables: tuple[SkippedTable, ...]
    streams: StreamSelection
    edge_types: Mapping[str, str] | None


def plan_replay(request: Request, settings: Settings) -> PlannedReplay:
    """Read the schemas and list the input objects; write nothing.

    Raises:
        UsageError: Blueprint does not have a requested table or stream, the schema of a table is
            invalid, or a stream receives none of the tables.
        InputError: The schemas, the edge store or the event metadata cannot be read, the window
            has no objects, or a stream must not be written to.
    """
    schemas = fetch.fetch(settings.blueprint.schemas, settings.s3)
    catalog = read_tables(schemas, is_transformer, fetch.redact_url(settings.blueprint.schemas))
    tables = select_tables(request, catalog)
    if "parquet" in settings.output.format:
        require_pyarrow()
        require_parquet_columns(tables)
    streams = select_streams(request.publish, [table.name for table in tables], settings)
    if request.from_quarantine:
        listing = list_quarantine(request.from_quarantine, settings)
    else:
        listing = _list(request, settings)
    return PlannedReplay(
        plan=_plan(request, settings, schemas, tables, listing, streams=streams),
        schemas=schemas,
        tables=tuple(tables),
        listing=listing,
        skipped_tables=catalog.skipped if request.all_tables else (),
        streams=streams,
        edge_types=None if request.from_quarantine else _edge_types(settings),
    )


def _edge_types(settings: Settings) -> Mapping[str, str] | None:
    source = settings.blueprint.metadata
    if not source:
        return None
    return read_edge_types(fetch.fetch(source, settings.s3), fetch.redact_url(source))


def select_tables(request: Request, catalog: SchemaCatalog) -> list[Table]:
    """Return the requested tables, sorted by name.

    Raises:
        UsageError: Blueprint does not have a requested table, or its schema is invalid.
    """
    if request.all_tables:
        return [catalog.tables[name] for name in sorted(catalog.tables)]
    skipped = {table.name: table.reason for table in catalog.skipped}
    problems = [
        f"the schema of table {name} is invalid: {skipped[name]} (fix it in Blueprint, or omit "
        "the table)"
        if name in skipped
        else f"Blueprint has no table {name}{_suggest_name(name, catalog)}"
        for name in sorted(set(request.tables) - catalog.tables.keys())
    ]
    if problems:
        raise UsageError("; ".join(problems))
    return [catalog.tables[name] for name in sorted(set(request.tables))]


def _suggest_name(name: str, catalog: SchemaCatalog) -> str:
    """Suggest the table with the closest name."""
    closest = get_close_matches(name, catalog.tables, n=1)
    return f" (did you mean {closest[0]}?)" if closest else " (check the name)"


def select_run_tables(request: Request, completed: CompletedRun, schemas: bytes) -> list[Table]:
    """Return the requested tables of a completed run, with the schemas of that run.

    Raises:
        UsageError: The run does not have a requested table.
    """
    names = {table.table for table in completed.manifest.tables}
    missing = sorted(set(request.tables) - names)
    if missing:
        raise UsageError(f"run tag {request.run_tag} has no table {', '.join(missing)}")
    tables = read_tables(schemas, is_transformer).tables
    return [tables[name] for name in sorted(set(request.tables) or names)]


def _list(request: Request, settings: Settings) -> Listing:
    edge = open_store(settings.input.edge, settings.s3)
    listing = list_window(edge, request.window, settings.input)
    if not listing.sources and not request.allow_empty:
        raise InputError(
            f"{edge.url} has no objects for {request.window} (input.time_source is "
            f"{settings.input.time_source}): check the window and input.edge"
        )
    return listing


def _plan(
    request: Request,
    settings: Settings,
    schemas: bytes,
    tables: Sequence[Table],
    listing: Listing,
    *,
    streams: StreamSelection,
) -> Plan:
    return Plan(
        run_tag=request.run_tag,
        created=datetime.now(timezone.utc),
        window=request.window.arguments,
        tables=tuple(table.name for table in tables),
        all_tables=request.all_tables,
        schemas_sha256=sha256(schemas),
        edge=settings.output.base if request.from_quarantine else settings.input.edge,
        partitions=assign_to_partitions(listing.sources),
        settings=settings.output_affecting(publishing=bool(streams.targets)),
        version=__version__,
        streams=streams.ids,
        streams_sha256=streams.sha256,
    )
