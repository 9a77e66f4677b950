"""How to connect to a warehouse: the parts of its URL, and where the login comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from spade_spark.errors import SettingsError
from spade_spark.settings import session_parameter
from spade_spark.warehouse.tls import (
    SSL_MODES,
    default_sslmode,
    is_redshift_host,
    tls_parameters,
)

APPLICATION = "spade-spark"

# The password extends to the last "@", so a password without percent-encoding is accepted too.
_URL = re.compile(
    r"(?:postgres|postgresql|redshift)://"
    r"(?:(?P<user>[^:@/?]*)(?::(?P<password>.*))?@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?@\[\]]*)(?::(?P<port>\d+))?"
    r"(?:/(?P<database>[^?/]*))?(?:\?(?P<options>.*))?",
    re.DOTALL,
)
_URL_OPTIONS = ("host", "port", "sslmode", "sslrootcert", "connect_timeout", "options")
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10}
_CONNECT_SECONDS = "15"
_OPTION = re.compile(r"(?:-c\s*|--)([^\s=]+)=(?:[^\s\\]|\\.)*(?:\s+|$)", re.DOTALL)


@dataclass(frozen=True)
class Login:
    """A user and the password. Not shown by ``repr``."""

    user: str
    password: str = field(repr=False)


class LoginSource(Protocol):
    """Where each new session gets its login from; thread-safe."""

    @property
    def advice(self) -> str:
        """What to check if the warehouse refuses the login."""

    def current(self) -> Login:
        """Return the login for a new session."""

    def renewed(self, refused: Login) -> Login | None:
        """Return a login other than the one that the warehouse refused, or None."""

    def accepted(self, login: Login) -> None:
        """Note that the warehouse accepted a login."""


@dataclass(frozen=True)
class ConnectionInfo:
    """How to connect to the warehouse. Its text never contains the password.

    Attributes:
        user: The user.
        password: The password.
        host: The host name, the address, or the directory of a Unix socket.
        port: The port.
        database: The database.
        options: The other parameters of the URL.
        session: The parameters that each session sets, from ``[warehouse.session]``.
        sslmode: The mode of the settings, which applies if the URL has none.
        logins: Where the login comes from, if not from the URL.
        unnamed_user: What to show for the user if the URL has none.
    """

    user: str
    password: str = field(repr=False)
    host: str
    port: str
    database: str
    options: tuple[tuple[str, str], ...] = ()
    session: tuple[tuple[str, str], ...] = ()
    sslmode: str = ""
    logins: LoginSource | None = field(default=None, repr=False, compare=False)
    unnamed_user: str = "(default user)"

    @classmethod
    def parse(
        cls, url: str, session: Mapping[str, str] = MappingProxyType({}), sslmode: str = ""
    ) -> ConnectionInfo:
        """Parse ``postgres://user:password@host:port/database?sslmode=require``.

        Args:
            url: The URL.
            session: The parameters that each session sets.
            sslmode: The mode if the URL has none; empty for the default.

        Raises:
            SettingsError: The URL is invalid or has an unknown option. It is not repeated.
        """
        match = _URL.fullmatch(url.strip())
        if match is None:
            raise SettingsError(
                "the warehouse URL must look like postgres://USER:PASSWORD@HOST:PORT/DATABASE "
                "(percent-encode special characters in the password)"
            )
        if "\0" in unquote(url):
            raise SettingsError("the warehouse URL contains a NUL character (%00): remove it")
        given = dict(parse_qsl(match["options"] or "", keep_blank_values=True))
        if not given.keys() <= set(_URL_OPTIONS):
            raise SettingsError(
                f"the warehouse URL has an unknown option; allowed: {', '.join(_URL_OPTIONS)}"
            )
        _check_options(given.get("options", ""))
        if given.get("sslmode", SSL_MODES[0]) not in SSL_MODES:
            raise SettingsError(
                f"sslmode in the warehouse URL must be one of {', '.join(SSL_MODES)}"
            )
        host = given.pop("host", "") or unquote(match["host"]).strip("[]") or "localhost"
        return cls(
            user=unquote(match["user"] or ""),
            password=unquote(match["password"] or ""),
            host=host,
            port=given.pop("port", "") or match["port"] or _default_port(host),
            database=unquote(match["database"] or ""),
            options=tuple(sorted(given.items())),
            session=tuple(sorted(session.items())),
            sslmode=sslmode,
        )

    def __str__(self) -> str:
        return f"{self.user or self.unnamed_user}@{self.address}"

    @property
    def address(self) -> str:
        """``host:port/database``, without the user."""
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def tls(self) -> str:
        """The sslmode in use; empty on this machine, where no mode is set."""
        options = dict(self.options)
        # libpq accepts its own list of authorities only together with verify-full.
        system = "verify-full" if options.get("sslrootcert") == "system" else ""
        return options.get("sslmode") or self.sslmode or system or default_sslmode(self.host)

    def login(self) -> Login:
        """Return the login for a new session."""
        return self.logins.current() if self.logins else Login(self.user, self.password)

    def renewed_login(self, refused: Login) -> Login | None:
        """Return a login other than the one that the warehouse refused, or None."""
        return self.logins.renewed(refused) if self.logins else None

    @property
    def login_advice(self) -> str:
        """What to check if the warehouse refuses the login."""
        return self.logins.advice if self.logins else "user, password and database in the URL"

    def parameters(self, login: Login) -> dict[str, Any]:
        """Return the driver's connection parameters, with the password in clear text."""
        options = dict(self.options)
        values = {
            "user": login.user,
            "password": login.password,
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "application_name": APPLICATION,
            "connect_timeout": _CONNECT_SECONDS,
            "client_encoding": "UTF8",
            **_KEEPALIVE,
            **tls_parameters(self.host, self.tls, options.get("sslrootcert", "")),
            **options,
        }
        given = {name: value for name, value in values.items() if value != ""}
        # Even if it is empty: else libpq takes the options from the variable PGOPTIONS. Likewise
        # PGHOSTADDR, or the service in PGSERVICE, could lead to another machine without TLS.
        unset = {"options": ""} if self.tls else {"options": "", "hostaddr": ""}
        return {**unset, **given}


def _default_port(host: str) -> str:
    """Return 5439 for a Redshift host name, else PostgreSQL's 5432."""
    return "5439" if is_redshift_host(host) else "5432"


def _check_options(options: str) -> None:
    """Check the URL parameter ``options``, which the server reads like a command line.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS

    Raises:
        SettingsError: It sets a parameter that ``[warehouse.session]`` must not set, or has
            another form than ``-c name=value``.
    """
    position, end = len(options) - len(options.lstrip()), len(options)
    while position < end:
        option = _OPTION.match(options, position)
        if option is None:
            raise SettingsError(
                "the parameter options of the warehouse URL must have the form -c name=value; use "
                "[warehouse.session] instead"
            )
        try:
            session_parameter(option[1].replace("-", "_"))
        except ValueError as error:
            raise SettingsError(f"the parameter options of the warehouse URL: {error}") from None
        position = option.end()
