"""A proxy in front of an S3 server that does what S3 does on a bad day: see :class:`FaultyS3`."""

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
"""What strikes at random."""

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
    """Something that goes wrong at a request.

    Attributes:
        request: A regular expression; the fault strikes at requests whose ``METHOD /path?query``
            it is found in.
        kind: ``error`` (500), ``unavailable`` and ``throttled`` (503; the latter several times in
            a row), ``denied`` and ``bad_signature`` (403; the latter repeats what was signed, as S3
            does, keys and all): refused, nothing done. ``cut``: done, but the connection ends
            in the middle of the answer, or before an answer without a body. ``late``: done, but
            answered only after ``seconds``. ``wrong_length``: done, but half the body is missing
            and the Content-Length is that of the half. ``wrong_bytes``: done, but the body's last
            byte is another. ``call``: a function is called first.
        seconds: How late.
        function: What ``call`` calls, in the request's thread.
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
class _Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class FaultyS3:
    """Passes requests on to ``endpoint_url``; a share of them, at random, goes wrong.

    ::

        with FaultyS3(s3_server.endpoint_url, seed=1, share=0.05) as faulty:
            boto3.client("s3", endpoint_url=faulty.endpoint_url, ...)

    What strikes a request follows from the seed, the request and how often it was made, whatever
    other threads do meanwhile.

    Args:
        endpoint_url: The server behind.
        seed: Of the dice.
        share: Of the requests that go wrong by themselves.
        kinds: What may happen to them.
        late_seconds: How late a late answer comes.
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
        self._behind = urlsplit(endpoint_url)
        self._seed, self._share, self._kinds = seed, share, kinds
        self._late_seconds = late_seconds
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._made: Counter[str] = Counter()
        self._throttling = 0
        self.triggered: Counter[str] = Counter()
        self.requests: list[str] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._stopped = threading.Event()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def inject(self, request: str, kind: Kind, **how: Any) -> Fault:
        """Makes something go wrong at the next such request: see :class:`Fault`."""
        assert kind in get_args(Kind), kind
        fault = Fault(request, kind, **how)
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._waiting.clear()
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
            number = self._made[request]
            self._made[request] += 1
            fault = next((each for each in self._waiting if each.applies_to(request)), None)
            fault = fault or self._by_chance(request, number)
            if fault:
                self.triggered[fault.kind] += 1
            return fault

    def _by_chance(self, request: str, number: int) -> Fault | None:
        if self._throttling:
            self._throttling -= 1
            return Fault("", "throttled")
        dice = random.Random(f"{self._seed}/{request}/{number}")
        if dice.random() >= self._share:
            return None
        kind = dice.choice(self._kinds)
        if kind == "throttled":
            self._throttling = _THROTTLED_IN_A_ROW - 1
        return Fault("", kind, seconds=self._late_seconds)

    def _ask(self, request: _Request) -> _Answer:
        """The answer of the server behind."""
        connection = HTTPConnection(str(self._behind.hostname), self._behind.port, timeout=120)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.reason, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def _answer(self, handler: BaseHTTPRequestHandler, request: _Request) -> None:
        fault = self._fault_at(f"{request.method} {request.path}")
        kind = fault.kind if fault else ""
        if fault and kind in _REFUSALS:
            _send(handler, _refusal(kind, request))
            return
        if fault and kind == "call":
            fault.function()
        answer = self._ask(request)
        if fault and kind == "late":
            self._stopped.wait(fault.seconds)
        if kind == "cut":
            _send_half(handler, answer)
        elif kind == "wrong_length":
            _send(handler, _halved(answer))
        elif kind == "wrong_bytes":
            _send(handler, replace(answer, body=answer.body[:-1] + bytes([answer.body[-1] ^ 1])))
        else:
            _send(handler, answer)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                }
                request = _Request(self.command, self.path, headers, self._body())
                try:
                    proxy._answer(self, request)
                except (OSError, HTTPException):  # either side hung up
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - http.server's

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
        """Says nothing of clients that hang up or were killed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _refusal(kind: str, request: _Request) -> _Answer:
    status, code, message = _REFUSALS[kind]
    signed = "\n".join(f"{name}:{value}" for name, value in request.headers.items())
    more = f"<CanonicalRequest>{escape(signed)}</CanonicalRequest>" * (kind == "bad_signature")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    )
    return _Answer(status, code, [("Content-Type", "application/xml")], body.encode())


def _halved(answer: _Answer) -> _Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _send(handler: BaseHTTPRequestHandler, answer: _Answer) -> None:
    _send_head(handler, answer, len(answer.body))
    if handler.command != "HEAD":
        handler.wfile.write(answer.body)


def _send_half(handler: BaseHTTPRequestHandler, answer: _Answer) -> None:
    """The connection ends in the middle of the body; before the answer, where it has none."""
    if answer.body and handler.command != "HEAD":
        _send_head(handler, answer, len(answer.body))
        handler.wfile.write(answer.body[: len(answer.body) // 2])
        time.sleep(0.01)  # or the whole of it may be lost, head and all
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


def _send_head(handler: BaseHTTPRequestHandler, answer: _Answer, length: int) -> None:
    handler.send_response_only(answer.status, answer.reason)
    for name, value in answer.headers:
        is_length = name.lower() == "content-length"
        if name.lower() not in _HOP_BY_HOP and not (is_length and handler.command != "HEAD"):
            handler.send_header(name, value)
    if handler.command != "HEAD":
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
