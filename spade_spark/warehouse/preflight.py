"""Check before the transform whether the load can succeed. Nothing is written."""

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
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.sql import Identifier, Literal, Sql
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window


@dataclass(frozen=True)
class TableStatus:
    """A table of the warehouse that passed the preflight.

    Attributes:
        table: The table's name, as in Blueprint.
        version: Its version, in Blueprint and in the warehouse.
        columns: The columns that the replay fills, in the order of the rows' values.
        all_columns: All columns of the table, in its order.
        hours: The current number of rows in the window, by hour of the wall clock.
    """

    table: str
    version: int
    columns: tuple[WarehouseColumn, ...]
    all_columns: tuple[WarehouseColumn, ...]
    hours: tuple[tuple[datetime, int], ...]

    @property
    def unfilled_columns(self) -> tuple[str, ...]:
        """Columns that Blueprint does not have; they get their default values."""
        filled = {column.name for column in self.columns}
        return tuple(column.name for column in self.all_columns if column.name not in filled)

    @property
    def rows(self) -> int:
        """The current number of rows in the window."""
        return sum(count for _, count in self.hours)


@dataclass(frozen=True)
class PreflightResult:
    """The result of the preflight.

    Attributes:
        tables: The tables that passed.
        problems: Messages that say what is wrong and how to fix it.
    """

    tables: tuple[TableStatus, ...]
    problems: tuple[str, ...]


def run_preflight(
    warehouse: Warehouse,
    tables: Sequence[Table],
    window: Window,
    settings: WarehouseSettings,
    *,
    output: str,
) -> PreflightResult:
    """Check tables, versions, privileges, the replay log, and whether ``output`` is readable.

    Raises:
        TransientError: All attempts failed: the warehouse does not answer, or there was a conflict.
    """

    def check(session: Session) -> PreflightResult:
        result = _PreflightChecker(
            session, warehouse, schemas_from_settings(settings), window
        ).check_tables(tables)
        problems = warehouse.storage_problems(session, output)
        return PreflightResult(result.tables, (*result.problems, *problems))

    return query_with_retries(warehouse.connection_info, check)


def require_preflight(
    warehouse: Warehouse,
    tables: Sequence[Table],
    window: Window,
    settings: WarehouseSettings,
    *,
    output: str,
) -> tuple[TableStatus, ...]:
    """Run the preflight and raise an error unless all checks pass.

    Raises:
        WarehouseError: All problems, one per line.
        TransientError: As in :func:`run_preflight`.
    """
    result = run_preflight(warehouse, tables, window, settings, output=output)
    if result.problems:
        lines = "\n".join(f"  {problem}" for problem in result.problems)
        raise WarehouseError(
            f"the replay cannot load into {warehouse.name} {warehouse.connection_info}; nothing "
            f"was started:\n{lines}"
        )
    return result.tables


@dataclass(frozen=True)
class _PreflightChecker:
    """Runs the checks in one session."""

    session: Session
    warehouse: Warehouse
    schemas: WarehouseSchemas
    window: Window

    def check_tables(self, tables: Sequence[Table]) -> PreflightResult:
        """Check schemas, control tables and ``tables``; stop if a schema is missing."""
        problems = self.schema_problems()
        if problems:
            return PreflightResult((), tuple(problems))
        problems += self.control_problems()
        problems += backup.schema_problems(self.session, self.warehouse, self.schemas)
        passed = []
        for table in tables:
            columns, table_problems = self.table_problems(table)
            problems += table_problems
            if not table_problems:
                passed.append(self.table_status(table, columns))
        return PreflightResult(tuple(passed), tuple(problems))

    def schema_problems(self) -> list[str]:
        """Find schemas that do not exist or that the user cannot use."""
        problems = []
        for setting, schema in (("schema", self.schemas.schema), ("control", self.schemas.control)):
            if not information_schema.schema_exists(self.session, schema):
                problems.append(
                    f"the schema {schema} does not exist: create it, or correct warehouse.{setting}"
                )
            elif not information_schema.has_schema_privilege(self.session, schema, "USAGE"):
                problems.append(
                    f"the warehouse user has no USAGE privilege on the schema {schema}: GRANT "
                    f"USAGE ON SCHEMA {Identifier(schema).sql()}"
                )
        return problems

    def control_problems(self) -> list[str]:
        """Check the control tables. A load can create the replay log, but not the versions."""
        control = self.schemas.control
        versions, log = (
            f"{control}.{name}" for name in (replay_log.VERSIONS_TABLE, replay_log.TABLE_NAME)
        )
        problems = []
        if not information_schema.columns(self.session, control, replay_log.VERSIONS_TABLE):
            problems.append(
                f"the table {versions}(name, version, ts), which holds the version of each table, "
                "does not exist: correct warehouse.control"
            )
        elif not information_schema.grants(self.session, control, replay_log.VERSIONS_TABLE).select:
            problems.append(_missing_privilege("SELECT", versions))
        existing = {
            column.name
            for column in information_schema.columns(self.session, control, replay_log.TABLE_NAME)
        }
        if existing:
            missing = [name for name in replay_log.COLUMNS if name not in existing]
            if missing and set(replay_log.ADDED_COLUMNS).issuperset(missing):
                statements = "; ".join(map(str, replay_log.add_columns(control)))
                problems.append(
                    f"an older version of spade-spark created {log}; to upgrade it, run: "
                    f"{statements}"
                )
            elif missing:
                problems.append(
                    f"{log} has no column {', '.join(missing)}, so it is not a replay log: correct "
                    "warehouse.control"
                )
            return problems + self._grant_problems(control, replay_log.TABLE_NAME)
        if not information_schema.has_schema_privilege(self.session, control, "CREATE"):
            problems.append(
                f"the table {log} does not exist, and the warehouse user cannot create it: GRANT "
                f"CREATE ON SCHEMA {Identifier(control).sql()}, or have an administrator run: "
                f"{replay_log.create(control)}"
            )
        return problems

    def table_problems(self, table: Table) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
        """Return the columns that the replay fills, and all problems of the table."""
        outbound = [column.outbound for column in table.columns]
        columns, problems = loadable_columns(
            self.session, self.warehouse, self.schemas.schema, table.name, outbound
        )
        if not columns:
            return columns, problems
        if self._time not in {column.name for column in columns}:
            problems.append(
                f'{table.name} has no column "{self.schemas.time_column}" that Blueprint fills, so '
                "its rows cannot be selected by time: correct warehouse.time_column, or leave "
                f"{table.name} out of the replay"
            )
        return columns, [
            *problems,
            *self._version_problems(table),
            *self._grant_problems(self.schemas.schema, self.warehouse.fold(table.name)),
        ]

    def table_status(self, table: Table, columns: tuple[WarehouseColumn, ...]) -> TableStatus:
        """Count the table's rows in the window by hour."""
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
        if not information_schema.columns(self.session, control, replay_log.VERSIONS_TABLE):
            return []  # reported once, for all tables
        version = replay_log.version(self.session, control, table.name)
        if version == table.version:
            return []
        return [version_problem(control, table.name, table.version, version)]

    def _grant_problems(self, schema: str, relation: str) -> list[str]:
        grants = information_schema.grants(self.session, schema, relation)
        granted = {"SELECT": grants.select, "INSERT": grants.insert, "DELETE": grants.delete}
        problems = [
            _missing_privilege(privilege, f"{schema}.{relation}")
            for privilege, is_granted in granted.items()
            if not is_granted
        ]
        if not grants.temporary:
            problems.append(
                "the warehouse user cannot create temporary tables: GRANT TEMP ON DATABASE"
            )
        return problems


def loadable_columns(
    session: Session, warehouse: Warehouse, schema: str, table: str, outbound: Sequence[str]
) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
    """Return the table's columns for ``outbound``, in that order, and what prevents a load."""
    relation = warehouse.fold(table)
    existing = {
        column.name: column for column in information_schema.columns(session, schema, relation)
    }
    if not existing:
        return (), [
            f"the table {schema}.{relation} does not exist: create it, or leave {table} out of the "
            "replay"
        ]
    names = [warehouse.fold(name) for name in outbound]
    problems = [
        f'{schema}.{relation} has no column "{name}", which Blueprint has: add the column, or '
        "replay with the schemas that the table was created from"
        for name in names
        if name not in existing
    ]
    columns = tuple(existing[name] for name in names if name in existing)
    problems += [
        f"{schema}.{relation}: {text}; change the type, or leave {table} out of the replay"
        for text in warehouse.column_problems(session, columns)
    ]
    return columns, problems


def _missing_privilege(privilege: str, table: str) -> str:
    """Return the message about a missing privilege on a table."""
    return f"the warehouse user has no {privilege} privilege on {table}: GRANT {privilege}"


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
