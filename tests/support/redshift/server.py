"""A stand-in for Redshift, in front of PostgreSQL, with what these tests need."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from contextlib import suppress
from urllib.parse import parse_qs, quote, unquote, urlsplit

import psycopg2

from tests.support.redshift import sql as dialect
from tests.support.redshift import wire
from tests.support.redshift.backend import Backend
from tests.support.redshift.copy import S3Access
from tests.support.redshift.faults import Fault, Faults
from tests.support.redshift.logins import Logins
from tests.support.redshift.refused import Refused
from tests.support.redshift.session import Session, Shared
from tests.support.redshift.tls import Tls
from tests.support.redshift.transactions import Isolation, Transactions
from tests.support.redshift.wire import Closed, Message, Stream


class RedshiftServer:
    """A server that speaks the PostgreSQL wire protocol and behaves like Redshift.

    ::

        with RedshiftServer(postgres_url, s3=access) as redshift:
            psycopg2.connect(redshift.url)

    Args:
        postgres_url: The database behind it, with a superuser. The server creates its system tables
            there.
        s3: The S3 server and COPY's credentials.
        system: The system tables for load errors: both as on a cluster, only ``stl_load_errors`` as
            on an old cluster, only ``sys_load_error_detail`` as on a serverless workgroup.
        password: The password that clients must send, for users without one in ``logins``.
        requests_digest: Request the password's SHA-256 digest, which libpq does not support.
        tls: The server's certificate. Without it, the server does not offer TLS.
        requires_tls: Refuse connections without TLS, as Redshift's parameter ``require_ssl`` does.
        isolation: The isolation level of the database.

    Attributes:
        logins: The passwords of single users. They can change while the server runs.
    """

    def __init__(
        self,
        postgres_url: str,
        s3: S3Access,
        system: tuple[str, ...] = ("stl_load_errors", "sys_load_error_detail"),
        password: str | None = None,
        *,
        requests_digest: bool = False,
        tls: Tls | None = None,
        requires_tls: bool = False,
        isolation: Isolation = Isolation.SERIALIZABLE,
    ) -> None:
        parts = urlsplit(postgres_url)
        self._postgres_url = postgres_url
        self._database = unquote(parts.path.strip("/"))
        self._user = unquote(parts.username or "postgres")
        directory = parse_qs(parts.query)["host"][0]
        self._address = f"{directory}/.s.PGSQL.{parts.port or 5432}"
        self._shared = Shared(Faults(), s3, system, Transactions(isolation))
        self.logins = Logins(secrets.token_urlsafe(16) if password is None else password)
        self._requests_digest = requests_digest
        self._tls = tls
        self._requires_tls = requires_tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._clients: set[Stream] = set()

    @property
    def url(self) -> str:
        return self.url_of(self._user)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def password(self) -> str:
        """The password of users without one in ``logins``; it can change at any time."""
        return self.logins.password

    @password.setter
    def password(self, password: str) -> None:
        self.logins.password = password

    @property
    def latency(self) -> float:
        """The delay before each response, in seconds; it can change at any time."""
        return self._shared.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._shared.latency = seconds

    def url_of(self, user: str) -> str:
        """Return the URL for a user of the database."""
        password = quote(self.password, safe="")
        return f"postgres://{user}:{password}@127.0.0.1:{self.port}/{self._database}"

    @property
    def isolation(self) -> Isolation:
        return self._shared.transactions.isolation

    @property
    def statements(self) -> list[str]:
        """All statements received so far."""
        with self._shared.lock:
            return list(self._shared.statements)

    def inject(self, statement: str, action: str = "refuse", **how: object) -> Fault:
        """Inject a fault at the next matching statement: see :class:`Fault`."""
        return self._shared.faults.add(Fault(statement, action, **how))  # type: ignore[arg-type] # Fault's own

    def wait_until_blocked(self, pid: int) -> None:
        """Return when the statement of the session with this process id waits for a lock."""
        self._shared.transactions.wait_until_blocked(pid)

    def clear_faults(self) -> None:
        """Remove all faults and forget the recorded statements."""
        self._shared.faults.clear()
        with self._shared.lock:
            self._shared.statements.clear()

    def __enter__(self) -> RedshiftServer:
        connection = psycopg2.connect(self._postgres_url)
        with connection, connection.cursor() as cursor:
            cursor.execute(dialect.SETUP)
        connection.close()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._shared.transactions.close()
        for client in list(self._clients):
            client.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(Stream(sock),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: Stream) -> None:
        self._clients.add(client)
        backend: Backend | None = None
        session: Session | None = None
        try:
            parameters = self._startup(client)
            if parameters is None:
                return
            backend = Backend(self._address, parameters)
            time.sleep(self._shared.latency)
            client.send(*(_as_redshift(message) for message in backend.greeting))
            key = next((m for m in backend.greeting if m.kind == b"K"), None)
            if key is None:
                return
            (pid,) = struct.unpack("!I", key.body[:4])
            session = Session(client, backend, self._shared, lambda: self._postgres_url, pid)
            session.serve()
        except Closed:
            pass
        finally:
            self._clients.discard(client)
            client.close()
            if backend is not None:
                backend.close()
            if session is not None:
                session.end()

    def _startup(self, client: Stream) -> dict[str, str] | None:
        """Log the client in; return the parameters of its session, or None to end it."""
        encrypted = False
        while True:
            code, body = client.startup()
            if code == wire.SSL_REQUEST and self._tls is not None:
                client.send_raw(b"S")
                client.start_tls(self._tls.context)
                encrypted = True
            elif code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
                client.send_raw(b"N")
            elif code == wire.CANCEL_REQUEST:
                self._cancel(body)
                return None
            else:
                break
        parameters = wire.startup_parameters(body)
        if self._requires_tls and not encrypted:
            client.send(_tls_required(parameters))
            return None
        return self._authenticate(client, parameters)

    def _authenticate(self, client: Stream, parameters: dict[str, str]) -> dict[str, str] | None:
        """Check the client's password; return the session's parameters, or None to end it."""
        if self._requests_digest:
            client.send(wire.digest_request())
            return None
        client.send(wire.password_request())
        password = client.read().body.rstrip(b"\0").decode()
        user = parameters.get("user", "")
        database_user = self.logins.database_user(user, password)
        if database_user is None:
            text = f'password authentication failed for user "{user}"'
            client.send(wire.error("28P01", text, severity="FATAL"))
            return None
        try:
            options = dialect.startup_options(parameters.get("options", ""))
        except Refused as refused:
            client.send(wire.error(refused.sqlstate, refused.message, severity="FATAL"))
            return None
        return {
            **parameters,
            "options": options,
            "user": database_user,
            # Transactions adds Redshift's isolation levels to this one.
            "default_transaction_isolation": "repeatable read",
        }

    def _cancel(self, body: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(self._address)
            sock.sendall(struct.pack("!II", 16, wire.CANCEL_REQUEST) + body)
            sock.recv(1)


def _tls_required(parameters: dict[str, str]) -> Message:
    """Return the refusal of a connection without TLS, as PostgreSQL 8.0 words it.

    https://docs.aws.amazon.com/redshift/latest/mgmt/connecting-ssl-support.html
    """
    user, database = parameters.get("user", ""), parameters.get("database", "")
    text = (
        f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", database "{database}", SSL off'
    )
    return wire.error("28000", text, severity="FATAL")


def _as_redshift(message: Message) -> Message:
    """Replace the server's version with the one that Redshift reports to drivers."""
    if message.kind == b"S" and message.body.startswith(b"server_version\0"):
        return Message(b"S", b"server_version\x008.0.2\0")
    return message
