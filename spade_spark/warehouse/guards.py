"""What a load or an undo may do, and where it stops with nothing changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spade_spark.errors import GuardError
from spade_spark.warehouse import information_schema
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.target_rows import TargetRows


@dataclass(frozen=True)
class LoadGuards:
    """What a load may do.

    Attributes:
        allow_empty: Whether a window may be left without rows.
        min_rows_ratio: New rows to old rows in the window, below which the load stops.
        max_truncated: How many values may be cut to their column; None: any number.
        force: Whether a run tag that the ledger has may be loaded again.
        skip_quiet: Whether no new rows are right where there are no old ones either.
    """

    allow_empty: bool = False
    min_rows_ratio: float = 0.5
    max_truncated: int | None = None
    force: bool = False
    skip_quiet: bool = False


def guard_rows(
    rows: TargetRows, before: int, after: int, rules: LoadGuards, *, kind: str, aside: str = ""
) -> None:
    """Stops where the rows that come are none, or too few for those that go.

    Args:
        rows: What is to be replaced.
        before: Rows that go.
        after: Rows that come.
        rules: What is allowed.
        kind: What those that come are called.
        aside: What is added about them where there are none.

    Raises:
        GuardError: They are; nothing was changed.
    """
    where = f"{rows.table} was left as it was: in the window {rows.window}"
    if after == 0 and not rules.allow_empty:
        raise GuardError(
            f"{where} there are no {kind}{aside} to replace {before} old ones; if that is right, "
            "use --allow-empty"
        )
    if 0 < after < before * rules.min_rows_ratio:
        share = math.floor(1000 * after / before) / 1000
        raise GuardError(
            f"{where} there are {after} {kind} to replace {before} old ones, less "
            f"than {rules.min_rows_ratio:g} of them; if that is right, use --min-rows-ratio with "
            f"at most {share:g}"
        )


def fingerprint(
    session: Session, rows: TargetRows, columns: Sequence[WarehouseColumn] | None = None
) -> str:
    """``count:sum`` of the window's rows now, whatever their order.

    The sum is of a 64-bit hash a row. A change that leaves the sum as it was is not expected in
    2^64 of them, unless somebody makes one on purpose.

    Args:
        session: Where to look.
        rows: The rows.
        columns: The columns that are looked at; all that the table has, if left out.
    """
    if columns is None:
        columns = information_schema.columns(session, rows.schemas.schema, rows.relation)
    ((count, total),) = session.rows(rows.fingerprint(columns))
    return f"{count}:{int(total or 0)}"
