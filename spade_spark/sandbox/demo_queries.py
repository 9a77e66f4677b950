"""The demo's queries: sample rows with a mistake, and the number of wrong rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers
from spade_spark.window import Window

_SAMPLE_ROWS = 3
_REPLAY_LOG_COLUMNS = (
    "run_tag",
    "table_name",
    "window_start",
    "window_end",
    "rows_deleted",
    "rows_inserted",
)


@dataclass(frozen=True)
class DemoQuery:
    """The query that shows one table's mistake.

    Attributes:
        table: The table's name.
        columns: The columns to show, few enough for a terminal.
        wrong: The shown columns that the mistake affects.
        symptom: An SQL condition that holds for wrong rows only.
        order: Columns that identify a row, none of them affected by the mistake.
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
        # Country codes that are not region codes. CA is omitted: it is also California.
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
    """The result of a demo query.

    Attributes:
        rows: The number of rows in the window.
        wrong: The number of rows in the window that show the mistake.
        sample: The first few rows of the window, with the query's columns.
        outside: Number and hash of all rows outside the window.
    """

    rows: int
    wrong: int
    sample: tuple[tuple[Any, ...], ...]
    outside: tuple[int, int]


def run_query(session: Session, query: DemoQuery, window: Window, schema: str) -> DemoQueryResult:
    """Query one table."""
    table = Identifier(schema, query.table)
    inside = Sql('"time" BETWEEN ', Literal(window.wall_start), " AND ", Literal(window.wall_end))
    counts = Sql(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE ", query.symptom, ") FROM ", table, " WHERE "
    )
    sample = Sql("SELECT ", identifiers(query.columns), " FROM ", table, " WHERE ")
    order = Sql(" ORDER BY ", identifiers(query.order), " LIMIT ", Literal(_SAMPLE_ROWS))
    # The sum of the rows' hashes does not depend on their order.
    outside = Sql(
        'SELECT COUNT(*), COALESCE(SUM(hashtext(CAST("t" AS TEXT))), 0) FROM ',
        table,
        ' "t" WHERE NOT ',
    )
    ((rows, wrong),) = session.rows(Sql(counts, inside))
    return DemoQueryResult(
        rows=rows,
        wrong=wrong,
        sample=tuple(session.rows(Sql(sample, inside, order))),
        outside=session.rows(Sql(outside, inside))[0],
    )


def replay_log_rows(session: Session, control: str) -> list[tuple[Any, ...]]:
    """The replay log: run tag, table, window start and end, rows deleted and inserted."""
    return session.rows(
        Sql(
            "SELECT ",
            identifiers(_REPLAY_LOG_COLUMNS),
            " FROM ",
            Identifier(control, replay_log.TABLE_NAME),
            ' ORDER BY "ts"',
        )
    )
