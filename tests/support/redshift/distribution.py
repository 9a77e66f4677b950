"""Distribution styles and keys, which PostgreSQL does not have: the catalog shows them as Redshift.

A comment on the table records them, because comments are part of the catalog: reading them never
conflicts with another transaction.
"""

from __future__ import annotations

import re

SYSTEM_TABLES = frozenset({"pg_class", "pg_attribute", "pg_class_info"})
"""Catalog tables with the columns of Redshift, for queries that need those columns."""

_COLUMNS = re.compile(r"\b(?:reldiststyle|releffectivediststyle|attisdistkey)\b", re.IGNORECASE)
_NAME = r"(\"(?:[^\"]|\"\")+\"|[a-z_]\w*)"
_STYLE = re.compile(r"\bDISTSTYLE\s+(AUTO|EVEN|ALL|KEY)\b", re.IGNORECASE)
_TABLE_KEY = re.compile(rf"\bDISTKEY\s*\(\s*{_NAME}\s*\)", re.IGNORECASE)
_COLUMN_KEY = re.compile(
    rf"[(,]\s*{_NAME}\s+(?:[^,()]|\([^()]*\))*?\bDISTKEY\b(?!\s*\()", re.IGNORECASE
)
_STYLES = {"EVEN": (0, 0), "KEY": (1, 1), "ALL": (8, 8), "AUTO": (9, 10)}
"""The values of RELDISTSTYLE and RELEFFECTIVEDISTSTYLE for a new table."""


def reads_distribution(sql: str) -> bool:
    """Whether a query reads a column that only Redshift's catalog has."""
    return bool(_COLUMNS.search(sql))


def description(style: int, current: int, key: str = "") -> str:
    """Return the text that records a distribution."""
    return f"distribution: {style} {current} {key}"


def created(sql: str) -> str:
    """Return the text that records the distribution in a CREATE TABLE; empty for the default."""
    key = _TABLE_KEY.search(sql) or _COLUMN_KEY.search(sql)
    style = _STYLE.search(sql)
    if not key and not style:
        return ""
    name = style[1].upper() if style else "KEY"
    return description(*_STYLES[name], key[1].strip('"').lower() if key else "")


SETUP = r"""
CREATE OR REPLACE FUNCTION redshift_system.distribution(oid, part integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT (regexp_match(obj_description($1, 'pg_class'), '^distribution: (\d+) (\d+) (.*)$'))[part]
$$;
CREATE OR REPLACE VIEW redshift_system.pg_class AS
SELECT oid, relname, relnamespace, relkind,
    COALESCE(redshift_system.distribution(oid, 1)::smallint, 9::smallint) AS reldiststyle
FROM pg_catalog.pg_class;
CREATE OR REPLACE VIEW redshift_system.pg_class_info AS
SELECT oid AS reloid, relname, relnamespace, relkind,
    COALESCE(redshift_system.distribution(oid, 2)::integer, 10) AS releffectivediststyle
FROM pg_catalog.pg_class;
CREATE OR REPLACE VIEW redshift_system.pg_attribute AS
SELECT attrelid, attname, attnum,
    COALESCE(attname = redshift_system.distribution(attrelid, 3), false) AS attisdistkey
FROM pg_catalog.pg_attribute;
"""
