"""Check before the transform whether the load can succeed. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain

from spade_spark.blueprint.schema import Table
from spade_spark.errors import WarehouseError
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.concurrency import SessionPool, run_concurrently
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import (
    Distribution,
    SchemaGrants,
    TableGrants,
    WarehouseColumn,
)
from spade_spark.warehouse.privileges import Privileges, problems_and_warnings
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.sql import Identifier, Literal, Sql
from spade_spark.warehouse.table_lock import TableLock, table_lock
from spade_spark.warehouse.table_requirements import match_columns, version_problem
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window

_COUNTING_SESSIONS = 4
_Hours = tuple[tuple[datetime, int], ...]


@dataclass(frozen=True)
class TableStatus:
    """A table of the warehouse that passed the preflight.

    Attributes:
        table: The table's name, as in Blueprint.
        version: Its version, in Blueprint and in the warehouse.
        columns: The columns that the replay fills, in the order of the rows' values.
        all_columns: All columns of the table, in its order.
        hours: The current number of rows in the window, by hour of the wall clock.
        distribution: How the table's rows are distributed, if known.
        changes_rows: Whether the table may store other rows than are inserted.
        unhashed_columns: The columns that the fingerprint leaves out.
    """

    table: str
    version: int
    columns: tuple[WarehouseColumn, ...]
    all_columns: tuple[WarehouseColumn, ...]
    hours: _Hours
    distribution: Distribution | None = None
    changes_rows: bool = False
    unhashed_columns: tuple[WarehouseColumn, ...] = ()

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
        warnings: Privileges that seem to be missing, but may be granted by a role.
    """

    tables: tuple[TableStatus, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()


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
        checker = _PreflightChecker(
            warehouse, schemas_from_settings(settings), window, settings.check_privileges
        )
        result = checker.check_tables(session, tables)
        problems = warehouse.storage_problems(session, output)
        return replace(result, problems=(*result.problems, *problems))

    return query_with_retries(warehouse.connection_info, check)


def require_preflight(
    warehouse: Warehouse,
    tables: Sequence[Table],
    window: Window,
    settings: WarehouseSettings,
    *,
    output: str,
) -> PreflightResult:
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
    return result


@dataclass(frozen=True)
class _Catalog:
    """What the warehouse's catalog says about the requested tables, read for all at once.

    Attributes:
        columns: The columns of each existing table, by its name in the warehouse.
        distributions: How the rows of each table are distributed, where known, likewise.
        changing: The tables that may store other rows than are inserted.
        control_columns: The columns of each existing control table.
        privileges: The user's privileges.
    """

    columns: Mapping[str, tuple[WarehouseColumn, ...]]
    distributions: Mapping[str, Distribution]
    changing: frozenset[str]
    control_columns: Mapping[str, tuple[WarehouseColumn, ...]]
    privileges: Privileges


@dataclass(frozen=True)
class _PreflightChecker:
    """Checks tables. Only the rows of each table are counted by a query of their own."""

    warehouse: Warehouse
    schemas: WarehouseSchemas
    window: Window
    check_privileges: bool

    def check_tables(self, session: Session, tables: Sequence[Table]) -> PreflightResult:
        """Check schemas, control tables and ``tables``; stop if a schema is missing."""
        names = {self.schemas.schema, self.schemas.control, self._backup_schema} - {""}
        schema_grants = information_schema.grants_by_schema(session, names)
        problems = self.schema_problems(schema_grants)
        if problems:
            return PreflightResult((), tuple(problems))
        locks = [table_lock(self.warehouse, self.schemas.control, table.name) for table in tables]
        catalog = self.read_catalog(session, schema_grants, tables, locks)
        relations = [self.warehouse.fold(table.name) for table in tables]
        missing = catalog.privileges.missing(self.schemas, relations, locks, self._backup_schema)
        denied, warnings = problems_and_warnings(
            session, self.warehouse, missing, check_privileges=self.check_privileges
        )
        problems += self.control_problems(catalog)
        problems += self.name_problems(tables)
        problems += denied
        versions, version_problems = self.read_versions(
            session, catalog, tables, try_anyway=bool(warnings)
        )
        problems += version_problems
        passed = []
        for table in tables:
            columns, table_problems = self.table_problems(catalog, table, versions)
            problems += table_problems
            relation = self.warehouse.fold(table.name)
            grants = catalog.privileges.tables.get(relation)
            if not table_problems and (warnings or (grants and grants.select)):
                passed.append((table, columns))
        statuses, count_problems = self.statuses(catalog, passed)
        problems += count_problems
        return PreflightResult(tuple(statuses), tuple(problems), tuple(warnings))

    def read_catalog(
        self,
        session: Session,
        schema_grants: Mapping[str, SchemaGrants],
        tables: Sequence[Table],
        locks: Sequence[TableLock],
    ) -> _Catalog:
        """Read the catalog with a fixed number of queries, however many tables there are."""
        schema, control = self.schemas.schema, self.schemas.control
        control_tables = (replay_log.VERSIONS_TABLE, replay_log.TABLE_NAME)
        lock_tables = [lock.name for lock in locks]
        relations = [self.warehouse.fold(table.name) for table in tables]
        return _Catalog(
            columns=information_schema.columns_by_table(session, schema, relations),
            distributions=self.warehouse.distributions(session, schema, relations),
            changing=self.warehouse.tables_that_change_rows(session, schema, relations),
            control_columns=information_schema.columns_by_table(session, control, control_tables),
            privileges=Privileges(
                schemas=schema_grants,
                database=information_schema.database_grants(session),
                tables=_table_grants(session, schema, schema_grants, relations),
                control=_table_grants(
                    session, control, schema_grants, (*control_tables, *lock_tables)
                ),
            ),
        )

    def read_versions(
        self, session: Session, catalog: _Catalog, tables: Sequence[Table], *, try_anyway: bool
    ) -> tuple[Mapping[str, int] | None, list[str]]:
        """Read the version of each table, by its name in Blueprint.

        Args:
            session: The session to use.
            catalog: The catalog.
            tables: The tables.
            try_anyway: Whether to try it without the privilege.

        Returns:
            The versions, None if they cannot be read; and what prevents that, if it is not one of
            the other problems.
        """
        control = self.schemas.control
        exists = replay_log.VERSIONS_TABLE in catalog.control_columns
        grants = catalog.privileges.control.get(replay_log.VERSIONS_TABLE)
        if not exists or not (try_anyway or (grants and grants.select)):
            return None, []
        try:
            names = [table.name for table in tables]
            return replay_log.versions(session, control, names), []
        except StatementError as error:
            return None, [f"{control}.{replay_log.VERSIONS_TABLE} cannot be read: {error}"]

    def schema_problems(self, grants: Mapping[str, SchemaGrants]) -> list[str]:
        """Find schemas that do not exist."""
        return [
            f"the schema {schema} does not exist: create it, or correct warehouse.{setting}"
            for setting, schema in (
                ("schema", self.schemas.schema),
                ("control", self.schemas.control),
            )
            if schema not in grants
        ]

    def name_problems(self, tables: Sequence[Table]) -> list[str]:
        """Find tables that have one name in the warehouse: each would replace the other's rows."""
        by_relation: dict[str, list[str]] = {}
        for table in tables:
            by_relation.setdefault(self.warehouse.fold(table.name), []).append(table.name)
        return [
            f"{' and '.join(names)} are one table in {self.warehouse.name}, "
            f"{self.schemas.schema}.{relation}, which does not distinguish upper and lower case: "
            "leave all but one out of the replay"
            for relation, names in by_relation.items()
            if len(names) > 1
        ]

    def control_problems(self, catalog: _Catalog) -> list[str]:
        """Check the control tables. A load can create the replay log, but not the versions."""
        control = self.schemas.control
        problems = []
        if replay_log.VERSIONS_TABLE not in catalog.control_columns:
            problems.append(
                f"the table {control}.{replay_log.VERSIONS_TABLE}(name, version, ts), which holds "
                "the version of each table, does not exist: create it, or correct "
                "warehouse.control"
            )
        if replay_log.TABLE_NAME in catalog.control_columns:
            names = [column.name for column in catalog.control_columns[replay_log.TABLE_NAME]]
            problems += replay_log.column_problems(control, names)
        return problems

    def table_problems(
        self, catalog: _Catalog, table: Table, versions: Mapping[str, int] | None
    ) -> tuple[tuple[WarehouseColumn, ...], list[str]]:
        """Return the columns that the replay fills, and all problems of the table."""
        relation = self.warehouse.fold(table.name)
        outbound = [column.outbound for column in table.columns]
        existing = catalog.columns.get(relation, ())
        columns, problems = match_columns(
            self.warehouse, self.schemas, table.name, existing, outbound
        )
        if existing and versions is not None:
            problems += self._version_problems(versions, table)
        return columns, problems

    def statuses(
        self, catalog: _Catalog, passed: Sequence[tuple[Table, tuple[WarehouseColumn, ...]]]
    ) -> tuple[list[TableStatus], list[str]]:
        """Count the rows of tables; return their status, and the problems of this."""
        statuses, problems = [], []
        counted = self.count_rows([table for table, _ in passed])
        for table, columns in passed:
            hours = counted[table.name]
            if isinstance(hours, StatementError):
                problems.append(f"the rows of {table.name} cannot be counted: {hours}")
            else:
                statuses.append(self._status(catalog, table, columns, hours))
        return statuses, problems

    def _status(
        self, catalog: _Catalog, table: Table, columns: tuple[WarehouseColumn, ...], hours: _Hours
    ) -> TableStatus:
        relation = self.warehouse.fold(table.name)
        all_columns = catalog.columns[relation]
        unhashed = [column for column in all_columns if not self.warehouse.can_hash(column)]
        return TableStatus(
            table=table.name,
            version=table.version,
            columns=columns,
            all_columns=all_columns,
            hours=hours,
            distribution=catalog.distributions.get(relation),
            changes_rows=relation in catalog.changing,
            unhashed_columns=tuple(unhashed),
        )

    def count_rows(self, tables: Sequence[Table]) -> dict[str, _Hours | StatementError]:
        """Count the rows of each table in the window by hour, on a few sessions.

        Returns:
            The numbers of each table, by its name in Blueprint; or the error of the query.

        Raises:
            KeyboardInterrupt: An interrupt, raised after the counting queries were cancelled.
        """
        sessions = SessionPool(self.warehouse.connection_info)
        count = min(_COUNTING_SESSIONS, len(tables))
        tasks = [
            partial(self._count_on_one_session, sessions, tables[number::count])
            for number in range(count)
        ]
        return dict(chain.from_iterable(run_concurrently(tasks, sessions, count)))

    def _count_on_one_session(
        self, sessions: SessionPool, tables: Sequence[Table]
    ) -> list[tuple[str, _Hours | StatementError]]:
        session = sessions.open()
        try:
            return [(table.name, self._hours(session, table)) for table in tables]
        finally:
            sessions.close(session)

    def _hours(self, session: Session, table: Table) -> _Hours | StatementError:
        time = Identifier(self.warehouse.fold(self.schemas.time_column))
        statement = Sql(
            "SELECT DATE_TRUNC('hour', ",
            time,
            "), COUNT(*) FROM ",
            Identifier(self.schemas.schema, self.warehouse.fold(table.name)),
            " WHERE ",
            time,
            " BETWEEN ",
            Literal(self.window.wall_start),
            " AND ",
            Literal(self.window.wall_end),
            " GROUP BY 1 ORDER BY 1",
        )
        try:
            rows = session.rows(statement)
        except StatementError as error:
            return error
        return tuple((hour, int(count)) for hour, count in rows)

    @property
    def _backup_schema(self) -> str:
        return self.warehouse.fold(self.schemas.backup)

    def _version_problems(self, versions: Mapping[str, int], table: Table) -> list[str]:
        version = versions.get(table.name)
        if version == table.version:
            return []
        return [version_problem(self.schemas.control, table.name, table.version, version)]


def _table_grants(
    session: Session,
    schema: str,
    schema_grants: Mapping[str, SchemaGrants],
    tables: Iterable[str],
) -> Mapping[str, TableGrants]:
    """Return the privileges on tables; none without USAGE, since HAS_TABLE_PRIVILEGE then fails."""
    if not schema_grants[schema].usage:
        return {}
    return information_schema.grants_by_table(session, schema, tables)
