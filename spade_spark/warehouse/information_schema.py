"""Queries of the system catalog. Redshift and PostgreSQL share these catalog tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Identifier, Literal, Sql

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?((?: without time zone| with time zone)?)")
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
    def is_fixed_width(self) -> bool:
        """Whether this is ``CHAR(n)``, which pads with blanks."""
        return self.type.startswith("character(") or self.type == "character"


@dataclass(frozen=True)
class Grants:
    """The privileges of the session's user.

    Attributes:
        select: SELECT on the table.
        insert: INSERT on the table.
        delete: DELETE on the table.
        temporary: Create temporary tables in the database.
    """

    select: bool
    insert: bool
    delete: bool
    temporary: bool


def columns(session: Session, schema: str, table: str) -> tuple[WarehouseColumn, ...]:
    """Return the table's columns in order; none if the table does not exist."""
    statement = Sql(
        'SELECT "a"."attname", format_type("a"."atttypid", "a"."atttypmod"), "a"."attnotnull" '
        'FROM "pg_attribute" "a" JOIN "pg_class" "c" ON "c"."oid" = "a"."attrelid" '
        'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
        """WHERE "c"."relkind" IN ('r', 'p') AND "n"."nspname" = """,
        Literal(schema),
        ' AND "c"."relname" = ',
        Literal(table),
        ' AND "a"."attnum" > 0 AND NOT "a"."attisdropped" ORDER BY "a"."attnum"',
    )
    return tuple(WarehouseColumn(*row) for row in session.rows(statement))


def schema_exists(session: Session, schema: str) -> bool:
    """Whether the schema exists."""
    statement = Sql('SELECT 1 FROM "pg_namespace" WHERE "nspname" = ', Literal(schema))
    return bool(session.rows(statement))


def can_create_schemas(session: Session) -> bool:
    """Whether the user may create schemas in the database."""
    statement = Sql("SELECT has_database_privilege(current_user, current_database(), 'CREATE')")
    return bool(session.rows(statement)[0][0])


def tables(session: Session, schema: str) -> frozenset[str]:
    """Return the names of all tables of a schema; none if the schema does not exist."""
    statement = Sql(
        'SELECT "c"."relname" FROM "pg_class" "c" '
        'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" WHERE "n"."nspname" = ',
        Literal(schema),
    )
    return frozenset(name for (name,) in session.rows(statement))


def has_schema_privilege(session: Session, schema: str, privilege: str) -> bool:
    """Whether the user has USAGE or CREATE on an existing schema."""
    statement = Sql(
        "SELECT has_schema_privilege(current_user, ",
        Literal(schema),
        ", ",
        Literal(privilege),
        ")",
    )
    return bool(session.rows(statement)[0][0])


def grants(session: Session, schema: str, table: str) -> Grants:
    """Return the user's privileges on an existing table."""
    name = Literal(Identifier(schema, table).sql())
    privileges = [
        Sql("has_table_privilege(current_user, ", name, ", ", Literal(privilege), ")")
        for privilege in ("SELECT", "INSERT", "DELETE")
    ]
    statement = Sql(
        "SELECT ",
        privileges[0],
        ", ",
        privileges[1],
        ", ",
        privileges[2],
        ", has_database_privilege(current_user, current_database(), 'TEMP')",
    )
    return Grants(*session.rows(statement)[0])
