"""Queries of a lake with DuckDB, as a user runs them."""

from __future__ import annotations

from typing import Any

import duckdb


def query(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the column types and the rows of a query."""
    with duckdb.connect() as connection:
        result = connection.sql(sql)
        assert result is not None
        return [str(column_type) for column_type in result.types], result.fetchall()
