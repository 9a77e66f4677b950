"""Whether a table is as Blueprint describes it: asked before a run, and again by the load."""

from __future__ import annotations

from collections.abc import Sequence

from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import WarehouseColumn


def loadable_columns(
    session: Session, warehouse: Warehouse, schema: str, table: str, outbound: Sequence[str]
) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
    """The table's columns of these names, in their order, and what is wrong with them."""
    relation = warehouse.fold(table)
    there = {
        column.name: column for column in information_schema.columns(session, schema, relation)
    }
    if not there:
        return (), [
            f"there is no table {schema}.{relation}: create it, or leave {table} out of the replay"
        ]
    wanted = [warehouse.fold(name) for name in outbound]
    problems = [
        f'{schema}.{relation} has no column "{name}", which Blueprint has: add it, or replay with '
        "the schema that the table was made by"
        for name in wanted
        if name not in there
    ]
    found = tuple(there[name] for name in wanted if name in there)
    problems += [f"{schema}.{relation}: {text}" for text in warehouse.problems(session, found)]
    return found, problems


def version_problem(control: str, table: str, replayed: int, version: int | None) -> str:
    """The sentence about a version that is not the one replayed."""
    has = "no version" if version is None else f"version {version}"
    return (
        f"{control}.{replay_log.VERSIONS} has {has} of {table}, the replay makes version "
        f"{replayed}: bring the table and its version up to date, or replay with the schemas "
        "of that version"
    )
