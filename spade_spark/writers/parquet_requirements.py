"""What writing Parquet needs, looked at before anything is begun. Imports no pyarrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import SettingsError, UsageError

_INSTALL = (
    "Parquet needs pyarrow: install it with pip install 'spade-spark[lake]' here and on every "
    "worker, or write TSV alone (--format tsv)"
)


def require_pyarrow() -> None:
    """Checks that pyarrow is there.

    Raises:
        SettingsError: It is not; says what to install.
    """
    if find_spec("pyarrow") is None:
        raise SettingsError(_INSTALL)


def require_parquet_columns(tables: Iterable[Table]) -> None:
    """Checks that all tables can be written as Parquet.

    Raises:
        UsageError: Some cannot; says which and why.
    """
    problems = [f"table {each.name} {problem}" for each in tables if (problem := _problem(each))]
    if problems:
        raise UsageError(
            f"{'; '.join(problems)}: Parquet cannot hold that. Mend it in Blueprint, leave the "
            "table out, or write TSV alone (--format tsv)"
        )


def _problem(table: Table) -> str:
    if not table.columns:
        return "has no columns"
    # Engines that read lakes do not tell upper from lower case.
    names = Counter(column.outbound.lower() for column in table.columns)
    twice = sorted(name for name, count in names.items() if count > 1)
    return f"has columns of the same name ({', '.join(twice)})" if twice else ""
