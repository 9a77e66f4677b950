"""The statements that tell Athena's or Redshift Spectrum's catalog of a table in the lake.

Formats: Amazon Athena User Guide, "CREATE TABLE" and "ALTER TABLE ADD PARTITION", "… SET LOCATION",
"… DROP PARTITION"; Amazon Redshift Database Developer Guide, "CREATE EXTERNAL TABLE" and "ALTER
TABLE (external tables)". Names and values are quoted, never formatted in as they are.

A reader that follows the catalog sees each day as one publication left it: a partition's location
is that publication's own folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from spade_spark.errors import InputError
from spade_spark.lake.snapshot import LakeColumn, Snapshot
from spade_spark.runs.paths import table_folder
from spade_spark.transform.transformers.base import ArrowType
from spade_spark.writers.partition_paths import DAY_COLUMN

Dialect = Literal["athena", "spectrum"]

_TYPES: Final[dict[Dialect, dict[ArrowType, str]]] = {
    "athena": {
        ArrowType.INT32: "int",
        ArrowType.INT64: "bigint",
        ArrowType.DOUBLE: "double",
        ArrowType.BOOL: "boolean",
        ArrowType.TIMESTAMP: "timestamp",
        ArrowType.STRING: "string",
    },
    "spectrum": {
        ArrowType.INT32: "integer",
        ArrowType.INT64: "bigint",
        ArrowType.DOUBLE: "double precision",
        ArrowType.BOOL: "boolean",
        ArrowType.TIMESTAMP: "timestamp",
        ArrowType.STRING: "varchar(65535)",
    },
}


@dataclass(frozen=True)
class Catalog:
    """A catalog that a lake's tables are told of.

    Attributes:
        dialect: Whose statements.
        url: The lake's URL, ending in a slash.
        schema: The database, or external schema, of the tables; empty for the session's.
    """

    dialect: Dialect
    url: str
    schema: str = ""

    def statements(
        self, before: Snapshot | None, after: Snapshot, days: Iterable[str]
    ) -> tuple[str, ...]:
        """What brings the catalog from ``before`` to ``after``, as far as ``days`` go.

        Statements on partitions that were run before change nothing when they are run again.

        Raises:
            InputError: A column has a type that the catalog has no type for.
        """
        return tuple(self._statements(before, after, days))

    def late_columns(self, table: Snapshot) -> tuple[str, ...]:
        """What adds the columns that came after the table did, each to a catalog that lacks it.

        Neither catalog has an IF NOT EXISTS for a column, so that who knows must say whether it is
        lacking.
        """
        name = self._table(table.table)
        return tuple(self._add(name, column) for column in table.columns if column.since > 1)

    def _statements(
        self, before: Snapshot | None, after: Snapshot, days: Iterable[str]
    ) -> Iterator[str]:
        name, key = self._table(after.table), partition_column(after)
        known = {column.name for column in (before or after).columns}
        added = [column for column in after.columns if column.name not in known]
        # Redshift has no IF NOT EXISTS here: it is told once, when the table is new in the lake.
        if after.serial == 1 or (self.dialect == "athena" and not added):
            yield self._create(after, key)
        for column in added:
            yield self._add(name, column)
        for day in days:
            partition = f"PARTITION ({self._name(key)} = {self._text(day)})"
            there = after.partitions.get(day)
            if there is None:
                continue
            location = self._text(self.url + there.location)
            add = f"ALTER TABLE {name} ADD IF NOT EXISTS {partition} LOCATION {location}"
            if there.files:
                yield add
                if before and day in before.partitions:
                    yield f"ALTER TABLE {name} {partition} SET LOCATION {location}"
            elif self.dialect == "athena":
                yield f"ALTER TABLE {name} DROP IF EXISTS {partition}"
            else:
                # Redshift has no IF EXISTS here: what is dropped is there.
                yield from (add, f"ALTER TABLE {name} DROP {partition}")

    def _create(self, table: Snapshot, key: str) -> str:
        columns = ",\n".join(f"  {self._column(column)}" for column in table.columns)
        place = self._text(f"{self.url}{table_folder(table.table)}/")
        unless = "IF NOT EXISTS " if self.dialect == "athena" else ""
        return (
            f"CREATE EXTERNAL TABLE {unless}{self._table(table.table)} (\n{columns}\n)\n"
            f"PARTITIONED BY ({self._name(key)} date)\nSTORED AS PARQUET\nLOCATION {place}"
        )

    def _add(self, table: str, column: LakeColumn) -> str:
        added = self._column(column)
        words = f"COLUMNS ({added})" if self.dialect == "athena" else f"COLUMN {added}"
        return f"ALTER TABLE {table} ADD {words}"

    def _column(self, column: LakeColumn) -> str:
        types = _TYPES[self.dialect]
        if column.type not in {each.value for each in types}:
            raise InputError(
                f"column {column.name} has the type {column.type}, for which {self.dialect} has no "
                f"type here: known are {', '.join(each.value for each in types)}"
            )
        return f"{self._name(column.name)} {types[ArrowType(column.type)]}"

    def _table(self, table: str) -> str:
        parts = [self.schema, table] if self.schema else [table]
        return ".".join(self._name(part) for part in parts)

    def _name(self, name: str) -> str:
        quote = "`" if self.dialect == "athena" else '"'
        return quote + name.replace(quote, quote * 2) + quote

    def _text(self, text: str) -> str:
        if self.dialect == "athena":
            text = text.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + text.replace("'", "''") + "'" if self.dialect != "athena" else f"'{text}'"


def partition_column(table: Snapshot) -> str:
    """What the catalog calls the day: ``date``, unless the table has a column of that name."""
    names = {column.name.lower() for column in table.columns}
    name = DAY_COLUMN
    while name in names:
        name = f"partition_{name}"
    return name
