"""Looks, before anything is computed, whether the load could work. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from spade_spark.blueprint.schema import Table
from spade_spark.errors import WarehouseError
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import backup, information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.retries import query_with_retries
from spade_spark.warehouse.sql import Identifier, Literal, Sql
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window


@dataclass(frozen=True)
class TableStatus:
    """A table as the warehouse has it, fit to be replayed.

    Attributes:
        table: The table's name, as in Blueprint.
        version: Its version, in Blueprint and in the warehouse.
        columns: The columns that the replay fills, in the order of the rows' values.
        all_columns: All columns of the table, in its order.
        hours: Rows in the window now, by the hour of the wall clock.
    """

    table: str
    version: int
    columns: tuple[WarehouseColumn, ...]
    all_columns: tuple[WarehouseColumn, ...]
    hours: tuple[tuple[datetime, int], ...]

    @property
    def others(self) -> tuple[str, ...]:
        """Columns that Blueprint does not have; they get their defaults."""
        filled = {column.name for column in self.columns}
        return tuple(column.name for column in self.all_columns if column.name not in filled)

    @property
    def rows(self) -> int:
        """Rows in the window now."""
        return sum(count for _, count in self.hours)


@dataclass(frozen=True)
class PreflightResult:
    """What a load would find.

    Attributes:
        states: The tables that are fit to be replayed.
        problems: What would keep the load from working, a sentence each with what to do.
    """

    states: tuple[TableStatus, ...]
    problems: tuple[str, ...]


def run_preflight(
    warehouse: Warehouse,
    tables: Sequence[Table],
    window: Window,
    settings: WarehouseSettings,
    *,
    output: str,
) -> PreflightResult:
    """Looks at tables, versions, privileges, the ledger, and whether ``output`` can be read.

    Raises:
        TransientError: The warehouse does not answer, or another transaction won, each time.
    """

    def check(session: Session) -> PreflightResult:
        found = _PreflightChecker(
            session, warehouse, schemas_from_settings(settings), window
        ).check_tables(tables)
        problems = warehouse.storage_problems(session, output)
        return PreflightResult(found.states, (*found.problems, *problems))

    return query_with_retries(warehouse.connection_info, check)


def require_preflight(
    warehouse: Warehouse,
    tables: Sequence[Table],
    window: Window,
    settings: WarehouseSettings,
    *,
    output: str,
) -> tuple[TableStatus, ...]:
    """As :func:`run_preflight`, for whoever goes on only where nothing is wrong.

    Raises:
        WarehouseError: With all problems that were found, one a line, each with what to do.
        TransientError: The warehouse does not answer, or another transaction won, each time.
    """
    result = run_preflight(warehouse, tables, window, settings, output=output)
    if result.problems:
        lines = "\n".join(f"  {problem}" for problem in result.problems)
        raise WarehouseError(
            f"the replay cannot load into {warehouse.name} {warehouse.connection_info}; nothing "
            f"was started:\n{lines}"
        )
    return result.states


@dataclass(frozen=True)
class _PreflightChecker:
    """What is looked at, through one session."""

    session: Session
    warehouse: Warehouse
    schemas: WarehouseSchemas
    window: Window

    def check_tables(self, tables: Sequence[Table]) -> PreflightResult:
        """All of it, for all of ``tables``; without the schemas there is nothing more to see."""
        problems = self.schema_problems()
        if problems:
            return PreflightResult((), tuple(problems))
        problems += self.control_problems()
        problems += backup.schema_problems(self.session, self.warehouse, self.schemas)
        states = []
        for table in tables:
            columns, found = self.table_problems(table)
            problems += found
            if not found:
                states.append(self.state(table, columns))
        return PreflightResult(tuple(states), tuple(problems))

    def schema_problems(self) -> list[str]:
        """Schemas that are not there or may not be used."""
        problems = []
        for setting, schema in (("schema", self.schemas.schema), ("control", self.schemas.control)):
            if not information_schema.schema_exists(self.session, schema):
                problems.append(
                    f"there is no schema {schema}: create it, or set warehouse.{setting} right"
                )
            elif not information_schema.has_schema_privilege(self.session, schema, "USAGE"):
                problems.append(f"the user may not use the schema {schema}: GRANT USAGE ON SCHEMA")
        return problems

    def control_problems(self) -> list[str]:
        """The control tables: the versions must be there, the ledger may be left to the load."""
        control = self.schemas.control
        versions, replays = (f"{control}.{name}" for name in (replay_log.VERSIONS, replay_log.NAME))
        problems = []
        if not information_schema.columns(self.session, control, replay_log.VERSIONS):
            problems.append(
                f"there is no table {versions}(name, version, ts), which says what version each "
                "table has: set warehouse.control right"
            )
        elif not information_schema.grants(self.session, control, replay_log.VERSIONS).select:
            problems.append(f"the user may not SELECT on {versions}: GRANT SELECT")
        existing = {
            column.name
            for column in information_schema.columns(self.session, control, replay_log.NAME)
        }
        if existing:
            missing = [name for name in replay_log.COLUMNS if name not in existing]
            if missing and set(replay_log.ADDED).issuperset(missing):
                statements = "; ".join(str(each) for each in replay_log.add_columns(control))
                problems.append(f"{replays} is of an older form: bring it up to date: {statements}")
            elif missing:
                problems.append(f"{replays} lacks {', '.join(missing)}: it is no replay ledger")
            return problems + self._grant_problems(control, replay_log.NAME)
        if not information_schema.has_schema_privilege(self.session, control, "CREATE"):
            problems.append(
                f"there is no table {replays}, and the user may not create it: GRANT CREATE ON "
                f"SCHEMA {Identifier(control).sql()}, or have it created: "
                f"{replay_log.create(control)}"
            )
        return problems

    def table_problems(self, table: Table) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
        """The table's columns that the replay fills, and all that is wrong with the table."""
        outbound = [column.outbound for column in table.columns]
        columns, problems = loadable_columns(
            self.session, self.warehouse, self.schemas.schema, table.name, outbound
        )
        if not columns:
            return columns, problems
        if self._time not in {column.name for column in columns}:
            problems.append(
                f'{table.name} has no column "{self.schemas.time_column}" that Blueprint fills, so '
                "it has no window: set warehouse.time_column right, or leave the table out"
            )
        return columns, [
            *problems,
            *self._version_problems(table),
            *self._grant_problems(self.schemas.schema, self.warehouse.fold(table.name)),
        ]

    def state(self, table: Table, columns: tuple[WarehouseColumn, ...]) -> TableStatus:
        """The table as it is, and its rows in the window by hour."""
        schema, relation = self.schemas.schema, self.warehouse.fold(table.name)
        time = Identifier(self._time)
        hours = self.session.rows(
            Sql(
                "SELECT DATE_TRUNC('hour', ",
                time,
                "), COUNT(*) FROM ",
                Identifier(schema, relation),
                " WHERE ",
                time,
                " BETWEEN ",
                Literal(self.window.wall_start),
                " AND ",
                Literal(self.window.wall_end),
                " GROUP BY 1 ORDER BY 1",
            )
        )
        return TableStatus(
            table=table.name,
            version=table.version,
            columns=columns,
            all_columns=information_schema.columns(self.session, schema, relation),
            hours=tuple((hour, int(count)) for hour, count in hours),
        )

    @property
    def _time(self) -> str:
        return self.warehouse.fold(self.schemas.time_column)

    def _version_problems(self, table: Table) -> list[str]:
        control = self.schemas.control
        if not information_schema.columns(self.session, control, replay_log.VERSIONS):
            return []  # said once for all tables
        version = replay_log.version(self.session, control, table.name)
        if version == table.version:
            return []
        return [version_problem(control, table.name, table.version, version)]

    def _grant_problems(self, schema: str, relation: str) -> list[str]:
        grants = information_schema.grants(self.session, schema, relation)
        granted = {"SELECT": grants.select, "INSERT": grants.insert, "DELETE": grants.delete}
        problems = [
            f"the user may not {privilege} on {schema}.{relation}: GRANT {privilege}"
            for privilege, is_granted in granted.items()
            if not is_granted
        ]
        if not grants.temporary:
            problems.append("the user may not create temporary tables: GRANT TEMP ON DATABASE")
        return problems


def loadable_columns(
    session: Session, warehouse: Warehouse, schema: str, table: str, outbound: Sequence[str]
) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
    """The table's columns of these names, in their order, and what is wrong with them."""
    relation = warehouse.fold(table)
    existing = {
        column.name: column for column in information_schema.columns(session, schema, relation)
    }
    if not existing:
        return (), [
            f"there is no table {schema}.{relation}: create it, or leave {table} out of the replay"
        ]
    names = [warehouse.fold(name) for name in outbound]
    problems = [
        f'{schema}.{relation} has no column "{name}", which Blueprint has: add it, or replay with '
        "the schema that the table was made by"
        for name in names
        if name not in existing
    ]
    found = tuple(existing[name] for name in names if name in existing)
    problems += [
        f"{schema}.{relation}: {text}" for text in warehouse.column_problems(session, found)
    ]
    return found, problems


def version_problem(control: str, table: str, replayed: int, version: int | None) -> str:
    """The sentence about a version that is not the one replayed."""
    has = "no version" if version is None else f"version {version}"
    return (
        f"{control}.{replay_log.VERSIONS} has {has} of {table}, the replay makes version "
        f"{replayed}: bring the table and its version up to date, or replay with the schemas "
        "of that version"
    )
