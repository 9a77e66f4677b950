"""DuckDB, as somebody reads a lake with it."""

from __future__ import annotations

from typing import Any

import duckdb


def query(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns' types and the rows of a query."""
    with duckdb.connect() as connection:
        found = connection.sql(sql)
        assert found is not None
        return [str(each) for each in found.types], found.fetchall()
