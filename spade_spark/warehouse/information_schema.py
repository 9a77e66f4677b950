"""Queries of the system catalog. Redshift and PostgreSQL share these catalog tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Literal, Sql, joined, literal_lists

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?((?: without time zone| with time zone)?)")
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? without time zone")
_CHARACTER = ("character varying", "character")


@dataclass(frozen=True)
class WarehouseColumn:
    """A column of a table.

    Attributes:
        name: The column's name in the catalog.
        type: Its type as ``format_type`` returns it, such as ``character varying(255)``.
        not_null: Whether it is NOT NULL.
    """

    name: str
    type: str
    not_null: bool

    @property
    def limit(self) -> int | None:
        """The maximum bytes of a character column; None for other types and without a limit."""
        match = _TYPE.fullmatch(self.type)
        if match is None or match[1] not in _CHARACTER or match[2] is None:
            return None
        return int(match[2])

    @property
    def is_text(self) -> bool:
        """Whether this is a character column, with or without a limit."""
        return self.type == "text" or self.type.startswith(_CHARACTER)

    @property
    def is_timestamp(self) -> bool:
        """Whether this is a timestamp without time zone, of any precision."""
        return _TIMESTAMP.fullmatch(self.type) is not None

    @property
    def is_fixed_width(self) -> bool:
        """Whether this is ``CHAR(n)``, which pads with blanks."""
        return self.type.startswith("character(") or self.type == "character"


@dataclass(frozen=True)
class TableStatistics:
    """What the catalog knows about the rows of a table.

    Attributes:
        rows: The estimated number of rows, on Redshift with those marked for deletion.
        deleted: The estimated number of rows marked for deletion; 0 if it is not known.
        stats_off: How stale the planner's statistics are, from 0 to 100; 0 if it is not known.
    """

    rows: int
    deleted: int = 0
    stats_off: float = 0


@dataclass(frozen=True)
class Distribution:
    """How Redshift distributes a table's rows over its slices.

    Attributes:
        style: ``EVEN``, ``KEY`` or ``ALL``.
        key: The distribution key; empty unless the style is KEY.
    """

    style: str
    key: str = ""


@dataclass(frozen=True)
class TableGrants:
    """The privileges of the session's user on a table."""

    select: bool
    insert: bool
    delete: bool


@dataclass(frozen=True)
class SchemaGrants:
    """The privileges of the session's user on a schema."""

    usage: bool
    create: bool


@dataclass(frozen=True)
class DatabaseGrants:
    """The privileges of the session's user in the database.

    Attributes:
        create: Create schemas.
        temporary: Create temporary tables.
    """

    create: bool
    temporary: bool


def columns(session: Session, schema: str, table: str) -> tuple[WarehouseColumn, ...]:
    """Return the table's columns in order; none if the table does not exist."""
    return columns_by_table(session, schema, [table]).get(table, ())


def columns_by_table(
    session: Session, schema: str, tables: Iterable[str]
) -> dict[str, tuple[WarehouseColumn, ...]]:
    """Return the columns, in order, of those of ``tables`` that exist."""
    found: dict[str, list[WarehouseColumn]] = {}
    for names in literal_lists(tables):
        statement = Sql(
            'SELECT "c"."relname", "a"."attname", '
            'format_type("a"."atttypid", "a"."atttypmod"), "a"."attnotnull" '
            'FROM "pg_attribute" "a" JOIN "pg_class" "c" ON "c"."oid" = "a"."attrelid" '
            'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
            """WHERE "c"."relkind" IN ('r', 'p') AND "n"."nspname" = """,
            Literal(schema),
            ' AND "c"."relname" IN ',
            names,
            ' AND "a"."attnum" > 0 AND NOT "a"."attisdropped" ORDER BY "c"."relname", "a"."attnum"',
        )
        for table, *column in session.rows(statement):
            found.setdefault(table, []).append(WarehouseColumn(*column))
    return {table: tuple(columns) for table, columns in found.items()}


def schema_exists(session: Session, schema: str) -> bool:
    """Whether the schema exists."""
    statement = Sql('SELECT 1 FROM "pg_namespace" WHERE "nspname" = ', Literal(schema))
    return bool(session.rows(statement))


def tables(session: Session, schema: str) -> frozenset[str]:
    """Return the names of all tables of a schema; none if the schema does not exist."""
    statement = Sql(
        'SELECT "c"."relname" FROM "pg_class" "c" '
        'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" WHERE "n"."nspname" = ',
        Literal(schema),
    )
    return frozenset(name for (name,) in session.rows(statement))


def database_grants(session: Session) -> DatabaseGrants:
    """Return the user's privileges in the database."""
    statement = Sql(
        "SELECT has_database_privilege(current_user, current_database(), 'CREATE'), "
        "has_database_privilege(current_user, current_database(), 'TEMP')"
    )
    return DatabaseGrants(*session.rows(statement)[0])


def grants_by_schema(session: Session, schemas: Iterable[str]) -> dict[str, SchemaGrants]:
    """Return the user's privileges on those of ``schemas`` that exist."""
    found: dict[str, SchemaGrants] = {}
    for names in literal_lists(schemas):
        statement = Sql(
            'SELECT "nspname", has_schema_privilege(current_user, "nspname", \'USAGE\'), '
            "has_schema_privilege(current_user, \"nspname\", 'CREATE') "
            'FROM "pg_namespace" WHERE "nspname" IN ',
            names,
        )
        found.update((name, SchemaGrants(*grants)) for name, *grants in session.rows(statement))
    return found


def grants_by_table(session: Session, schema: str, tables: Iterable[str]) -> dict[str, TableGrants]:
    """Return the user's privileges on those of ``tables`` that exist.

    https://docs.aws.amazon.com/redshift/latest/dg/r_HAS_TABLE_PRIVILEGE.html takes a table's name.
    The page says that it returns a string, but dbt uses the result as a Boolean:
    https://github.com/dbt-labs/dbt-redshift/blob/main/dbt/include/redshift/macros/adapters/apply_grants.sql
    """
    name = 'quote_ident("n"."nspname") || \'.\' || quote_ident("c"."relname")'
    found: dict[str, TableGrants] = {}
    for names in literal_lists(tables):
        statement = Sql(
            'SELECT "c"."relname", ',
            joined(
                Sql("has_table_privilege(current_user, ", name, ", ", Literal(privilege), ")")
                for privilege in ("SELECT", "INSERT", "DELETE")
            ),
            ' FROM "pg_class" "c" JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
            """WHERE "c"."relkind" IN ('r', 'p') AND "n"."nspname" = """,
            Literal(schema),
            ' AND "c"."relname" IN ',
            names,
        )
        found.update((table, TableGrants(*grants)) for table, *grants in session.rows(statement))
    return found
