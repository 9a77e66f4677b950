"""The sample's warehouse: tables that are correct except for a window of three hours.

The product's own code transforms and loads the rows: first the whole logs with the correct schemas,
then the window with the wrong schemas.
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
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.logins import connection_info
from spade_spark.warehouse.sql import Identifier, Literal, Sql, joined
from spade_spark.window import Window


def fill_warehouse(settings: Settings, logs: Window, wrong: Window, scratch: Path) -> None:
    """Create and fill the tables and the control tables.

    Args:
        settings: The sandbox's settings.
        logs: The window of the logs.
        wrong: The window to load with the wrong schemas.
        scratch: A directory for temporary row files.
    """
    edge = open_store(settings.input.edge, settings.s3)
    all_objects = [InputObject(entry.key, entry.size, entry.etag) for entry in edge.list()]
    wrong_objects = list_window(edge, wrong, settings.input).sources
    with Session(connection_info(settings.warehouse, settings.s3)) as session:
        create_tables(session, settings, TABLES)
        # Of login, version 3 was correct, version 4 was wrong, and version 5 is correct again.
        before = [
            replace(table, version=table.version - 2 * _has_mistake(table.name)) for table in TABLES
        ]
        record_versions(session, settings, before, logs.wall_start)
        _load(settings, _transform(settings, before, all_objects, scratch), logs, "before")

        wrong_tables = with_mistakes(TABLES)
        record_versions(session, settings, _only_with_mistakes(wrong_tables), wrong.wall_start)
        files = _transform(settings, wrong_tables, wrong_objects, scratch)
        _load(settings, [table for table in files if _has_mistake(table.table)], wrong, "mistake")

        record_versions(session, settings, _only_with_mistakes(TABLES), wrong.wall_end)
        # They stand for regular loads, which do not write to the replay log.
        session.run(
            Sql("DELETE FROM ", Identifier(settings.warehouse.control, replay_log.TABLE_NAME))
        )


def create_tables(session: Session, settings: Settings, tables: Iterable[Table]) -> None:
    """Create both schemas, the version table, and an empty table for each schema."""
    schema, control = settings.warehouse.schema_name, settings.warehouse.control
    session.run(Sql("CREATE SCHEMA ", Identifier(schema)))
    session.run(Sql("CREATE SCHEMA ", Identifier(control)))
    session.run(
        Sql(
            "CREATE TABLE ",
            Identifier(control, replay_log.VERSIONS_TABLE),
            ' ("name" VARCHAR(127) NOT NULL, "version" INTEGER NOT NULL, "ts" TIMESTAMP NOT NULL)',
        )
    )
    for table in tables:
        columns = joined(_definition(column) for column in table.columns)
        session.run(Sql("CREATE TABLE ", Identifier(schema, table.name), " (", columns, ")"))


def record_versions(
    session: Session, settings: Settings, tables: Iterable[Table], ts: datetime
) -> None:
    """Record in the version table that the tables have these versions since ``ts``."""
    versions = Identifier(settings.warehouse.control, replay_log.VERSIONS_TABLE)
    for table in tables:
        values = joined(Literal(value) for value in (table.name, table.version, ts))
        session.run(
            Sql("INSERT INTO ", versions, ' ("name", "version", "ts") VALUES (', values, ")")
        )


def _has_mistake(table: str) -> bool:
    return any(mistake.table == table for mistake in MISTAKES)


def _only_with_mistakes(tables: Iterable[Table]) -> list[Table]:
    return [table for table in tables if _has_mistake(table.name)]


def _definition(column: Column) -> Sql:
    spec = TRANSFORMERS.spec(column.transformer)
    return Sql(Identifier(column.outbound), " ", spec.sql_type, column.options)


def _transform(
    settings: Settings, tables: Sequence[Table], sources: Sequence[InputObject], scratch: Path
) -> list[TableFiles]:
    """Transform ``sources`` as the single partition of a run; return the files of ``tables``."""
    run_tag = f"v{tables[0].version}"
    local = settings.model_copy(update={"output": OutputSettings(base=str(scratch))})
    context = BroadcastContext(
        run_tag=run_tag,
        plan=run_tag,
        day="sandbox",
        settings=local.for_tasks(),
        schemas=published(tables),
        requested=None,
    )
    completion = run_partition(context, InputPartition(0, tuple(sources)), 0)
    return [_files(table, completion.files, scratch) for table in tables]


def _files(table: Table, files: Iterable[RowFile], scratch: Path) -> TableFiles:
    return TableFiles(
        table=table.name,
        version=table.version,
        columns=tuple(column.outbound for column in table.columns),
        files=tuple(
            LoadFile(f"{scratch}/{file.key}", file.size, file.rows, file.sha256)
            for file in files
            if file.table == table.name
        ),
        copy_manifest="",
        checksum="",
    )


def _load(settings: Settings, files: Sequence[TableFiles], window: Window, run_tag: str) -> None:
    """Replace the window's rows, if any.

    Raises:
        InternalError: A table could not be loaded.
    """
    warehouse = open_warehouse(settings.warehouse, settings.s3)
    guards = LoadGuards(min_rows_ratio=0, allow_empty=True)
    warehouse_settings = settings.warehouse.model_copy(update={"backup": False})
    loads = load_tables(
        warehouse,
        files,
        window,
        warehouse_settings,
        run_tag=run_tag,
        guards=guards,
        verify_lock=lambda: None,  # no other process uses the sandbox yet
    )
    for load in loads:
        if isinstance(load, LoadFailed):
            raise InternalError(f"table {load.table} of the sandbox was not loaded: {load.reason}")
