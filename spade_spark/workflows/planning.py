"""What is known before anything is begun: the tables, the objects, the plan.

A replay carries it out, ``spade-spark plan`` prints it: both ask here.
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
from spade_spark.streams.targets import StreamSelection
from spade_spark.streams.targets import select_streams as choose_streams
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.workflows.quarantine_replay import list_quarantine
from spade_spark.writers.parquet_requirements import require_parquet_columns, require_pyarrow


@dataclass(frozen=True)
class PlannedReplay:
    """What a replay would do, from the window's objects on.

    Attributes:
        plan: The plan.
        schemas: The schemas, as they were published.
        tables: The tables to make.
        listing: The window's objects.
        left_out: Tables that cannot be made, where all were asked for.
        streams: The streams that the rows are published to.
        edge_types: The type of edge that is expected of an event; None where no event metadata are
            configured, and for a quarantine, whose events were counted before.
    """

    plan: Plan
    schemas: bytes
    tables: tuple[Table, ...]
    listing: Listing
    skipped_tables: tuple[SkippedTable, ...]
    streams: StreamSelection
    edge_types: Mapping[str, str] | None


def plan_replay(request: Request, settings: Settings) -> PlannedReplay:
    """Reads the schemas and lists the window; writes nothing.

    Raises:
        UsageError: A table that Blueprint does not have, or whose schema cannot be used; a stream
            that it does not have, or that takes none of the tables.
        InputError: No schemas, no edge store, no object in the window, no event metadata where they
            are configured, or a stream that must not be written to.
    """
    schemas = fetch.fetch(settings.blueprint.schemas, settings.s3)
    reading = read_tables(schemas, is_transformer, fetch.redact_url(settings.blueprint.schemas))
    tables = select_tables(request, reading)
    if "parquet" in settings.output.format:
        require_pyarrow()
        require_parquet_columns(tables)
    streams = choose_streams(request.publish, [table.name for table in tables], settings)
    if request.from_quarantine:
        listing = list_quarantine(request.from_quarantine, settings)
    else:
        listing = _list(request, settings)
    return PlannedReplay(
        plan=_plan(request, settings, schemas, tables, listing, streams=streams),
        schemas=schemas,
        tables=tuple(tables),
        listing=listing,
        skipped_tables=reading.skipped if request.all_tables else (),
        streams=streams,
        edge_types=None if request.from_quarantine else _edge_types(settings),
    )


def _edge_types(settings: Settings) -> Mapping[str, str] | None:
    source = settings.blueprint.metadata
    if not source:
        return None
    return read_edge_types(fetch.fetch(source, settings.s3), fetch.redact_url(source))


def select_tables(request: Request, reading: SchemaCatalog) -> list[Table]:
    """The tables asked for, by name.

    Raises:
        UsageError: A name that Blueprint does not have, or whose schema cannot be used.
    """
    if request.all_tables:
        return [reading.tables[name] for name in sorted(reading.tables)]
    left_out = {each.name: each.reason for each in reading.skipped}
    problems = [
        f"table {name} cannot be made: {left_out[name]} (mend it in Blueprint, or leave it out)"
        if name in left_out
        else f"Blueprint has no table {name}{_suggest_name(name, reading)}"
        for name in sorted(set(request.tables) - reading.tables.keys())
    ]
    if problems:
        raise UsageError("; ".join(problems))
    return [reading.tables[name] for name in sorted(set(request.tables))]


def _suggest_name(name: str, reading: SchemaCatalog) -> str:
    """The table whose name is most like ``name``, as a question."""
    closest = get_close_matches(name, reading.tables, n=1)
    return f": did you mean {closest[0]}?" if closest else ": check the name"


def select_run_tables(request: Request, sealed: CompletedRun, schemas: bytes) -> list[Table]:
    """The tables asked for, of those that a run made and by the schemas that made them.

    Raises:
        UsageError: A table that the run did not make.
    """
    made = {each.table for each in sealed.manifest.tables}
    missing = sorted(set(request.tables) - made)
    if missing:
        raise UsageError(f"run tag {request.run_tag} did not make: {', '.join(missing)}")
    tables = read_tables(schemas, is_transformer).tables
    return [tables[name] for name in sorted(set(request.tables) or made)]


def _list(request: Request, settings: Settings) -> Listing:
    edge = open_store(settings.input.edge, settings.s3)
    listing = list_window(edge, request.window, settings.input)
    if not listing.sources and not request.allow_empty:
        raise InputError(
            f"{edge.url} has no object for {request.window} (by {settings.input.time_source}, see "
            "input.time_source): check the window and input.edge"
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
