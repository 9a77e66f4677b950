"""Lock tables: one empty table for each target table, locked while the target is changed.

LOCK on Redshift is always ACCESS EXCLUSIVE, so readers of a locked table wait
(https://docs.aws.amazon.com/redshift/latest/dg/r_LOCK.html). Therefore a load locks neither the
target nor the replay log. It locks the target's lock table, which nothing else reads. Loads of
different tables do not wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.sql import Identifier, Sql, fit_name

PREFIX = "replay_lock_"


@dataclass(frozen=True)
class TableLock:
    """The lock table of one target table.

    Attributes:
        control: The schema of the control tables.
        name: The lock table's name.
    """

    control: str
    name: str

    def lock(self) -> Sql:
        """Return the statement that locks the table until the transaction ends."""
        return Sql("LOCK TABLE ", Identifier(self.control, self.name))

    def create(self) -> Sql:
        """Return the statement that creates the table if it does not exist."""
        return Sql(
            "CREATE TABLE IF NOT EXISTS ",
            Identifier(self.control, self.name),
            ' ("unused" INTEGER)',
        )


def table_lock(warehouse: Warehouse, control: str, table: str) -> TableLock:
    """Return the lock table of a target table, which has Blueprint's name ``table``."""
    name = warehouse.fold(PREFIX + table)
    return TableLock(control, fit_name(name, warehouse.max_name_bytes))
