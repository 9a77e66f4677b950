"""The only file that imports the driver: sessions, transactions, and errors said in our words.

Every statement of a transaction is sent as it is (``BEGIN``, ..., ``COMMIT``), so that what a plan
shows is what runs. What the driver says is translated to the tree of ``errors.py`` here, with
every secret that the session knows taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import psycopg2

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    ConnectionLostError,
    SerializationError,
    SettingsError,
    SpadeError,
    WarehouseError,
)
from spade_spark.warehouse.sql import HIDDEN, Sql

APPLICATION = "spade-spark"
REDSHIFT_HOSTS = ".amazonaws.com"

# The password runs to the last "@", so that one which was pasted without percent-encoding is
# still read as it was meant.
_URL = re.compile(
    r"(?:postgres|postgresql|redshift)://"
    r"(?:(?P<user>[^:@/?]*)(?::(?P<password>.*))?@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?@\[\]]*)(?::(?P<port>\d+))?"
    r"(?:/(?P<database>[^?/]*))?(?:\?(?P<options>.*))?",
    re.DOTALL,
)
_OPTIONS = ("host", "port", "sslmode", "sslrootcert", "connect_timeout", "options")
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10}
_CONNECT_SECONDS = "15"
_MIN_SECRET_LENGTH = 3
_SERIALIZATION_FAILURES = ("40001", "40P01")
_CONNECTION_LOST = ("08", "57P")  # SQLSTATE classes: connection exceptions, shutdowns


@dataclass(frozen=True)
class ConnectionInfo:
    """Where the warehouse is; showing it never shows the password."""

    user: str
    password: str = field(repr=False)
    host: str
    port: str
    database: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> ConnectionInfo:
        """Reads ``postgres://user:password@host:port/database?sslmode=require``.

        Raises:
            SettingsError: Another form, or an option that is not known; the URL is not repeated.
        """
        match = _URL.fullmatch(url.strip())
        if match is None:
            raise SettingsError(
                "the warehouse URL must look like postgres://USER:PASSWORD@HOST:PORT/DATABASE "
                "(percent-encode special characters in the password)"
            )
        given = dict(parse_qsl(match["options"] or "", keep_blank_values=True))
        if not given.keys() <= set(_OPTIONS):
            raise SettingsError(
                f"the warehouse URL has an option that is not known; allowed are {_OPTIONS}"
            )
        host = given.pop("host", "") or unquote(match["host"]).strip("[]") or "localhost"
        return cls(
            user=unquote(match["user"] or ""),
            password=unquote(match["password"] or ""),
            host=host,
            port=given.pop("port", "") or match["port"] or _default_port(host),
            database=unquote(match["database"] or ""),
            options=tuple(sorted(given.items())),
        )

    def __str__(self) -> str:
        return f"{self.user or '(default user)'}@{self.address}"

    @property
    def address(self) -> str:
        """``host:port/database``: where it is, whoever asks."""
        return f"{self.host}:{self.port}/{self.database}"

    def parameters(self) -> dict[str, Any]:
        """What the driver is given, the password in clear."""
        values = {
            "user": self.user,
            "password": self.password,
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "application_name": APPLICATION,
            "connect_timeout": _CONNECT_SECONDS,
            **_KEEPALIVE,
            **dict(self.options),
        }
        return {name: value for name, value in values.items() if value != ""}


class Readable(Protocol):
    """What ``COPY ... FROM STDIN`` reads."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Session:
    """One connection, in autocommit outside ``transaction()``, for one thread. Close it when done.

    Attributes:
        connection_info: Where it is connected to.
        pid: The process id by which the warehouse knows the session.
    """

    def __init__(self, connection_info: ConnectionInfo) -> None:
        """Connects.

        Raises:
            ConnectionLostError: Nobody answers, for now.
            WarehouseError: The warehouse answers and refuses (password, database).
        """
        self.connection_info = connection_info
        self._secrets = {connection_info.password}
        try:
            self._connection = psycopg2.connect(**connection_info.parameters())
        except psycopg2.Error as error:
            raise self._connect_error(error) from None
        self._connection.autocommit = True
        self.pid: int = self._connection.info.backend_pid

    def run(self, statement: Sql) -> int:
        """Runs a statement; returns the rows that it touched (-1 where that means nothing)."""
        with self._cursor(statement) as cursor:
            cursor.execute(statement.sql())
            return int(cursor.rowcount)

    def rows(self, statement: Sql) -> list[tuple[Any, ...]]:
        """Runs a query and returns all its rows, which should be few."""
        with self._cursor(statement) as cursor:
            cursor.execute(statement.sql())
            return list(cursor.fetchall())

    def copy_in(self, statement: Sql, stream: Readable) -> int:
        """Runs ``COPY ... FROM STDIN`` with the bytes of ``stream``; returns the rows copied."""
        with self._cursor(statement) as cursor:
            cursor.copy_expert(statement.sql(), stream, size=1 << 16)
            return int(cursor.rowcount)

    @contextmanager
    def transaction(self, begin: Sql | None = None) -> Iterator[None]:
        """Commits at the end, rolls back on any error, the caller's as well.

        Args:
            begin: How it begins; ``BEGIN`` where nothing else is said.

        Raises:
            CommitOutcomeUnknownError: The commit was sent and its answer was lost.
        """
        self.run(begin or BEGIN)
        try:
            yield
        except BaseException:
            # A rollback that fails means that the connection is gone, which rolls back as well.
            with suppress(SpadeError):
                self.run(ROLLBACK)
            raise
        self._commit()

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """A transaction of which nothing stays, whatever happens in it."""
        self.run(BEGIN)
        try:
            yield
        finally:
            # A rollback that fails means that the connection is gone, which rolls back as well.
            with suppress(SpadeError):
                self.run(ROLLBACK)

    def close(self) -> None:
        """Ends the session; what was not committed is rolled back by the warehouse."""
        with suppress(psycopg2.Error):
            self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def redact(self, text: str) -> str:
        """The text without the secrets that this session knows."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _MIN_SECRET_LENGTH:
                text = text.replace(secret, HIDDEN)
        return text

    def _commit(self) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(COMMIT.sql())
                answer = cursor.statusmessage
        except psycopg2.Error as error:
            if (
                self._connection.closed
                or error.pgcode is None
                or error.pgcode.startswith(_CONNECTION_LOST)
            ):
                raise CommitOutcomeUnknownError(
                    f"the connection to {self.connection_info} was lost during COMMIT; it is "
                    "unknown whether the transaction was committed"
                ) from None
            raise self._translate(error, COMMIT) from None
        if answer != "COMMIT":
            raise WarehouseError(
                f"the warehouse answered COMMIT with {answer}: the transaction was rolled back"
            )

    @contextmanager
    def _cursor(self, statement: Sql) -> Iterator[Any]:
        self._secrets.update(statement.secrets)
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error as error:
            raise self._translate(error, statement) from None

    def _translate(self, error: psycopg2.Error, statement: Sql) -> SpadeError:
        """The driver's error in our words; the statement is shown without secrets."""
        message = self.redact(_server_message(error))
        if self._is_lost(error):
            return ConnectionLostError(f"the connection to {self.connection_info} broke: {message}")
        details = f"{message} (in: {_shorten(str(statement))})"
        if error.pgcode in _SERIALIZATION_FAILURES or _is_serialization_message(message):
            return SerializationError(f"another transaction won: {details}")
        return StatementError(details, sqlstate=error.pgcode or "", context=self._context(error))

    def _context(self, error: psycopg2.Error) -> str:
        return self.redact(getattr(error.diag, "context", None) or "")

    def _is_lost(self, error: psycopg2.Error) -> bool:
        return bool(self._connection.closed) or (error.pgcode or "").startswith(_CONNECTION_LOST)

    def _connect_error(self, error: psycopg2.Error) -> SpadeError:
        # A line that is indented asks whether a server runs there: our own advice says it better.
        lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
        message = self.redact(" ".join(" ".join(lines).split()))
        # What the server itself says starts with FATAL; only "too busy" or "starting up" pass.
        if "FATAL" in message and not re.search(
            r"starting up|too many|shutting down|limit", message
        ):
            return WarehouseError(
                f"the warehouse {self.connection_info} refuses the connection: {message}; "
                "check user, password and database in the URL"
            )
        return ConnectionLostError(
            f"the warehouse {self.connection_info} does not answer: {message}; check host, port "
            "and network"
        )


class StatementError(WarehouseError):
    """A statement that the warehouse refused.

    Attributes:
        sqlstate: The SQLSTATE, or empty.
        context: Where the warehouse was, such as the line and column of a COPY.
    """

    def __init__(self, message: str, sqlstate: str = "", context: str = "") -> None:
        super().__init__(message, sqlstate, context)
        self.sqlstate = sqlstate
        self.context = context

    def __str__(self) -> str:
        return str(self.args[0])


BEGIN = Sql("BEGIN")
BEGIN_SERIALIZABLE = Sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
"""All statements see the same rows: Redshift's way, and PostgreSQL's where it is asked for."""
COMMIT = Sql("COMMIT")
ROLLBACK = Sql("ROLLBACK")


def _default_port(host: str) -> str:
    """5439 for Redshift's own host names, else what ``postgres://`` stands for."""
    return "5439" if host.endswith(REDSHIFT_HOSTS) and "redshift" in host else "5432"


def _server_message(error: psycopg2.Error) -> str:
    """What the server said, in one line.

    Not ``str(error)``: that repeats the statement, credentials and all.
    """
    diagnosis = error.diag
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    message = "; ".join(" ".join(part.split()) for part in parts if part)
    return message or str(error).partition("\n")[0] or type(error).__name__


def _is_serialization_message(message: str) -> bool:
    """Redshift reports its 1023 under an SQLSTATE that means "internal error"."""
    return message.startswith("1023") or "Serializable isolation violation" in message


def _shorten(sql: str, limit: int = 160) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
