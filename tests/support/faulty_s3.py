"""A proxy in front of an S3 server that injects faults: see :class:`FaultyS3`."""

from __future__ import annotations

import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tests.support.fault_points import FaultTrigger

Kind = Literal[
    "error",
    "unavailable",
    "throttled",
    "cut",
    "late",
    "wrong_length",
    "wrong_bytes",
    "denied",
    "bad_signature",
    "call",
]

KINDS: tuple[Kind, ...] = ("error", "unavailable", "throttled", "cut", "late", "wrong_length")
"""The kinds of random faults."""

_THROTTLED_IN_A_ROW = 3
_HOP_BY_HOP = {"connection", "expect", "host", "keep-alive", "te", "transfer-encoding"}
_REFUSALS = {
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "unavailable": (503, "ServiceUnavailable", "Service is unable to handle request."),
    "throttled": (503, "SlowDown", "Please reduce your request rate."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "bad_signature": (403, "SignatureDoesNotMatch", "The signature does not match."),
}


@dataclass
class Fault(FaultTrigger):
    """A fault in the response to a request.

    Attributes:
        request: A regular expression, searched in ``METHOD /path?query``.
        kind: ``error`` (500), ``unavailable`` and ``throttled`` (503, the latter several times in a
            row), ``denied`` and ``bad_signature`` (403, the latter repeats the signed headers, as
            S3 does): the request is refused and has no effect. In all other cases it is forwarded.
            ``cut``: the connection closes in the middle of the body, or before a response without
            a body. ``late``: the response is delayed by ``seconds``. ``wrong_length``: half the
            body is missing, and the Content-Length matches the half. ``wrong_bytes``: the last
            byte of the body differs. ``call``: a function is called before the request.
        seconds: The delay of ``late``.
        function: The function of ``call``. It runs in the request's thread.
    """

    request: str
    kind: Kind
    seconds: float = 0
    function: Callable[[], None] = lambda: None

    def applies_to(self, request: str) -> bool:
        return self.fires(re.search(self.request, request) is not None)


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class _Response:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class FaultyS3:
    """Forwards requests to ``endpoint_url`` and injects faults, a share of them at random.

    ::

        with FaultyS3(s3_server.endpoint_url, seed=1, share=0.05) as faulty:
            boto3.client("s3", endpoint_url=faulty.endpoint_url, ...)

    The seed, the request and its number of repetitions determine the random faults, independently
    of other threads.

    Args:
        endpoint_url: The real server.
        seed: The seed of the random faults.
        share: The share of requests with a random fault.
        kinds: The kinds of random faults.
        late_seconds: The delay of random ``late`` faults.
    """

    def __init__(
        self,
        endpoint_url: str,
        *,
        seed: int | str = 0,
        share: float = 0.0,
        kinds: tuple[Kind, ...] = KINDS,
        late_seconds: float = 30.0,
    ) -> None:
        self._upstream = urlsplit(endpoint_url)
        self._seed, self._share, self._kinds = seed, share, kinds
        self._late_seconds = late_seconds
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._repetitions: Counter[str] = Counter()
        self._throttling = 0
        self.triggered: Counter[str] = Counter()
        self.requests: list[str] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._stopped = threading.Event()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def inject(self, request: str, kind: Kind, **options: Any) -> Fault:
        """Inject a fault: see :class:`Fault`."""
        assert kind in get_args(Kind), kind
        fault = Fault(request, kind, **options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Stop injecting faults."""
        with self._lock:
            self._faults.clear()
            self._share = 0.0
            self._throttling = 0

    def __enter__(self) -> FaultyS3:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _fault_at(self, request: str) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            number = self._repetitions[request]
            self._repetitions[request] += 1
            fault = next((fault for fault in self._faults if fault.applies_to(request)), None)
            fault = fault or self._random_fault(request, number)
            if fault:
                self.triggered[fault.kind] += 1
            return fault

    def _random_fault(self, request: str, number: int) -> Fault | None:
        if self._throttling:
            self._throttling -= 1
            return Fault("", "throttled")
        rng = random.Random(f"{self._seed}/{request}/{number}")
        if rng.random() >= self._share:
            return None
        kind = rng.choice(self._kinds)
        if kind == "throttled":
            self._throttling = _THROTTLED_IN_A_ROW - 1
        return Fault("", kind, seconds=self._late_seconds)

    def _forward(self, request: _Request) -> _Response:
        """Return the response of the real server."""
        connection = HTTPConnection(str(self._upstream.hostname), self._upstream.port, timeout=120)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            response = connection.getresponse()
            return _Response(
                response.status, response.reason, response.getheaders(), response.read()
            )
        finally:
            connection.close()

    def _respond(self, handler: BaseHTTPRequestHandler, request: _Request) -> None:
        fault = self._fault_at(f"{request.method} {request.path}")
        kind = fault.kind if fault else ""
        if fault and kind in _REFUSALS:
            _send(handler, _refusal(kind, request))
            return
        if fault and kind == "call":
            fault.function()
        response = self._forward(request)
        if fault and kind == "late":
            self._stopped.wait(fault.seconds)
        if kind == "cut":
            _send_half(handler, response)
        elif kind == "wrong_length":
            _send(handler, _halved(response))
        elif kind == "wrong_bytes":
            _send(
                handler, replace(response, body=response.body[:-1] + bytes([response.body[-1] ^ 1]))
            )
        else:
            _send(handler, response)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _proxy_request(self) -> None:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                }
                request = _Request(self.command, self.path, headers, self._body())
                try:
                    proxy._respond(self, request)
                except (OSError, HTTPException):  # the client or the server closed the connection
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _proxy_request  # noqa: N815 - http.server's

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                chunks = []
                while size := int(self.rfile.readline().partition(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(chunks)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _refusal(kind: str, request: _Request) -> _Response:
    status, code, message = _REFUSALS[kind]
    signed = "\n".join(f"{name}:{value}" for name, value in request.headers.items())
    canonical = f"<CanonicalRequest>{escape(signed)}</CanonicalRequest>" * (kind == "bad_signature")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>{canonical}</Error>"
    )
    return _Response(status, code, [("Content-Type", "application/xml")], body.encode())


def _halved(response: _Response) -> _Response:
    return replace(response, body=response.body[: len(response.body) // 2])


def _send(handler: BaseHTTPRequestHandler, response: _Response) -> None:
    _send_head(handler, response, len(response.body))
    if handler.command != "HEAD":
        handler.wfile.write(response.body)


def _send_half(handler: BaseHTTPRequestHandler, response: _Response) -> None:
    """Close the connection in the middle of the body, or before a response without a body."""
    if response.body and handler.command != "HEAD":
        _send_head(handler, response, len(response.body))
        handler.wfile.write(response.body[: len(response.body) // 2])
        time.sleep(0.01)  # otherwise the client may not even receive the headers
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


def _send_head(handler: BaseHTTPRequestHandler, response: _Response, length: int) -> None:
    handler.send_response_only(response.status, response.reason)
    for name, value in response.headers:
        is_length = name.lower() == "content-length"
        if name.lower() not in _HOP_BY_HOP and not (is_length and handler.command != "HEAD"):
            handler.send_header(name, value)
    if handler.command != "HEAD":
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
