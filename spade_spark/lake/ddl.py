"""DDL that updates Athena's or Redshift Spectrum's catalog after a publication.

Syntax: Amazon Athena User Guide, "CREATE TABLE" and "ALTER TABLE ADD PARTITION", "… SET LOCATION",
"… DROP PARTITION"; Amazon Redshift Database Developer Guide, "CREATE EXTERNAL TABLE" and "ALTER
TABLE (external tables)". All names and values are quoted.

A partition's location is the folder of one publication, so a reader that uses the catalog sees each
day as one publication left it.
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
    """A catalog of the lake's tables.

    Attributes:
        dialect: The SQL dialect.
        url: The lake's URL, ending in a slash.
        schema: The database or external schema of the tables; empty for the session's default.
    """

    dialect: Dialect
    url: str
    schema: str = ""

    def statements(
        self, before: Snapshot | None, after: Snapshot, days: Iterable[str]
    ) -> tuple[str, ...]:
        """Generate the statements that update the catalog from ``before`` to ``after``.

        Only the partitions of ``days`` are updated. Partition statements are idempotent.

        Raises:
            InputError: The catalog has no type for a column.
        """
        return tuple(self._statements(before, after, days))

    def late_columns(self, table: Snapshot) -> tuple[str, ...]:
        """Generate the statements that add the columns which the table did not have at first.

        Neither dialect has IF NOT EXISTS for columns, so the user must select the statements for
        the columns that the catalog lacks.
        """
        name = self._table(table.table)
        return tuple(self._add_column(name, column) for column in table.columns if column.since > 1)

    def _statements(
        self, before: Snapshot | None, after: Snapshot, days: Iterable[str]
    ) -> Iterator[str]:
        name, key = self._table(after.table), partition_column(after)
        known = {column.name for column in (before or after).columns}
        added = [column for column in after.columns if column.name not in known]
        # Redshift has no IF NOT EXISTS here, so this is generated only for a new table.
        if after.serial == 1 or (self.dialect == "athena" and not added):
            yield self._create(after, key)
        for column in added:
            yield self._add_column(name, column)
        for day in days:
            partition = f"PARTITION ({self._identifier(key)} = {self._literal(day)})"
            current = after.partitions.get(day)
            if current is None:
                continue
            location = self._literal(self.url + current.location)
            add = f"ALTER TABLE {name} ADD IF NOT EXISTS {partition} LOCATION {location}"
            if current.files:
                yield add
                if before and day in before.partitions:
                    yield f"ALTER TABLE {name} {partition} SET LOCATION {location}"
            elif self.dialect == "athena":
                yield f"ALTER TABLE {name} DROP IF EXISTS {partition}"
            else:
                # Redshift has no IF EXISTS here, so the partition is added first.
                yield from (add, f"ALTER TABLE {name} DROP {partition}")

    def _create(self, table: Snapshot, key: str) -> str:
        columns = ",\n".join(f"  {self._column_definition(column)}" for column in table.columns)
        location = self._literal(f"{self.url}{table_folder(table.table)}/")
        condition = "IF NOT EXISTS " if self.dialect == "athena" else ""
        return (
            f"CREATE EXTERNAL TABLE {condition}{self._table(table.table)} (\n{columns}\n)\n"
            f"PARTITIONED BY ({self._identifier(key)} date)\nSTORED AS PARQUET\nLOCATION {location}"
        )

    def _add_column(self, table: str, column: LakeColumn) -> str:
        definition = self._column_definition(column)
        clause = f"COLUMNS ({definition})" if self.dialect == "athena" else f"COLUMN {definition}"
        return f"ALTER TABLE {table} ADD {clause}"

    def _column_definition(self, column: LakeColumn) -> str:
        types = _TYPES[self.dialect]
        known = [type_.value for type_ in types]
        if column.type not in known:
            raise InputError(
                f"column {column.name} has the type {column.type}, which has no equivalent in "
                f"{self.dialect}; known types: {', '.join(known)}"
            )
        return f"{self._identifier(column.name)} {types[ArrowType(column.type)]}"

    def _table(self, table: str) -> str:
        parts = [self.schema, table] if self.schema else [table]
        return ".".join(self._identifier(part) for part in parts)

    def _identifier(self, name: str) -> str:
        quote = "`" if self.dialect == "athena" else '"'
        return quote + name.replace(quote, quote * 2) + quote

    def _literal(self, text: str) -> str:
        if self.dialect == "athena":
            escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        else:
            escaped = text.replace("'", "''")
        return f"'{escaped}'"


def partition_column(table: Snapshot) -> str:
    """The partition column: ``date``, with a prefix if the table has a column of that name."""
    names = {column.name.lower() for column in table.columns}
    name = DAY_COLUMN
    while name in names:
        name = f"partition_{name}"
    return name
