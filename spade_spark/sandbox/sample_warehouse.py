"""The sandbox's warehouse: live tables with a few hours in them that a mistake spoilt.

The rows are made and loaded by this package's own code, as a processor of that time would have:
first all hours by the schemas without the mistake, then the window by the schemas with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import InternalError
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.load_results import LoadFailed, LoadFile, TableFiles
from spade_spark.runs.manifest import RowFile
from spade_spark.sandbox.sample_schemas import MISTAKES, TABLES, published, with_mistakes
from spade_spark.settings import OutputSettings, Settings
from spade_spark.sources.listing import list_window
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition
from spade_spark.storage.base import open_store
from spade_spark.transform.transformers.registry import TRANSFORMERS
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import ConnectionInfo, Session
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.sql import Identifier, Literal, Sql, joined
from spade_spark.window import Window


def fill_warehouse(settings: Settings, whole: Window, mistaken: Window, scratch: Path) -> None:
    """Creates and fills the live tables and the control tables.

    Args:
        settings: The sandbox's settings.
        whole: All hours that there are logs of.
        mistaken: The hours that were loaded by the schemas with mistakes.
        scratch: A directory for the rows' files.
    """
    edge = open_store(settings.input.edge, settings.s3)
    everything = [InputObject(each.key, each.size, each.etag) for each in edge.list()]
    some = list_window(edge, mistaken, settings.input).sources
    with Session(ConnectionInfo.parse(settings.warehouse.url.get_secret_value())) as session:
        create_tables(session, settings, TABLES)
        # Version 4 of login was the mistake: 3 was before it, and 5 mends it.
        before = [replace(each, version=each.version - 2 * _spoilt(each.name)) for each in TABLES]
        publish(session, settings, before, whole.wall_start)
        _load(settings, _make(settings, before, everything, scratch), whole, "before")

        mistakes = with_mistakes(TABLES)
        publish(session, settings, _only_spoilt(mistakes), mistaken.wall_start)
        made = _make(settings, mistakes, some, scratch)
        _load(settings, [each for each in made if _spoilt(each.table)], mistaken, "mistake")

        publish(session, settings, _only_spoilt(TABLES), mistaken.wall_end)
        # These loads stand for what was loaded day by day, and that leaves no mark in the ledger.
        session.run(Sql("DELETE FROM ", Identifier(settings.warehouse.control, replay_log.NAME)))


def create_tables(session: Session, settings: Settings, tables: Iterable[Table]) -> None:
    """Creates the two schemas, the table of versions, and an empty live table for each table."""
    schema, control = settings.warehouse.schema_name, settings.warehouse.control
    session.run(Sql("CREATE SCHEMA ", Identifier(schema)))
    session.run(Sql("CREATE SCHEMA ", Identifier(control)))
    session.run(
        Sql(
            "CREATE TABLE ",
            Identifier(control, replay_log.VERSIONS),
            ' ("name" VARCHAR(127) NOT NULL, "version" INTEGER NOT NULL, "ts" TIMESTAMP NOT NULL)',
        )
    )
    for table in tables:
        columns = joined(_definition(column) for column in table.columns)
        session.run(Sql("CREATE TABLE ", Identifier(schema, table.name), " (", columns, ")"))


def publish(session: Session, settings: Settings, tables: Iterable[Table], ts: datetime) -> None:
    """Notes that the warehouse has these versions of the tables since ``ts``."""
    versions = Identifier(settings.warehouse.control, replay_log.VERSIONS)
    for table in tables:
        values = joined(Literal(value) for value in (table.name, table.version, ts))
        session.run(
            Sql("INSERT INTO ", versions, ' ("name", "version", "ts") VALUES (', values, ")")
        )


def _spoilt(table: str) -> bool:
    return any(mistake.table == table for mistake in MISTAKES)


def _only_spoilt(tables: Iterable[Table]) -> list[Table]:
    return [table for table in tables if _spoilt(table.name)]


def _definition(column: Column) -> Sql:
    spec = TRANSFORMERS.spec(column.transformer)
    return Sql(Identifier(column.outbound), f" {spec.sql_type}{column.options}")


def _make(
    settings: Settings, tables: Sequence[Table], sources: Sequence[InputObject], scratch: Path
) -> list[TableFiles]:
    """The rows that ``tables`` give, as one partition of a run."""
    run_tag = f"v{tables[0].version}"
    local = settings.model_copy(update={"output": OutputSettings(base=str(scratch))})
    job = BroadcastContext(
        run_tag=run_tag,
        plan=run_tag,
        day="sandbox",
        settings=local.for_tasks(),
        schemas=published(tables),
        requested=None,
    )
    completion = run_partition(job, InputPartition(0, tuple(sources)), 0)
    return [_files(table, completion.files, scratch) for table in tables]


def _files(table: Table, files: Iterable[RowFile], scratch: Path) -> TableFiles:
    mine = [file for file in files if file.table == table.name]
    return TableFiles(
        table=table.name,
        version=table.version,
        columns=tuple(column.outbound for column in table.columns),
        files=tuple(LoadFile(f"{scratch}/{file.key}", file.size, file.rows) for file in mine),
        copy_manifest="",
        checksum="",
    )


def _load(settings: Settings, files: Sequence[TableFiles], window: Window, run_tag: str) -> None:
    """Replaces the window's rows, of which there may be none.

    Raises:
        InternalError: A table could not be loaded.
    """
    warehouse = open_warehouse(settings.warehouse, settings.s3)
    rules = LoadGuards(min_rows_ratio=0, allow_empty=True)
    without = settings.warehouse.model_copy(update={"backup": False})
    loads = load_tables(
        warehouse,
        files,
        window,
        without,
        run_tag=run_tag,
        rules=rules,
        verify_lock=lambda: None,  # no other process knows this warehouse yet
    )
    for load in loads:
        if isinstance(load, LoadFailed):
            raise InternalError(f"the sandbox could not be filled: {load.table}: {load.reason}")
