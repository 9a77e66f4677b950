"""Which tables a statement reads and writes.

Isolation and locks depend on it. System tables and temporary tables are left out: the former are
not locked in a transaction, and no other session sees the latter.
https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html

An unqualified name means a temporary table of the session, or a table in the schema ``public``. The
tables of a view are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp

from tests.support.redshift.sql import first_word

_SYSTEM_SCHEMAS = re.compile(r"pg_.*|information_schema|redshift_system")
_SYSTEM_TABLES = re.compile(r"(?:pg|stl|stv|svv|svl|svcs|sys)_.*")
_PARSED = frozenset(
    {"SELECT", "WITH", "INSERT", "DELETE", "UPDATE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE"}
)
_DIALECT = "redshift"
_INNERMOST_CALL = re.compile(r"\b\w+\((?!\s*SELECT\b)[^()]*\)", re.IGNORECASE)


@dataclass(frozen=True)
class TableAccess:
    """What a statement does with tables, by their qualified names in lower case.

    Attributes:
        reads: The tables that it reads. UPDATE and DELETE read their table too.
        appends: The tables that INSERT or COPY adds rows to.
        changes: The tables that UPDATE, DELETE or MERGE changes.
        locks: The tables that LOCK, ALTER, DROP or TRUNCATE locks against readers.
        creates: The tables that it creates.
        drops: The tables that it drops.
        temporary: The temporary tables that it creates.
        takes_snapshot: Whether it sees the transaction's snapshot of the database, which the first
            such statement takes.
    """

    reads: frozenset[str] = frozenset()
    appends: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    locks: frozenset[str] = frozenset()
    creates: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    temporary: frozenset[str] = frozenset()
    takes_snapshot: bool = True

    @property
    def writes(self) -> frozenset[str]:
        return self.appends | self.changes | self.drops | self.creates

    @property
    def existing(self) -> frozenset[str]:
        """The tables that must exist."""
        return self.reads | self.appends | self.changes | self.locks


NOTHING = TableAccess(takes_snapshot=False)


def copy_access(table: str, temporary: frozenset[str]) -> TableAccess:
    """Return what a COPY into ``table`` does."""
    name = exp.to_table(table, dialect=_DIALECT)
    return TableAccess(appends=_tracked([name], temporary))


def table_access(sql: str, temporary: frozenset[str]) -> TableAccess:
    """Return what a statement other than COPY does.

    Args:
        sql: The statement.
        temporary: The session's temporary tables.
    """
    word = first_word(sql)
    if word == "LOCK":
        names = re.sub(r"^LOCK\s+(?:TABLE\s+)?", "", sql, flags=re.IGNORECASE).split(",")
        tables = [exp.to_table(name.strip(), dialect=_DIALECT) for name in names]
        return TableAccess(locks=_tracked(tables, temporary), takes_snapshot=False)
    if word not in _PARSED:
        return NOTHING
    try:
        statement = _parsed(sql)
    except sqlglot.ParseError:
        return NOTHING  # PostgreSQL refuses it
    return _access(statement, temporary)


@lru_cache(maxsize=1000)
def _parsed(sql: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(sql, read=_DIALECT)
    except RecursionError:
        return sqlglot.parse_one(_without_calls(sql), read=_DIALECT)


def _without_calls(sql: str) -> str:
    """Replace function calls, which can be nested too deeply for the parser, by a number.

    Calls name no tables, except in a subquery, which is kept.
    """
    while (shorter := _INNERMOST_CALL.sub("1", sql)) != sql:
        sql = shorter
    return sql


def _access(statement: exp.Expr, temporary: frozenset[str]) -> TableAccess:
    tables = _tables(statement)
    if isinstance(statement, exp.Drop) and statement.args["kind"] == "TABLE":
        dropped = _tracked(tables, temporary)
        return TableAccess(locks=dropped, drops=dropped)
    if isinstance(statement, exp.Alter | exp.TruncateTable):
        return TableAccess(locks=_tracked(tables, temporary))
    if isinstance(statement, exp.Create):
        return _create(statement, tables, temporary)
    if isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        target = _tracked(tables[:1], temporary)
        sources = _tracked(tables[1:], temporary)
        if isinstance(statement, exp.Insert):
            return TableAccess(reads=sources, appends=target)
        return TableAccess(reads=sources | target, changes=target)
    return TableAccess(reads=_tracked(tables, temporary))


def _create(
    statement: exp.Create, tables: list[exp.Table], temporary: frozenset[str]
) -> TableAccess:
    if statement.args["kind"] != "TABLE":
        return TableAccess()
    created, sources = tables[0], _tracked(tables[1:], temporary)
    if statement.find(exp.TemporaryProperty):
        return TableAccess(reads=sources, temporary=frozenset({created.name.lower()}))
    return TableAccess(reads=sources, creates=_tracked([created], temporary))


def _tables(statement: exp.Expr) -> list[exp.Table]:
    """Return the tables in the statement, its target first, without its CTEs and functions."""
    ctes = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    named = [
        table
        for table in statement.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.lower() not in ctes)
    ]
    target = statement.this
    if isinstance(target, exp.Schema):
        target = target.this
    return sorted(named, key=lambda table: table is not target)


def _tracked(tables: Iterable[exp.Table], temporary: frozenset[str]) -> frozenset[str]:
    """Return the qualified names of the tables that other sessions see."""
    names = ((table.db.lower(), table.name.lower()) for table in tables)
    return frozenset(
        f"{schema or 'public'}.{name}"
        for schema, name in names
        if not _SYSTEM_SCHEMAS.fullmatch(schema)
        and (schema or not (name in temporary or _SYSTEM_TABLES.fullmatch(name)))
    )
