"""The PostgreSQL session behind a session of the stand-in."""

from __future__ import annotations

import socket

from tests.support.redshift import wire
from tests.support.redshift.wire import Message, Stream


class Backend:
    """A connection to PostgreSQL, driven message by message.

    Attributes:
        status: The transaction's status at the last ReadyForQuery: I, T or E.
    """

    def __init__(self, address: str | tuple[str, int], parameters: dict[str, str]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.connect(address)
        self._stream = Stream(sock)
        self._stream.send_raw(wire.startup_packet(parameters))
        self.status = b"I"
        self.greeting = self._until_ready()

    def run(self, sql: str) -> list[Message]:
        """Run a statement; return the response, which ends with ReadyForQuery."""
        self._stream.send(wire.query(sql))
        return self._until_ready()

    def rows(self, sql: str) -> list[list[str | None]]:
        """Run a query; return its rows as text."""
        response = self.run(sql)
        failed = [message for message in response if message.kind == b"E"]
        if failed:
            raise AssertionError(wire.fields(failed[0]))
        return [wire.data_row(message) for message in response if message.kind == b"D"]

    def copy_in(self, sql: str, data: bytes) -> list[Message]:
        """Run COPY ... FROM STDIN; return the response, which ends with ReadyForQuery."""
        self._stream.send(wire.query(sql))
        while (message := self._stream.read()).kind not in (b"G", b"E"):
            pass
        if message.kind == b"E":
            return [message, *self._until_ready()]
        for start in range(0, len(data), 1 << 16):
            self._stream.send(Message(b"d", data[start : start + (1 << 16)]))
        self._stream.send(Message(b"c", b""))
        return self._until_ready()

    def close(self) -> None:
        self._stream.close()

    def _until_ready(self) -> list[Message]:
        messages = []
        while True:
            message = self._stream.read()
            messages.append(message)
            if message.kind == b"Z":
                self.status = message.body
                return messages
            if message.kind == b"E" and wire.fields(message).get("S") == "FATAL":
                return messages
