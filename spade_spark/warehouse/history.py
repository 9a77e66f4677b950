"""What the replay ledger in the warehouse says of all runs; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from spade_spark.warehouse import ledger
from spade_spark.warehouse.connection import Session, WarehouseRefusal
from spade_spark.warehouse.statements import Identifier, Statement

_NOT_THERE = ("42P01", "3F000")  # SQLSTATE: undefined table, undefined schema


@dataclass(frozen=True)
class LedgerRow:
    """One table's window that was replaced.

    Attributes:
        run_tag: The run that was loaded.
        table: The table's name, as in Blueprint.
        start: START as the time column holds it.
        end: END as the time column holds it.
        deleted: Rows deleted.
        inserted: Rows inserted.
        at: When, UTC.
    """

    run_tag: str
    table: str
    start: datetime
    end: datetime
    deleted: int
    inserted: int
    at: datetime


def ledger_rows(session: Session, control: str) -> tuple[LedgerRow, ...]:
    """All rows of the replay ledger, the oldest first; none where no replay was ever loaded.

    Args:
        session: Where to look.
        control: The schema of the control tables.
    """
    statement = Statement(
        "SELECT run_tag, table_name, window_start, window_end, rows_deleted, rows_inserted, ts "
        "FROM ",
        Identifier(control, ledger.NAME),
        " ORDER BY ts",
    )
    try:
        rows = session.rows(statement)
    except WarehouseRefusal as refusal:
        if refusal.sqlstate in _NOT_THERE:
            return ()
        raise
    return tuple(
        LedgerRow(tag, table, start, end, deleted, inserted, ts.replace(tzinfo=timezone.utc))
        for tag, table, start, end, deleted, inserted, ts in rows
    )
