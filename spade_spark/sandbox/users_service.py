"""The sandbox's users service: user ids by login, as JSON over HTTP.

::

    GET /?login=kariso0   →   {"results": [{"id": 4711}]}
    GET /?login=nobody    →   {"results": []}
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import msgspec

from spade_spark.sandbox.subprocesses import ChildProcess, report_ready, wait_for_parent


class UsersService(ChildProcess):
    """The service as a child process, on a free loopback port.

    Args:
        table: A JSON file with the user id of each login.
    """

    def __init__(self, table: Path) -> None:
        super().__init__("spade_spark.sandbox.users_service", str(table))

    @property
    def url(self) -> str:
        """The value of the setting ``lookups.users.url``."""
        return self.ready_line


class _Handler(BaseHTTPRequestHandler):
    """Looks logins up in :attr:`users`, over persistent connections."""

    protocol_version = "HTTP/1.1"
    # Buffer the response: an unbuffered one waits for the client's delayed ACK (40 ms).
    wbufsize = -1
    users: dict[str, int]

    def do_GET(self) -> None:
        """Respond to one request."""
        logins = parse_qs(urlsplit(self.path).query).get("login")
        if not logins:
            self._respond(HTTPStatus.BAD_REQUEST, {"error": "use ?login=NAME"})
            return
        user_id = self.users.get(logins[0])
        self._respond(HTTPStatus.OK, {"results": [] if user_id is None else [{"id": user_id}]})

    def _respond(self, status: HTTPStatus, body: dict[str, object]) -> None:
        data = msgspec.json.encode(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's name
        """Do not log requests."""


def main(table: str) -> None:
    """Serve the table until the parent ends."""
    users = msgspec.json.decode(Path(table).read_bytes(), type=dict[str, int])
    handler = type("Handler", (_Handler,), {"users": users})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    report_ready(f"http://127.0.0.1:{server.server_port}/")
    wait_for_parent()


if __name__ == "__main__":
    main(sys.argv[1])
