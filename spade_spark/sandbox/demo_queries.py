"""What the demo looks at in the warehouse: rows that show a mistake, and how many are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers
from spade_spark.window import Window

_SHOWN_ROWS = 3
_LEDGER_COLUMNS = (
    "run_tag",
    "table_name",
    "window_start",
    "window_end",
    "rows_deleted",
    "rows_inserted",
)


@dataclass(frozen=True)
class DemoQuery:
    """How one table shows its mistake.

    Attributes:
        table: The table's name.
        columns: The columns that tell, few enough for a terminal.
        wrong: The columns among them that were spoilt.
        symptom: An SQL condition that wrong rows meet and right ones do not.
        order: Columns that name a row, whatever the mistake did to it.
    """

    table: str
    columns: tuple[str, ...]
    wrong: tuple[str, ...]
    symptom: str
    order: tuple[str, ...]


DEMO_QUERIES = (
    DemoQuery(
        "login",
        ("time", "login", "city", "region", "country", "user_id"),
        ("region", "country", "user_id"),
        # Countries that no region has the code of; CA is left out, which is California as well.
        "\"region\" IN ('US', 'BR', 'CO', 'DE', 'CH', 'PL', 'IS', 'TR', 'JP', 'KR', 'VN', 'NZ')",
        ("time", "login", "ip"),
    ),
    DemoQuery(
        "minute_watched",
        ("time", "channel", "quality", "bitrate"),
        ("bitrate",),
        '"bitrate" IS NULL',
        ("time", "channel", "broadcast_id"),
    ),
    DemoQuery(
        "purchase",
        ("time", "sku", "price", "tax", "currency"),
        ("price",),
        '"price" = "tax"',
        ("time", "transaction_id"),
    ),
    DemoQuery(
        "chat_message",
        ("time", "login", "sent_at"),
        ("sent_at",),
        """"sent_at" > "time" + INTERVAL '1 hour'""",
        ("time", "login", "channel", "body", "badges"),
    ),
)


@dataclass(frozen=True)
class DemoQueryResult:
    """What one look saw.

    Attributes:
        rows: Rows in the window.
        wrong: Rows of these that show the mistake.
        some: The first few rows of the window, the look's columns of them.
        around: Number and hash of the rows outside the window.
    """

    rows: int
    wrong: int
    some: tuple[tuple[Any, ...], ...]
    around: tuple[int, int]


def run_query(session: Session, look: DemoQuery, window: Window, schema: str) -> DemoQueryResult:
    """Looks at a table once."""
    table = Identifier(schema, look.table)
    inside = Sql('"time" BETWEEN ', Literal(window.wall_start), " AND ", Literal(window.wall_end))
    counts = Sql(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE ", look.symptom, ") FROM ", table, " WHERE "
    )
    some = Sql("SELECT ", identifiers(look.columns), " FROM ", table, " WHERE ")
    order = Sql(" ORDER BY ", identifiers(look.order), " LIMIT ", Literal(_SHOWN_ROWS))
    # A row's text, hashed: the sum does not depend on the rows' order.
    around = Sql(
        'SELECT COUNT(*), COALESCE(SUM(hashtext(CAST("t" AS TEXT))), 0) FROM ',
        table,
        ' "t" WHERE NOT ',
    )
    ((rows, wrong),) = session.rows(Sql(counts, inside))
    return DemoQueryResult(
        rows=rows,
        wrong=wrong,
        some=tuple(session.rows(Sql(some, inside, order))),
        around=session.rows(Sql(around, inside))[0],
    )


def replay_log_rows(session: Session, control: str) -> list[tuple[Any, ...]]:
    """The ledger of replays: run tag, table, window's start and end, rows deleted and inserted."""
    return session.rows(
        Sql(
            "SELECT ",
            identifiers(_LEDGER_COLUMNS),
            " FROM ",
            Identifier(control, replay_log.NAME),
            ' ORDER BY "ts"',
        )
    )
