"""The sandbox's tables, as they are now and as they were by mistake for three hours.

The story: a change of four tables was published with a mistake in each, and mended three hours
later by a further version. What was loaded in between is wrong in the warehouse to this day, and
the edge logs of these hours still lie on S3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from spade_spark.blueprint.schema import Column, Table, as_published

_SERVER_TIME = Column("time", "time", "f@timestamp@unix")
_USER_ID = Column("user_id", "user_id", "userIDWithMapping", supporting=("login",))


@dataclass(frozen=True)
class Mistake:
    """What was wrong with one table for a while.

    Attributes:
        table: The table's name.
        columns: The columns that took another property, or another transformer, by outbound name.
        why: What a reader of the table sees, in one line.
    """

    table: str
    columns: tuple[Column, ...]
    why: str


TABLES: tuple[Table, ...] = (
    Table(
        "login",
        5,
        (
            _SERVER_TIME,
            Column("client_time", "client_time", "f@timestamp@unix"),
            Column("login", "login", "varchar", "(64)"),
            _USER_ID,
            Column("ip", "ip", "varchar", "(45)"),
            Column("ip", "city", "ipCity", "(64)"),
            Column("ip", "region", "ipRegion", "(64)"),
            Column("ip", "country", "ipCountry", "(2)"),
            Column("ip", "asn", "ipAsn", "(128)"),
            Column("ip", "asn_id", "ipAsnInteger"),
            Column("user_agent", "user_agent", "varchar", "(255)"),
            Column("platform", "platform", "varchar", "(16)"),
            Column("success", "success", "bool"),
        ),
    ),
    Table(
        "minute_watched",
        8,
        (
            _SERVER_TIME,
            Column("channel", "channel", "varchar", "(64)"),
            _USER_ID,
            Column("ip", "country", "ipCountry", "(2)"),
            Column("broadcast_id", "broadcast_id", "bigint"),
            Column("minutes_logged", "minutes_logged", "int"),
            Column("bitrate", "bitrate", "float"),
            Column("volume", "volume", "float"),
            Column("quality", "quality", "varchar", "(16)"),
            Column("live", "live", "bool"),
        ),
    ),
    Table(
        "purchase",
        3,
        (
            _SERVER_TIME,
            _USER_ID,
            Column("transaction_id", "transaction_id", "bigint"),
            Column("sku", "sku", "varchar", "(32)"),
            Column("price", "price", "float"),
            Column("tax", "tax", "float"),
            Column("currency", "currency", "varchar", "(3)"),
            Column("quantity", "quantity", "int"),
            Column("gift", "gift", "bool"),
            Column("purchased_at", "purchased_at", "f@timestamp@2006-01-02T15:04:05"),
            Column("delivered", "delivered_utc", "f@timestamp@unix-utc"),
        ),
    ),
    Table(
        "chat_message",
        12,
        (
            _SERVER_TIME,
            Column("channel", "channel", "varchar", "(64)"),
            Column("login", "login", "varchar", "(64)"),
            Column("body", "body", "varchar", "(200)"),
            Column("sent", "sent_at", "f@timestamp@unix"),
            Column("badges", "badges", "int"),
            Column("subscriber", "subscriber", "bool"),
        ),
    ),
    Table(
        "page_view",
        21,
        (
            _SERVER_TIME,
            Column("url", "url", "varchar", "(255)"),
            Column("referrer", "referrer", "varchar", "(255)"),
            Column("load_ms", "load_ms", "int"),
            Column("ip", "country", "ipCountry", "(2)"),
        ),
    ),
)

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "login",
        (
            Column("ip", "region", "ipCountry", "(64)"),
            Column("ip", "country", "ipRegion", "(2)"),
            Column("user_id", "user_id", "bigint"),
        ),
        "country and region were swapped, and user_id is NULL unless the client sent it",
    ),
    Mistake(
        "minute_watched",
        (Column("bitrate", "bitrate", "int"),),
        "bitrate was read as an integer: every fraction became NULL",
    ),
    Mistake(
        "purchase",
        (Column("tax", "price", "float"),),
        "price was filled from the property tax",
    ),
    Mistake(
        "chat_message",
        (Column("sent", "sent_at", "f@timestamp@unix-utc"),),
        "sent_at was written in UTC, seven hours ahead of every other time",
    ),
)


def with_mistakes(tables: tuple[Table, ...] = TABLES) -> tuple[Table, ...]:
    """The tables as they were published for three hours: one version less, and wrong."""
    mistakes = {mistake.table: mistake for mistake in MISTAKES}
    return tuple(
        _spoilt(table, mistakes[table.name]) if table.name in mistakes else table
        for table in tables
    )


def _spoilt(table: Table, mistake: Mistake) -> Table:
    wrong = {column.outbound: column for column in mistake.columns}
    columns = tuple(wrong.get(column.outbound, column) for column in table.columns)
    return replace(table, version=table.version - 1, columns=columns)


def published(tables: Iterable[Table]) -> bytes:
    """The tables as Blueprint publishes them: a JSON list."""
    return msgspec.json.encode([as_published(table) for table in tables])
