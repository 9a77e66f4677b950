"""Whether a connection is encrypted, and whose certificates are accepted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import get_args

import certifi

from spade_spark.settings import SslMode

SSL_MODES = tuple(mode for mode in get_args(SslMode) if mode)
_VERIFYING = ("verify-ca", "verify-full")
_ENCRYPTED = ("require", *_VERIFYING)

# Clusters and serverless workgroups, also in China.
_REDSHIFT_HOST = re.compile(r".+\.redshift(?:-serverless)?\.amazonaws\.com(?:\.cn)?")

# https://www.postgresql.org/docs/current/libpq-ssl.html
_NOT_OFFERED = re.compile(r"SSL was required")
_NOT_TRUSTED = re.compile(
    r"certificate verify failed|server certificate|host name from|root certificate|weak sslmode"
)
# PostgreSQL's words, and those of its version 8.0, which Redshift is based on.
_REQUIRED = re.compile(r"SSL off|no encryption")


def is_redshift_host(host: str) -> bool:
    """Whether this is a host name that Amazon gives to a warehouse."""
    return _REDSHIFT_HOST.fullmatch(host.lower().rstrip(".")) is not None


def default_sslmode(host: str) -> str:
    """Return the mode for a host; empty for this machine, where libpq's default applies.

    libpq's default, ``prefer``, sends everything in clear text if the server, or an attacker in
    between, offers no TLS.
    """
    hosts = host.split(",")
    if any(is_redshift_host(name) for name in hosts):
        return "verify-full"
    return "" if all(_is_local(name) for name in hosts) else "require"


def tls_parameters(host: str, sslmode: str, sslrootcert: str) -> Mapping[str, str]:
    """Return libpq's parameters for a mode, with the certificate authorities to trust.

    Redshift's certificates are of Amazon's public authorities, which certifi has. libpq's own
    ``system`` does not work with psycopg2's wheels: they look for the authorities in the directory
    that OpenSSL was built in.
    https://docs.aws.amazon.com/redshift/latest/mgmt/connecting-ssl-support.html
    """
    parameters = {"sslmode": sslmode} if sslmode else {}
    if sslmode in _ENCRYPTED:
        # Else libpq tries GSSAPI encryption first, which does not verify the certificate.
        parameters["gssencmode"] = "disable"
    own = os.environ.get("PGSSLROOTCERT") or Path("~/.postgresql/root.crt").expanduser().exists()
    if sslmode in _VERIFYING and not sslrootcert and (is_redshift_host(host) or not own):
        parameters["sslrootcert"] = certifi.where()
    return parameters


def tls_advice(message: str) -> str:
    """Return what to do about a failed connection; empty if TLS was not the reason."""
    if _NOT_OFFERED.search(message):
        return (
            "the server does not offer TLS; if the connection may be unencrypted, set "
            'warehouse.sslmode = "disable", or sslmode=disable in the URL'
        )
    if _REQUIRED.search(message):
        return (
            'if the server requires TLS, set warehouse.sslmode = "require", or sslmode in the URL'
        )
    if _NOT_TRUSTED.search(message):
        return (
            "check that the host name is that of the warehouse; for a certificate of a private "
            "authority, name its file with sslrootcert in the URL"
        )
    return ""


def _is_local(host: str) -> bool:
    """Whether this is a Unix socket or this machine."""
    if not host or host[0] in "/@" or host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
