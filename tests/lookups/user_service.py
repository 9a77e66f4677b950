"""A user service over real HTTP that can simulate failures."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """A simulated response."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not print errors of clients that closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class UserService:
    """Serves ``ids``, unless ``next_replies`` (one per request) or ``always`` has a reply."""

    def __init__(self) -> None:
        self.ids: dict[str, object] = {}
        self.next_replies: deque[Reply] = deque()
        self.always: Reply | None = None
        self.delay = 0.0
        self.logins: list[str] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/lookup"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reply(self, path: str, headers: dict[str, str]) -> Reply:
        login = parse_qs(urlsplit(path).query, keep_blank_values=True)["login"][0]
        with self._lock:
            self.logins.append(login)
            self.paths.append(path)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            if self.next_replies:
                return self.next_replies.popleft()
        if self.always:
            return self.always
        if login not in self.ids:
            return Reply(status=404, delay=self.delay)
        body = {"results": [{"id": self.ids[login]}]}
        return Reply(body=json.dumps(body).encode(), delay=self.delay)

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connected()
                super().setup()

            def do_GET(self) -> None:
                reply = service.reply(self.path, dict(self.headers))
                time.sleep(reply.delay)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        return Handler
