"""What the warehouse's catalog says of a table. Redshift and PostgreSQL share these tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Identifier, Literal, Sql

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?((?: without time zone| with time zone)?)")
_CHARACTER = ("character varying", "character")


@dataclass(frozen=True)
class WarehouseColumn:
    """A column as the warehouse has it.

    Attributes:
        name: The column's name, as in the catalog.
        type: Its type as ``format_type`` spells it, such as ``character varying(255)``.
        not_null: Whether it refuses NULL.
    """

    name: str
    type: str
    not_null: bool

    @property
    def limit(self) -> int | None:
        """The bytes that a character column holds; None for other types and without a limit."""
        match = _TYPE.fullmatch(self.type)
        if match is None or match[1] not in _CHARACTER or match[2] is None:
            return None
        return int(match[2])

    @property
    def is_text(self) -> bool:
        """Whether it is a character column, with or without a limit."""
        return self.type == "text" or self.type.startswith(_CHARACTER)

    @property
    def is_fixed_width(self) -> bool:
        """Whether it is ``CHAR(n)``, which pads with blanks."""
        return self.type.startswith("character(") or self.type == "character"


@dataclass(frozen=True)
class Grants:
    """What the session may do.

    Attributes:
        select: Read the table.
        insert: Insert into it.
        delete: Delete from it.
        temporary: Create temporary tables in the database.
    """

    select: bool
    insert: bool
    delete: bool
    temporary: bool


def columns(session: Session, schema: str, table: str) -> tuple[WarehouseColumn, ...]:
    """The table's columns in their order; none where there is no such table."""
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
    """Whether the schema is there."""
    statement = Sql('SELECT 1 FROM "pg_namespace" WHERE "nspname" = ', Literal(schema))
    return bool(session.rows(statement))


def can_create_schemas(session: Session) -> bool:
    """Whether the session may create schemas in its database."""
    statement = Sql("SELECT has_database_privilege(current_user, current_database(), 'CREATE')")
    return bool(session.rows(statement)[0][0])


def tables(session: Session, schema: str) -> frozenset[str]:
    """The names of all tables of a schema; none where there is no such schema."""
    statement = Sql(
        'SELECT "c"."relname" FROM "pg_class" "c" '
        'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" WHERE "n"."nspname" = ',
        Literal(schema),
    )
    return frozenset(name for (name,) in session.rows(statement))


def has_schema_privilege(session: Session, schema: str, privilege: str) -> bool:
    """Whether the session has USAGE or CREATE on a schema that is there."""
    statement = Sql(
        "SELECT has_schema_privilege(current_user, ",
        Literal(schema),
        ", ",
        Literal(privilege),
        ")",
    )
    return bool(session.rows(statement)[0][0])


def grants(session: Session, schema: str, table: str) -> Grants:
    """What the session may do with a table that is there."""
    name = Literal(Identifier(schema, table).sql())
    asked = [
        Sql("has_table_privilege(current_user, ", name, ", ", Literal(privilege), ")")
        for privilege in ("SELECT", "INSERT", "DELETE")
    ]
    statement = Sql(
        "SELECT ",
        asked[0],
        ", ",
        asked[1],
        ", ",
        asked[2],
        ", has_database_privilege(current_user, current_database(), 'TEMP')",
    )
    return Grants(*session.rows(statement)[0])
