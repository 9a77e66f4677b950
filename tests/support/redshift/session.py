"""A client's session, which behaves as on Redshift."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg2

from tests.support.redshift import copy as loading
from tests.support.redshift import distribution, wire
from tests.support.redshift import sql as dialect
from tests.support.redshift.backend import Backend
from tests.support.redshift.copy import BadRow, Copy, S3Access, Source
from tests.support.redshift.faults import Fault, Faults
from tests.support.redshift.refused import Refused
from tests.support.redshift.sql import literal
from tests.support.redshift.table_access import TableAccess, copy_access, table_access
from tests.support.redshift.transactions import (
    CONFLICT,
    Isolation,
    Transaction,
    Transactions,
)
from tests.support.redshift.values import TargetColumn
from tests.support.redshift.wire import Closed, Message, Stream

BYTE_CHECK = 'violates check constraint "redshift_bytes_'

# The level of a transaction has no effect: https://docs.aws.amazon.com/redshift/latest/dg/r_BEGIN.html
_ISOLATION_LEVEL = re.compile(
    r"\bISOLATION\s+LEVEL\s+(?:SERIALIZABLE|READ\s+(?:UN)?COMMITTED|REPEATABLE\s+READ)\b", re.I
)
_CANCEL = re.compile(r"\bpg_(?:cancel|terminate)_backend\s*\(\s*(\d+)\s*\)", re.I)


@dataclass
class Shared:
    """State shared by all sessions of a server.

    Attributes:
        faults: The pending faults.
        access: The S3 server and COPY's credentials.
        system: The system tables for load errors that exist.
        statements: All statements received, in order, with their secrets.
        transactions: The transactions of all sessions.
        latency: The delay before each response, in seconds.
    """

    faults: Faults
    access: S3Access
    system: tuple[str, ...]
    transactions: Transactions
    statements: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    latency: float = 0
    query_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1001))


class Session:
    """Serves statements until the client disconnects or is dropped."""

    def __init__(
        self, client: Stream, backend: Backend, shared: Shared, dsn: Callable[[], str], pid: int
    ) -> None:
        self._client = client
        self._backend = backend
        self._shared = shared
        self._dsn = dsn
        self._pid = pid
        self._last_copy_count = 0
        self._last_copy_id = -1
        self._transaction: Transaction | None = None
        self._temporary: set[str] = set()

    def end(self) -> None:
        """End the session's transaction; call this after its connection to PostgreSQL is closed."""
        if self._transaction is not None:
            self._shared.transactions.abort(self._transaction)

    def serve(self) -> None:
        while True:
            message = self._client.read()
            if message.kind == b"X":
                return
            if message.kind != b"Q":
                raise Closed
            sql = message.body.rstrip(b"\0").decode()
            with self._shared.lock:
                self._shared.statements.append(sql)
            response = self._respond_or_fail(sql)
            time.sleep(self._shared.latency)
            self._client.send(*response)

    def _respond_or_fail(self, sql: str) -> list[Message]:
        fault = self._shared.faults.at(sql)
        if fault is None:
            return self._respond(sql)
        if fault.action == "call":
            fault.function()
            return self._respond(sql)
        if fault.action == "refuse":
            return self._settled(self._refuse(sql, fault))
        if fault.action in ("answer", "refuse_after"):
            self._respond(fault.instead or sql)
            answer = (
                Message(b"C", fault.tag.encode() + b"\0")
                if fault.action == "answer"
                else wire.error(fault.sqlstate, fault.message, fault.detail)
            )
            return [answer, wire.ready(self._backend.status)]
        if fault.action == "drop_after":
            self._respond(sql)
        self._client.close()
        time.sleep(fault.seconds)
        if fault.action == "drop_then_run":
            self._respond(sql)
        raise Closed

    def _refuse(self, sql: str, fault: Fault) -> list[Message]:
        if dialect.first_word(sql) in ("COMMIT", "END"):
            # A failed commit rolls back.
            self._backend.run("ROLLBACK")
            return [
                wire.error(fault.sqlstate, fault.message, fault.detail),
                wire.ready(self._backend.status),
            ]
        return self._raise(fault.message, fault.sqlstate, fault.detail)

    def _respond(self, sql: str) -> list[Message]:
        return self._settled(self._execute(sql))

    def _execute(self, sql: str) -> list[Message]:
        try:
            sql = dialect.single(sql)
            if loading.is_copy(sql):
                copy = loading.parse(sql)
                self._access(copy_access(copy.table, frozenset(self._temporary)))
                return self._copy(copy)
            dialect.check(sql)
            if dialect.first_word(sql) == "LOCK" and self._backend.status == b"I":
                raise Refused("LOCK TABLE can only be used in transaction blocks", "25P01")
            access = table_access(sql, frozenset(self._temporary))
            self._access(access)
        except Refused as refused:
            return self._raise(refused.message, refused.sqlstate, refused.detail)
        response = self._run(sql)
        if not _failed(response):
            self._temporary |= access.temporary
        return response

    def _access(self, access: TableAccess) -> None:
        """Enter a statement into the transaction, which begins with it in autocommit mode.

        Raises:
            Refused: The statement must fail.
        """
        if self._backend.status == b"E":
            return
        if self._transaction is None:
            self._transaction = self._shared.transactions.begin(self._pid)
        self._shared.transactions.access(self._transaction, access)

    def _settled(self, response: list[Message]) -> list[Message]:
        """End the transaction if PostgreSQL has ended it with this response; return the latter."""
        if self._transaction is None or self._backend.status == b"T":
            return response
        committed = self._backend.status == b"I" and not _failed(response)
        if committed and not _rolled_back(response):
            self._shared.transactions.commit(self._transaction)
        else:
            self._shared.transactions.abort(self._transaction)
        self._transaction = None
        return response

    def _run(self, sql: str) -> list[Message]:
        original, word = sql, dialect.first_word(sql)
        if word == "TRUNCATE":
            return self._truncate(sql)
        if word in ("BEGIN", "START"):
            sql = _ISOLATION_LEVEL.sub("", sql)
        cancelled = _CANCEL.search(sql)
        if cancelled and self._shared.transactions.cancel(int(cancelled[1])):
            sql = _CANCEL.sub("true", sql)
        sql = dialect.rewritten(
            sql,
            last_copy_count=self._last_copy_count,
            last_copy_id=self._last_copy_id,
            system=self._shared.system,
        )
        response = self._translate_errors(self._backend.run(sql))
        if dialect.creates_table(sql) and not _failed(response):
            name = literal(dialect.created_table(sql))
            checks = self._backend.run(dialect.BYTE_LENGTHS.format(table=name))
            if _failed(checks):
                return checks
            description = distribution.created(original)
            if description:
                table = dialect.created_table(sql)
                self._backend.run(f"COMMENT ON TABLE {table} IS {literal(description)}")
        return response

    def _truncate(self, sql: str) -> list[Message]:
        """Run TRUNCATE, which commits the current transaction."""
        response = self._backend.run(sql)
        if self._backend.status == b"T":
            self._backend.run("COMMIT")
            response = [*response[:-1], wire.ready(self._backend.status)]
        return response

    def _copy(self, copy: Copy) -> list[Message]:
        if self._backend.status == b"E":
            return self._backend.run("SELECT 1")
        query_id = next(self._shared.query_ids)
        try:
            columns = self._columns(copy)
            rows, bad = loading.converted(Source(copy, self._shared.access), columns, copy.options)
        except Refused as refused:
            return self._raise(refused.message, refused.sqlstate)
        if bad:
            self._record(query_id, bad)
            name = copy.table.strip('"')
            return self._raise(
                f"Load into table '{name}' failed.  Check '{self._shared.system[0]}' system table "
                "for details.",
                "XX000",
            )
        names = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
        data = b"" if copy.options.noload else loading.copy_text(rows)
        response = self._backend.copy_in(f"COPY {copy.table} ({names}) FROM STDIN", data)
        if _failed(response):
            return self._translate_errors(response)
        self._last_copy_count, self._last_copy_id = len(rows), query_id
        return [
            wire.notice(
                f"Load into table '{copy.table}' completed, {len(rows)} record(s) loaded "
                "successfully."
            ),
            Message(b"C", b"COPY\0"),
            wire.ready(self._backend.status),
        ]

    def _columns(self, copy: Copy) -> list[TargetColumn]:
        rows = self._backend.rows(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
            f"WHERE attrelid = to_regclass({literal(copy.table)}) AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum"
        )
        existing = {
            str(name): TargetColumn(str(name), str(type_), null == "t")
            for name, type_, null in rows
        }
        if not existing:
            raise Refused(f"Cannot COPY into nonexistent table {copy.table}", "42P01")
        for name in copy.columns:
            if name not in existing:
                raise Refused(f'column "{name}" of relation {copy.table} does not exist', "42703")
        if not copy.columns:
            return list(existing.values())
        return [existing[name] for name in copy.columns]

    def _raise(self, message: str, sqlstate: str, detail: str = "") -> list[Message]:
        """Raise the error inside the transaction, so that the transaction fails too."""
        using = f"MESSAGE = {literal(message)}, ERRCODE = {literal(sqlstate)}"
        if detail:
            using += f", DETAIL = {literal(detail)}"
        return self._backend.run(
            f"DO $redshift$ BEGIN RAISE EXCEPTION USING {using}; END $redshift$"
        )

    def _translate_errors(self, response: list[Message]) -> list[Message]:
        isolation = self._shared.transactions.isolation
        return [
            _translated(message, isolation) if message.kind == b"E" else message
            for message in response
        ]

    def _record(self, query_id: int, bad: list[BadRow]) -> None:
        """Record load errors in a separate transaction, since the current one fails."""
        connection = psycopg2.connect(self._dsn())
        try:
            with connection, connection.cursor() as cursor:
                for row in bad:
                    error = row.error
                    cursor.execute(
                        "INSERT INTO redshift_system.stl_load_errors VALUES "
                        "(100, 0, 0, now() AT TIME ZONE 'UTC', %s, %s, %s, %s, %s, %s, '', 0, "
                        "%s, %s, %s, %s)",
                        (
                            self._pid, query_id, row.file[:256], row.line, error.column,
                            error.type[:10], _printable(row.raw), _printable(error.value),
                            error.code, error.reason[:100],
                        ),
                    )  # fmt: skip
                    cursor.execute(
                        "INSERT INTO redshift_system.sys_load_error_detail VALUES "
                        "(100, %s, 1, %s, 'dev', 0, now() AT TIME ZONE 'UTC', %s, %s, %s, %s, '', "
                        "0, %s, %s)",
                        (
                            query_id, self._pid, row.file[:256], row.line, error.column,
                            error.type[:10], error.code, error.reason[:512],
                        ),
                    )  # fmt: skip
        finally:
            connection.close()


def _printable(raw: str) -> str:
    """Replace characters that the system tables cannot hold, as Redshift does."""
    return raw.replace("\0", ".")[:1024]


def _failed(response: list[Message]) -> bool:
    return any(message.kind == b"E" for message in response)


def _rolled_back(response: list[Message]) -> bool:
    return any(message.kind == b"C" and message.body == b"ROLLBACK\0" for message in response)


def _translated(message: Message, isolation: Isolation) -> Message:
    """Translate PostgreSQL's error to Redshift's where they differ."""
    fields = wire.fields(message)
    if fields.get("C") == "40001":
        if isolation is not Isolation.SERIALIZABLE:
            return wire.error("XX000", CONFLICT)
        return wire.error(
            "XX000",
            "1023",
            "Serializable isolation violation on table - 108263, transactions forming the cycle "
            "are: 647671, 647682 (pid:23880)",
        )
    if BYTE_CHECK in fields.get("M", ""):
        return wire.error("22001", "Value too long for character type")
    return message
