"""What a load needs of its target table: columns, their types, and the table's version.

The preflight checks it before the transform, and the load again before it changes the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.table_lock import PREFIX as LOCK_TABLE_PREFIX
from spade_spark.warehouse.target_rows import WarehouseSchemas


def loadable_columns(
    session: Session,
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    table: str,
    outbound: Sequence[str],
) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
    """Read a table's columns and match them with ``outbound``, as :func:`match_columns` does."""
    existing = information_schema.columns(session, schemas.schema, warehouse.fold(table))
    return match_columns(warehouse, schemas, table, existing, outbound)


def match_columns(
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    table: str,
    columns: Sequence[WarehouseColumn],
    outbound: Sequence[str],
) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
    """Return the table's columns for ``outbound``, in that order, and what prevents a load.

    Args:
        warehouse: The warehouse.
        schemas: The schemas of its tables, and the column that a window selects by.
        table: The table's name, as in Blueprint.
        columns: All columns of the table; none if it does not exist.
        outbound: The columns to fill, as in Blueprint.
    """
    target = f"{schemas.schema}.{warehouse.fold(table)}"
    if not columns:
        return (), [
            f"the table {target} does not exist: create it, or leave {table} out of the replay"
        ]
    if is_control_table(schemas, warehouse.fold(table)):
        return (), [
            f"{target} is a control table of spade-spark, whose rows must not be replaced: set "
            f"warehouse.control to another schema, or leave {table} out of the replay"
        ]
    existing = {column.name: column for column in columns}
    names = [warehouse.fold(name) for name in outbound]
    problems = [
        f'{target} has no column "{name}", which Blueprint has: add the column, or '
        "replay with the schemas that the table was created from"
        for name in names
        if name not in existing
    ]
    matched = tuple(existing[name] for name in names if name in existing)
    problems += [
        f"{target}: {text}; change the type, or leave {table} out of the replay"
        for text in warehouse.column_problems(matched)
    ]
    time = next((col for col in matched if col.name == warehouse.fold(schemas.time_column)), None)
    if time is None:
        problems.append(
            f'{table} has no column "{schemas.time_column}" that Blueprint fills, so its rows '
            f"cannot be selected by time: correct warehouse.time_column, or leave {table} out of "
            "the replay"
        )
    elif not time.is_timestamp:
        problems.append(
            f'{target}: the time column "{time.name}" has type {time.type}, but a window can only '
            "be replaced by a column of type timestamp without time zone: replace the column by "
            f"one of that type, correct warehouse.time_column, or leave {table} out of the replay"
        )
    return matched, problems


def is_control_table(schemas: WarehouseSchemas, relation: str) -> bool:
    """Whether the table is one that this program keeps in the schema of the control tables."""
    names = (replay_log.TABLE_NAME, replay_log.VERSIONS_TABLE)
    return schemas.schema == schemas.control and (
        relation in names or relation.startswith(LOCK_TABLE_PREFIX)
    )


def version_problem(control: str, table: str, replayed: int, version: int | None) -> str:
    """Return the message about a version other than the replayed one."""
    versions = f"{control}.{replay_log.VERSIONS_TABLE}"
    if version is None:
        return (
            f"{versions} has no version of {table}, but the replay makes version {replayed}: add "
            f"the version of the table, or leave {table} out of the replay"
        )
    return (
        f"{versions} has version {version} of {table}, but the replay makes version {replayed}: "
        f"migrate the table and update its version, or replay with the schemas of version {version}"
    )
