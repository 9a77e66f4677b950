"""PostgreSQL's wire protocol, version 3, as needed for the simple query protocol.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import secrets
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102

_CLEARTEXT_PASSWORD = 3
_DIGEST = 13
_SHA256 = 0


class Closed(Exception):
    """The other side closed the connection."""


@dataclass(frozen=True)
class Message:
    kind: bytes
    body: bytes

    def encoded(self) -> bytes:
        return self.kind + struct.pack("!I", len(self.body) + 4) + self.body


class Stream:
    """Messages over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = sock.makefile("rb")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Accept the client's TLS handshake; all further messages are encrypted."""
        try:
            self._socket = context.wrap_socket(self._socket, server_side=True)
        except OSError as error:
            raise Closed from error
        self._reader = self._socket.makefile("rb")

    def startup(self) -> tuple[int, bytes]:
        """Read the first packet, which has no type; return its code and the rest."""
        (length,) = struct.unpack("!I", self._read_exactly(4))
        body = self._read_exactly(length - 4)
        return struct.unpack("!I", body[:4])[0], body[4:]

    def read(self) -> Message:
        kind = self._read_exactly(1)
        (length,) = struct.unpack("!I", self._read_exactly(4))
        return Message(kind, self._read_exactly(length - 4))

    def send(self, *messages: Message) -> None:
        self.send_raw(b"".join(message.encoded() for message in messages))

    def send_raw(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Closed from error

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._socket.close()

    def _read_exactly(self, size: int) -> bytes:
        try:
            data = self._reader.read(size)
        except (OSError, ValueError) as error:
            raise Closed from error
        if len(data) != size:
            raise Closed
        return data


def startup_packet(parameters: dict[str, str]) -> bytes:
    body = struct.pack("!I", 3 << 16)
    for name, value in parameters.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def startup_parameters(body: bytes) -> dict[str, str]:
    words = body.rstrip(b"\0").split(b"\0")
    return {
        name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=False)
    }


def password_request() -> Message:
    """Request the password in clear text."""
    return Message(b"R", struct.pack("!I", _CLEARTEXT_PASSWORD))


def digest_request() -> Message:
    """Request the password's SHA-256 digest, as Redshift does for passwords stored that way.

    PostgreSQL has no such request, so libpq ends the connection. The layout is that of Amazon's own
    driver: algorithm, salt, nonce.
    https://github.com/aws/amazon-redshift-python-driver/blob/master/redshift_connector/core.py
    """
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(16)
    body = struct.pack("!III", _DIGEST, _SHA256, len(salt)) + salt
    return Message(b"R", body + struct.pack("!I", len(nonce)) + nonce)


def query(sql: str) -> Message:
    return Message(b"Q", sql.encode() + b"\0")


def error(sqlstate: str, message: str, detail: str = "", severity: str = "ERROR") -> Message:
    fields = {b"S": severity, b"V": severity, b"C": sqlstate, b"M": message, b"D": detail}
    body = b"".join(key + text.encode() + b"\0" for key, text in fields.items() if text)
    return Message(b"E", body + b"\0")


def notice(message: str) -> Message:
    return Message(b"N", error("00000", message, severity="INFO").body)


def ready(status: bytes) -> Message:
    return Message(b"Z", status)


def fields(message: Message) -> dict[str, str]:
    """Return the fields of an error or notice, by their letter."""
    parts = message.body.rstrip(b"\0").split(b"\0")
    return {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in parts if part}


def data_row(message: Message) -> list[str | None]:
    (count,) = struct.unpack("!H", message.body[:2])
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack("!i", message.body[position : position + 4])
        position += 4
        if length < 0:
            values.append(None)
            continue
        values.append(message.body[position : position + length].decode())
        position += length
    return values
