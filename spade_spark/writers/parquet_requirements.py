"""Checks before a run that it can write Parquet. This module does not import pyarrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import SettingsError, UsageError

_INSTALL = (
    "Parquet needs pyarrow: install it with pip install 'spade-spark[lake]' here and on every "
    "executor, or write only TSV (--format tsv)"
)


def require_pyarrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        SettingsError: It is not installed.
    """
    if find_spec("pyarrow") is None:
        raise SettingsError(_INSTALL)


def require_parquet_columns(tables: Iterable[Table]) -> None:
    """Check that all tables can be written as Parquet.

    Raises:
        UsageError: Some tables cannot; the message lists them.
    """
    problems = [f"table {t.name} {problem}" for t in tables if (problem := _problem(t))]
    if problems:
        raise UsageError(
            f"{'; '.join(problems)}: Parquet does not support this. Fix it in Blueprint, leave out "
            "the table, or write only TSV (--format tsv)"
        )


def _problem(table: Table) -> str:
    if not table.columns:
        return "has no columns"
    # Query engines treat column names as case-insensitive.
    names = Counter(column.outbound.lower() for column in table.columns)
    duplicates = sorted(name for name, count in names.items() if count > 1)
    return f"has columns with the same name ({', '.join(duplicates)})" if duplicates else ""
