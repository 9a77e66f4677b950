"""ANALYZE and VACUUM after a replacement: whether they are worth running, and ANALYZE itself.

Redshift and PostgreSQL do both in the background, when they find the time. Until then, the planner
works with old statistics, and queries read the deleted rows. So after a large change, the report
names the statements, and ``warehouse.analyze`` runs ANALYZE.

- https://docs.aws.amazon.com/redshift/latest/dg/t_Analyzing_tables.html
- https://docs.aws.amazon.com/redshift/latest/dg/t_Reclaiming_storage_space202.html
- https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from spade_spark.errors import SpadeError
from spade_spark.runs.load_results import TableLoaded, TableMaintenance, UndoSucceeded
from spade_spark.warehouse.concurrency import SessionPool, run_concurrently
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import TableStatistics
from spade_spark.warehouse.sql import Identifier, Sql
from spade_spark.warehouse.target_rows import WarehouseSchemas

MIN_CHANGED_ROWS = 100_000
"""Below this number of deleted and inserted rows, nothing is advised."""

ANALYZE_SHARE = 0.1
"""The share of changed rows from which ANALYZE is worth running.

It is the default of Redshift's ``analyze_threshold_percent``, below which ANALYZE does nothing, and
of PostgreSQL's ``autovacuum_analyze_scale_factor``.

- https://docs.aws.amazon.com/redshift/latest/dg/r_analyze_threshold_percent.html
- https://www.postgresql.org/docs/current/runtime-config-vacuum.html
"""


@dataclass(frozen=True)
class RowChanges:
    """The rows of one table that a command has changed."""

    deleted: int = 0
    inserted: int = 0

    @property
    def total(self) -> int:
        """The number of changed rows."""
        return self.deleted + self.inserted


def analyze(target: Identifier) -> Sql:
    """Return the statement that updates the planner's statistics of a table."""
    return Sql("ANALYZE ", target)


def maintain(
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    outcomes: Iterable[object],
    *,
    run_analyze: bool,
    poolsize: int = 4,
) -> tuple[TableMaintenance, ...]:
    """Run ANALYZE if requested, and advise what else is worth running.

    The tables are committed. A failure here is a warning in the result.

    Args:
        warehouse: The warehouse.
        schemas: The schemas of its tables.
        outcomes: The outcomes of loads and undos.
        run_analyze: Whether to run ANALYZE for each changed table.
        poolsize: Number of tables to analyze in parallel.

    Returns:
        The tables that were analyzed or need maintenance.
    """
    changes = _changes_by_table(outcomes)
    if not changes:
        return ()
    statistics = _statistics(warehouse, schemas, changes)
    failures = _analyze_all(warehouse, schemas, changes, poolsize) if run_analyze else {}
    results = [
        _result(
            warehouse,
            schemas,
            table,
            changes=changed,
            statistics=statistics.get(table),
            failure=failures.get(table),
        )
        for table, changed in changes.items()
    ]
    return tuple(result for result in results if result.advised or run_analyze)


def is_analyze_due(changes: RowChanges, statistics: TableStatistics | None) -> bool:
    """Whether ANALYZE is worth running after these changes."""
    if changes.total < MIN_CHANGED_ROWS:
        return False
    if statistics is None:
        return True
    stale = statistics.stats_off >= 100 * ANALYZE_SHARE
    return stale or changes.total >= ANALYZE_SHARE * statistics.rows


def is_vacuum_due(
    changes: RowChanges, statistics: TableStatistics | None, vacuum_share: float
) -> bool:
    """Whether the space of deleted rows is worth reclaiming after these changes."""
    if changes.deleted < MIN_CHANGED_ROWS:
        return False
    if statistics is None:
        return True
    return max(changes.deleted, statistics.deleted) >= vacuum_share * statistics.rows


def _changes_by_table(outcomes: Iterable[object]) -> dict[str, RowChanges]:
    changes: dict[str, RowChanges] = {}
    for outcome in outcomes:
        if isinstance(outcome, TableLoaded | UndoSucceeded):
            before = changes.get(outcome.table, RowChanges())
            changes[outcome.table] = RowChanges(
                before.deleted + outcome.deleted, before.inserted + outcome.inserted
            )
    return changes


def _statistics(
    warehouse: Warehouse, schemas: WarehouseSchemas, tables: Mapping[str, RowChanges]
) -> dict[str, TableStatistics]:
    """Read the statistics of all tables at once; none if the user cannot read them."""
    if all(changes.total < MIN_CHANGED_ROWS for changes in tables.values()):
        return {}
    relations = {warehouse.fold(table): table for table in tables}
    try:
        with Session(warehouse.connection_info) as session:
            found = warehouse.statistics(session, schemas.schema, relations)
    except SpadeError:
        return {}
    return {relations[relation]: statistics for relation, statistics in found.items()}


def _analyze_all(
    warehouse: Warehouse, schemas: WarehouseSchemas, tables: Iterable[str], poolsize: int
) -> dict[str, str]:
    """Run ANALYZE for tables; return the error of each table, empty if there is none."""
    sessions = SessionPool(warehouse.connection_info)
    tasks = {
        table: partial(_analyze, sessions, _target(warehouse, schemas, table)) for table in tables
    }
    return dict(zip(tasks, run_concurrently([*tasks.values()], sessions, poolsize), strict=True))


def _analyze(sessions: SessionPool, target: Identifier) -> str:
    """Run ANALYZE outside a transaction; return the error, empty if there is none."""
    try:
        session = sessions.open()
        try:
            session.run(analyze(target))
            # Without the privilege, PostgreSQL skips the table with a warning.
            return "; ".join(session.warnings)
        finally:
            sessions.close(session)
    except SpadeError as error:
        return str(error)


def _result(
    warehouse: Warehouse,
    schemas: WarehouseSchemas,
    table: str,
    *,
    changes: RowChanges,
    statistics: TableStatistics | None,
    failure: str | None,
) -> TableMaintenance:
    """Return the result of one table; ``failure`` is that of ANALYZE, None if it was not run."""
    target, analyzed = _target(warehouse, schemas, table), failure == ""
    advised = []
    if not analyzed and is_analyze_due(changes, statistics):
        advised.append(str(analyze(target)))
    if is_vacuum_due(changes, statistics, warehouse.vacuum_share):
        advised.append(str(warehouse.vacuum(target)))
    size = f", of {statistics.rows:,} rows" if statistics else "; the table's size is not known"
    return TableMaintenance(
        table=table,
        reason=f"{changes.deleted:,} rows deleted and {changes.inserted:,} inserted{size}",
        advised=tuple(advised),
        analyzed=analyzed,
        warning=failure or "",
    )


def _target(warehouse: Warehouse, schemas: WarehouseSchemas, table: str) -> Identifier:
    return Identifier(schemas.schema, warehouse.fold(table))
