"""Sessions, transactions and errors. This is the only module that imports the driver.

``BEGIN`` and ``COMMIT`` are sent as statements of their own, so a plan shows exactly the statements
that run. The driver's errors are translated to those of ``errors.py``, without secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import starmap
from typing import Any, Protocol

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    ConnectionLostError,
    SerializationError,
    SettingsError,
    SpadeError,
    WarehouseError,
)
from spade_spark.warehouse.connection_info import ConnectionInfo, Login
from spade_spark.warehouse.sql import HIDDEN, Literal, Sql, joined
from spade_spark.warehouse.tls import tls_advice

_MIN_SECRET_LENGTH = 3

# What every session sets. Only objects of the system and the session's own temporary tables are
# found without a schema, so an object that another user creates in ``public`` is never used.
# pg_temp is last, because otherwise it is searched first.
# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SEARCH-PATH
# https://docs.aws.amazon.com/redshift/latest/dg/r_search_path.html
_SESSION = {"search_path": "pg_catalog, pg_temp", "datestyle": "ISO, MDY", "timezone": "UTC"}
# Redshift does not have standard_conforming_strings, and its extra_float_digits ends at 2.
# Warnings say, for example, that ANALYZE had no effect.
# https://github.com/sqlalchemy/sqlalchemy/issues/9494
# https://docs.aws.amazon.com/redshift/latest/dg/r_extra_float_digits.html
# With row_security off, a policy that would hide rows is an error. With it on, a load would keep
# the hidden rows of the window, and functions in the policy would run with the loader's rights.
# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-ROW-SECURITY
_POSTGRES_SESSION = {
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "client_min_messages": "notice",
    "row_security": "off",
}
_REDSHIFT_SESSION = {"extra_float_digits": "2"}
# libpq's message in all versions. Redshift's requests 13 and 14 are not part of PostgreSQL.
# https://github.com/jazzband/django-redshift-backend/issues/146
# https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_USER.html
_UNKNOWN_AUTHENTICATION = re.compile(r"authentication method \d+ not supported")
_FIRST_POSTGRES = 80100  # Redshift reports version 8.0.2
_SERIALIZATION_FAILURES = ("40001", "40P01")
# Conflicts that Redshift reports as internal errors (XX000) or without a SQLSTATE of their own. The
# whole transaction is rolled back, so it can be repeated.
# 1023, 1018: https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-troubleshooting.html
# conflict with concurrent transaction: https://github.com/dbt-labs/dbt-adapters/issues/626
# could not open relation with OID: https://github.com/dbt-labs/dbt-adapters/issues/617
# deadlock detected: https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html
_CONFLICT = re.compile(
    r"10(?:18|23)\b"
    r"|Serializable isolation violation\b"
    r"|could not complete because of conflict with concurrent transaction\b"
    r"|could not open relation with OID \d"
    r"|relation with OID \d+ does not exist"
    r"|deadlock detected\b"
    r"|tuple concurrently (?:updated|deleted)\b",
    re.IGNORECASE,
)
_CONNECTION_LOST = ("08", "57P")  # SQLSTATE classes: connection exceptions, shutdowns


class Readable(Protocol):
    """A stream for ``COPY ... FROM STDIN``."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes; an empty string at the end."""


class Session:
    """One connection for one thread, in autocommit mode outside ``transaction()``.

    Attributes:
        connection_info: The warehouse that it is connected to.
        pid: The session's process id in the warehouse.
    """

    def __init__(self, connection_info: ConnectionInfo) -> None:
        """Connect.

        Raises:
            ConnectionLostError: The warehouse does not answer.
            WarehouseError: The warehouse rejects the connection, such as for a wrong password.
            SettingsError: The warehouse rejects a parameter of the settings.
        """
        self.connection_info = connection_info
        self._secrets: set[str] = set()
        self._connection = self._connect()
        self.pid: int = self._connection.info.backend_pid
        try:
            self._connection.autocommit = True
            self._set_up()
        except BaseException:
            self.close()
            raise

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the session's statements, such as that one had no effect."""
        notices = (self.redact(notice) for notice in self._connection.notices)
        return tuple(
            " ".join(notice.removeprefix("WARNING:").split())
            for notice in notices
            if notice.startswith("WARNING:")
        )

    def run(self, statement: Sql) -> int:
        """Run a statement; return the number of affected rows, or -1 if it has none."""
        with self._cursor(statement) as cursor:
            cursor.execute(statement.sql())
            return int(cursor.rowcount)

    def rows(self, statement: Sql) -> list[tuple[Any, ...]]:
        """Run a query; return all its rows, which must fit in memory."""
        with self._cursor(statement) as cursor:
            cursor.execute(statement.sql())
            try:
                return list(cursor.fetchall())
            except ValueError as error:
                # For example a timestamp before Christ, which Python cannot represent.
                raise StatementError(
                    f"the result has a value that cannot be read: {error} (in: "
                    f"{_shorten(str(statement))})"
                ) from None

    def copy_in(self, statement: Sql, stream: Readable) -> int:
        """Run ``COPY ... FROM STDIN`` with ``stream``; return the number of rows copied."""
        with self._cursor(statement) as cursor:
            cursor.copy_expert(statement.sql(), stream, size=1 << 16)
            return int(cursor.rowcount)

    @contextmanager
    def transaction(self, begin: Sql | None = None) -> Iterator[None]:
        """Commit at the end of the block; roll back on any error.

        Args:
            begin: The statement that begins the transaction; ``BEGIN`` by default.

        Raises:
            UnconfirmedCommitError: COMMIT was sent, but not answered with COMMIT.
        """
        self.run(begin or BEGIN)
        try:
            yield
        except BaseException:
            # If ROLLBACK fails, the connection is lost, and the warehouse rolls back.
            with suppress(SpadeError):
                self.run(ROLLBACK)
            raise
        self._commit()

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """Roll back at the end of the block."""
        self.run(BEGIN)
        try:
            yield
        finally:
            # If ROLLBACK fails, the connection is lost, and the warehouse rolls back.
            with suppress(SpadeError):
                self.run(ROLLBACK)

    def close(self) -> None:
        """Close the connection; the warehouse rolls back uncommitted work."""
        with suppress(psycopg2.Error):
            self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def redact(self, text: str) -> str:
        """Return ``text`` without the secrets that this session knows."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _MIN_SECRET_LENGTH:
                text = text.replace(secret, HIDDEN)
        return text

    def _connect(self) -> Connection:
        """Connect; if the warehouse refuses the login, try once more with a new one."""
        login = self.connection_info.login()
        try:
            return self._connect_as(login)
        except LoginRefusedError:
            renewed = self.connection_info.renewed_login(login)
            if renewed is None:
                raise
        return self._connect_as(renewed)

    def _connect_as(self, login: Login) -> Connection:
        self._secrets.add(login.password)
        try:
            connection: Connection = psycopg2.connect(**self.connection_info.parameters(login))
        except psycopg2.Error as error:
            raise self._connect_error(error) from None
        if self.connection_info.logins:
            self.connection_info.logins.accepted(login)
        return connection

    def _set_up(self) -> None:
        """Set the session's parameters, in one statement to save round trips.

        Redshift documents SET_CONFIG as equivalent to SET.
        https://docs.aws.amazon.com/redshift/latest/dg/r_SET_CONFIG.html
        """
        is_redshift = self._connection.info.server_version < _FIRST_POSTGRES
        engine = _REDSHIFT_SESSION if is_redshift else _POSTGRES_SESSION
        requested = dict(self.connection_info.session)
        # The search path is set first; until then, the function's schema is necessary.
        parameters = {**_SESSION, **engine, **requested}
        try:
            self.rows(Sql("SELECT ", joined(starmap(_set_parameter, parameters.items()))))
        except StatementError as error:
            if not requested:
                raise
            raise SettingsError(
                f"the warehouse {self.connection_info} rejects a parameter of [warehouse.session]: "
                f"{error}; correct or remove it"
            ) from None

    def _commit(self) -> None:
        """Commit. Only the answer COMMIT is a success, and only a conflict is surely a rollback."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(COMMIT.sql())
                status = cursor.statusmessage
        except psycopg2.Error as error:
            failure = self._classify_error(error, COMMIT)
            if isinstance(failure, SerializationError):
                raise failure from None
            if error.pgcode is None or isinstance(failure, ConnectionLostError):
                failure = ConnectionLostError(
                    f"the connection to {self.connection_info} was lost during COMMIT, and the "
                    "transaction was rolled back"
                )
            raise self._unconfirmed(failure) from None
        if status != "COMMIT":
            raise self._unconfirmed(
                ConnectionLostError(
                    f"{self.connection_info} answered COMMIT with {status or 'nothing'}, and the "
                    "transaction was rolled back"
                )
            )

    def _unconfirmed(self, if_rolled_back: SpadeError) -> UnconfirmedCommitError:
        # The end of the session ends its transaction, and so releases its locks.
        self.close()
        return UnconfirmedCommitError(
            f"{self.connection_info} did not confirm COMMIT; it is unknown whether the transaction "
            "was committed",
            if_rolled_back,
        )

    @contextmanager
    def _cursor(self, statement: Sql) -> Iterator[Any]:
        self._secrets.update(statement.secrets)
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error as error:
            raise self._classify_error(error, statement) from None

    def _classify_error(self, error: psycopg2.Error, statement: Sql) -> SpadeError:
        """Translate the driver's error; the statement is shown without secrets."""
        message = self.redact(_server_message(error))
        if self._is_lost(error):
            return ConnectionLostError(f"lost the connection to {self.connection_info}: {message}")
        details = f"{message} (in: {_shorten(str(statement))})"
        if error.pgcode in _SERIALIZATION_FAILURES or _CONFLICT.match(message):
            return SerializationError(f"a concurrent transaction prevented this one: {details}")
        return StatementError(details, sqlstate=error.pgcode or "", context=self._context(error))

    def _context(self, error: psycopg2.Error) -> str:
        return self.redact(getattr(error.diag, "context", None) or "")

    def _is_lost(self, error: psycopg2.Error) -> bool:
        return bool(self._connection.closed) or (error.pgcode or "").startswith(_CONNECTION_LOST)

    def _connect_error(self, error: psycopg2.Error) -> SpadeError:
        # libpq's indented lines ask whether the server is running. The hint below is clearer.
        lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
        message = self.redact(" ".join(" ".join(lines).split()))
        refusal = f"the warehouse {self.connection_info} refuses the connection: {message}"
        if _UNKNOWN_AUTHENTICATION.search(message):
            return WarehouseError(
                f"{refusal}; the driver does not support this login (13 means that the user's "
                "password is stored as a SHA-256 digest): have an administrator set the password "
                "as an MD5 hash (ALTER USER ... PASSWORD 'md5...'), or use warehouse.iam_login"
            )
        if advice := tls_advice(message):
            return WarehouseError(f"{refusal}; {advice}")
        # The server's own errors contain FATAL. Of these, only the following are transient.
        if "FATAL" in message and not re.search(
            r"starting up|too many|shutting down|limit", message
        ):
            return LoginRefusedError(f"{refusal}; check {self.connection_info.login_advice}")
        return ConnectionLostError(
            f"the warehouse {self.connection_info} does not answer: {message}; check host, port "
            "and network"
        )


class LoginRefusedError(WarehouseError):
    """The warehouse rejected a login."""


class StatementError(WarehouseError):
    """The warehouse rejected a statement.

    Attributes:
        sqlstate: The SQLSTATE; empty if there is none.
        context: The position of the error, such as the line and column of a COPY.
    """

    def __init__(self, message: str, sqlstate: str = "", context: str = "") -> None:
        super().__init__(message, sqlstate, context)
        self.sqlstate = sqlstate
        self.context = context

    def __str__(self) -> str:
        return str(self.args[0])


class UnconfirmedCommitError(CommitOutcomeUnknownError):
    """COMMIT was sent, but not answered with COMMIT. The session is closed.

    Attributes:
        if_rolled_back: The error to raise if the transaction turns out to be rolled back.
    """

    def __init__(self, message: str, if_rolled_back: SpadeError) -> None:
        super().__init__(message, if_rolled_back)
        self.if_rolled_back = if_rolled_back

    def __str__(self) -> str:
        return str(self.args[0])


BEGIN = Sql("BEGIN")
BEGIN_SERIALIZABLE = Sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
"""All statements see the same rows. This is Redshift's default; PostgreSQL needs the option."""
COMMIT = Sql("COMMIT")
ROLLBACK = Sql("ROLLBACK")


def _set_parameter(name: str, value: str) -> Sql:
    """Return the expression that sets a session parameter."""
    return Sql('"pg_catalog".set_config(', Literal(name), ", ", Literal(value), ", FALSE)")


def _server_message(error: psycopg2.Error) -> str:
    """Return the server's message in one line.

    ``str(error)`` is not used because it repeats the statement with its credentials.
    """
    diagnosis = error.diag
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    message = "; ".join(" ".join(part.split()) for part in parts if part)
    return message or str(error).partition("\n")[0] or type(error).__name__


def _shorten(sql: str, limit: int = 160) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
