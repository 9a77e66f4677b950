"""What tells whether a window's rows are still those that a load left there."""

from __future__ import annotations

from collections.abc import Sequence

from spade_spark.warehouse import information_schema
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.target_rows import TargetRows


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
        columns = information_schema.columns(session, rows.place.schema, rows.relation)
    ((count, total),) = session.rows(rows.fingerprint(columns))
    return f"{count}:{int(total or 0)}"
