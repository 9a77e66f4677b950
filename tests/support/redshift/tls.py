"""TLS for the stand-in, with a certificate authority of its own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

LOCAL_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Tls:
    """A server certificate.

    Attributes:
        context: The server's side of TLS.
        root_certificate: The file with the authority's certificate, for ``sslrootcert``.
    """

    context: ssl.SSLContext
    root_certificate: Path


def issue_certificate(folder: Path, *host_names: str) -> Tls:
    """Issue a certificate for host names or addresses, by default those of this machine.

    Args:
        folder: The folder for the authority's certificate.
        host_names: The names in the certificate.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(host_names or LOCAL_NAMES)).configure_cert(context)
    root_certificate = folder / "root.crt"
    authority.cert_pem.write_to_path(str(root_certificate))
    return Tls(context, root_certificate)
