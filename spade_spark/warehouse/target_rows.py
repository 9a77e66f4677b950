"""Where tables stand, and the rows of one table that a load or an undo is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.sql import Identifier, Literal, Sql
from spade_spark.window import Window


@dataclass(frozen=True)
class WarehouseSchemas:
    """Where tables stand.

    Attributes:
        schema: The schema of the tables.
        control: The schema of the control tables.
        time_column: The column that a window is about.
        backup: The schema where rows are kept before they go; empty where none are kept.
    """

    schema: str
    control: str
    time_column: str
    backup: str = ""


def schemas_from_settings(settings: WarehouseSettings) -> WarehouseSchemas:
    """Where the settings say that tables stand."""
    backup = settings.backup_schema if settings.backup else ""
    return WarehouseSchemas(settings.schema_name, settings.control, settings.time_column, backup)


@dataclass(frozen=True)
class TargetRows:
    """The rows of one table in one window, which go under a run tag.

    Attributes:
        warehouse: The warehouse.
        schemas: Where the table stands.
        table: The table's name, as in Blueprint.
        window: The window, both ends inside.
        run_tag: Under which name the ledger tells of it.
    """

    warehouse: Warehouse
    schemas: WarehouseSchemas
    table: str
    window: Window
    run_tag: str

    @property
    def relation(self) -> str:
        """The table's name, as in the warehouse."""
        return self.warehouse.fold(self.table)

    @property
    def target(self) -> Identifier:
        """The table that is changed."""
        return Identifier(self.schemas.schema, self.relation)

    @property
    def log_key(self) -> replay_log.ReplayLogKey:
        """Its rows in the replay ledger."""
        return replay_log.ReplayLogKey(self.schemas.control, self.run_tag, self.table)

    def in_window(self) -> Sql:
        """The condition that a row is in the window, both ends inside."""
        return Sql(
            Identifier(self.warehouse.fold(self.schemas.time_column)),
            " BETWEEN ",
            Literal(self.window.wall_start),
            " AND ",
            Literal(self.window.wall_end),
        )

    def count(self) -> Sql:
        """The table's rows in the window."""
        return Sql("SELECT COUNT(*) FROM ", self.target, " WHERE ", self.in_window())

    def delete(self) -> Sql:
        """Deletes the window's rows."""
        return Sql("DELETE FROM ", self.target, " WHERE ", self.in_window())

    def fingerprint(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """The window's rows: how many, and a sum that does not depend on their order."""
        return Sql(
            "SELECT COUNT(*), SUM(",
            self.warehouse.row_hash(columns),
            ") FROM ",
            self.target,
            " WHERE ",
            self.in_window(),
        )
