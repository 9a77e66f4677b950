"""The schemas of the warehouse, and the rows of a table in a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import Distribution, WarehouseColumn
from spade_spark.warehouse.sql import Identifier, Literal, Sql
from spade_spark.warehouse.table_lock import TableLock, table_lock
from spade_spark.window import Window


@dataclass(frozen=True)
class WarehouseSchemas:
    """The schemas of the warehouse.

    Attributes:
        schema: The schema of the target tables.
        control: The schema of the control tables.
        time_column: The column that a window selects by.
        backup: The schema of new backups; empty if backups are disabled.
        backup_schema: The schema of existing backups, also if backups are disabled now.
    """

    schema: str
    control: str
    time_column: str
    backup: str = ""
    backup_schema: str = ""


def schemas_from_settings(settings: WarehouseSettings) -> WarehouseSchemas:
    """Return the schemas that the settings name."""
    return WarehouseSchemas(
        schema=settings.schema_name,
        control=settings.control,
        time_column=settings.time_column,
        backup=settings.backup_schema if settings.backup else "",
        backup_schema=settings.backup_schema,
    )


@dataclass(frozen=True)
class TargetRows:
    """The rows of one table in a window, and the run tag of their replacement.

    Attributes:
        warehouse: The warehouse.
        schemas: The schemas of its tables.
        table: The table's name, as in Blueprint.
        window: The window, both ends included.
        run_tag: The run tag for the replay log.
    """

    warehouse: Warehouse
    schemas: WarehouseSchemas
    table: str
    window: Window
    run_tag: str

    @property
    def relation(self) -> str:
        """The table's name in the warehouse."""
        return self.warehouse.fold(self.table)

    @property
    def target(self) -> Identifier:
        """The qualified name of the target table."""
        return Identifier(self.schemas.schema, self.relation)

    @property
    def log_key(self) -> replay_log.ReplayLogKey:
        """The key of the load in the replay log."""
        return replay_log.ReplayLogKey(self.schemas.control, self.run_tag, self.table)

    @property
    def lock(self) -> TableLock:
        """The table's lock table."""
        return table_lock(self.warehouse, self.schemas.control, self.table)

    def distribution(self, session: Session) -> Distribution | None:
        """Read how the table's rows are distributed; None if unknown."""
        tables = [self.relation]
        return self.warehouse.distributions(session, self.schemas.schema, tables).get(self.relation)

    def changes_rows(self, session: Session) -> bool:
        """Read whether the table may store other rows than are inserted."""
        tables = [self.relation]
        return bool(self.warehouse.tables_that_change_rows(session, self.schemas.schema, tables))

    def in_window(self) -> Sql:
        """Return the condition that a row is in the window, both ends included."""
        return Sql(
            Identifier(self.warehouse.fold(self.schemas.time_column)),
            " BETWEEN ",
            Literal(self.window.wall_start),
            " AND ",
            Literal(self.window.wall_end),
        )

    def count(self) -> Sql:
        """Return the query that counts the rows."""
        return Sql("SELECT COUNT(*) FROM ", self.target, " WHERE ", self.in_window())

    def delete(self) -> Sql:
        """Return the statement that deletes the rows."""
        return Sql("DELETE FROM ", self.target, " WHERE ", self.in_window())

    def fingerprint(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return the query for the number of rows and the sum of their hashes."""
        return self.fingerprint_of(Sql(self.target, " WHERE ", self.in_window()), columns)

    def fingerprint_of(self, source: Sql, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return the same query for the rows of another source."""
        return _sum_of_hashes(self.row_hash(columns), source)

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return an expression that hashes a row.

        Columns that the warehouse cannot hash are left out.
        """
        return self.warehouse.row_hash(self._hashed(columns))

    def earlier_fingerprints(self, columns: Sequence[WarehouseColumn]) -> tuple[Sql, ...]:
        """Return the queries that earlier versions of this program used for the fingerprint."""
        source = Sql(self.target, " WHERE ", self.in_window())
        hashes = self.warehouse.earlier_row_hashes(self._hashed(columns))
        return tuple(_sum_of_hashes(row_hash, source) for row_hash in hashes)

    def _hashed(self, columns: Sequence[WarehouseColumn]) -> list[WarehouseColumn]:
        return [column for column in columns if self.warehouse.can_hash(column)]


def read_fingerprint(session: Session, query: Sql) -> str:
    """Run a query for a fingerprint; return ``count:sum``, independent of the order of the rows.

    The sum adds up a 64-bit hash of each row. An accidental change almost always changes it.
    """
    ((count, total),) = session.rows(query)
    return fingerprint_text(count, total)


def fingerprint_text(count: int | None, total: Decimal | None) -> str:
    """Return the fingerprint ``count:sum``. Sums of no rows are None."""
    return f"{count or 0}:{int(total or 0)}"


def _sum_of_hashes(row_hash: Sql, source: Sql) -> Sql:
    return Sql("SELECT COUNT(*), SUM(", row_hash, ") FROM ", source)
