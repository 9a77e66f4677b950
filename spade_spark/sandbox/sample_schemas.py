"""The sample's table schemas: the correct ones, and the wrong ones of three hours.

Blueprint published new versions of four tables, each with a mistake, and corrected versions three
hours later. The rows loaded in between are still wrong in the warehouse. Their edge logs are still
on S3.
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
    """The mistake in one table's schema.

    Attributes:
        table: The table's name.
        columns: The wrong columns: they have another property or transformer than the correct ones.
        effect: What is wrong in the rows, in one line.
    """

    table: str
    columns: tuple[Column, ...]
    effect: str


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
        "country and region are swapped; user_id is NULL unless the client sent it",
    ),
    Mistake(
        "minute_watched",
        (Column("bitrate", "bitrate", "int"),),
        "bitrate is parsed as an integer, so values with a fraction are NULL",
    ),
    Mistake(
        "purchase",
        (Column("tax", "price", "float"),),
        "price is read from the property tax",
    ),
    Mistake(
        "chat_message",
        (Column("sent", "sent_at", "f@timestamp@unix-utc"),),
        "sent_at is in UTC, seven hours ahead of the other times",
    ),
)


def with_mistakes(tables: tuple[Table, ...] = TABLES) -> tuple[Table, ...]:
    """The tables with their mistakes. The wrong version of a table precedes its correct one."""
    mistakes = {mistake.table: mistake for mistake in MISTAKES}
    return tuple(
        _with_mistake(table, mistakes[table.name]) if table.name in mistakes else table
        for table in tables
    )


def _with_mistake(table: Table, mistake: Mistake) -> Table:
    wrong = {column.outbound: column for column in mistake.columns}
    columns = tuple(wrong.get(column.outbound, column) for column in table.columns)
    return replace(table, version=table.version - 1, columns=columns)


def published(tables: Iterable[Table]) -> bytes:
    """Encode the tables as Blueprint publishes them: a JSON list."""
    return msgspec.json.encode([as_published(table) for table in tables])
