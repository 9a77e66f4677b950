"""S3 over a connection that breaks: in the middle of a body, and before an answer."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spade_spark.errors import InputError, TransientError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from tests.support.faulty_s3 import FaultyS3


class Faulty(ThreadingHTTPServer):
    """Has one object, and the number of connections that are to break."""

    data = b"first version"
    breaks = 0


class OneObject(BaseHTTPRequestHandler):
    """Keeps one object, heeds conditions, and breaks as many connections as it is told to."""

    protocol_version = "HTTP/1.1"
    server: Faulty

    def do_GET(self):
        data = self.server.data
        self.send_response(200)
        self.send_header("ETag", f'"{etag(data)}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self._break():
            self.wfile.write(data[:3])
            return
        self.wfile.write(data)

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["If-Match"].strip('"') == etag(self.server.data):
            self.server.data = data
            status, body = 200, b""
        else:
            status, body = 412, b"<Error><Code>PreconditionFailed</Code></Error>"
        if self._break():
            return
        self.send_response(status)
        self.send_header("ETag", f'"{etag(data)}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""

    def _break(self):
        self.server.breaks -= 1
        self.close_connection = self.server.breaks >= 0
        return self.close_connection


def etag(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def server():
    with Faulty(("127.0.0.1", 0), OneObject) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def store(server, aws_keys):
    return open_store("s3://b/", S3Settings(endpoint_url=f"http://127.0.0.1:{server.server_port}"))


def test_a_snapshot_whose_body_was_cut_is_read_anew(server, store):
    server.breaks = 2
    assert store.snapshot("k").data == b"first version"


def test_a_snapshot_that_is_cut_again_and_again_is_given_up(server, store):
    server.breaks = 1000
    with pytest.raises(TransientError, match=r"s3://b/k: the connection broke \d+ times"):
        store.snapshot("k")


def test_a_replace_whose_answer_was_lost_is_known_for_ones_own(server, store):
    seen = store.snapshot("k")
    server.breaks = 1
    assert store.replace("k", b"second", seen.etag)
    assert server.data == b"second"


def test_a_replace_that_somebody_else_was_before_is_refused(server, store):
    seen = store.snapshot("k")
    server.data = b"another's"
    assert not store.replace("k", b"second", seen.etag)
    assert server.data == b"another's"


def test_a_connection_that_is_refused_is_a_fault_that_passes(server, store, monkeypatch):
    """A gateway that restarts, for example; credentials have nothing to do with it."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    server.shutdown()
    server.server_close()
    with pytest.raises(TransientError, match=r"s3://b/k: S3 does not answer \(EndpointConnection"):
        store.read("k")


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("throttled", TransientError, "S3 answered 503 SlowDown; run the same command again"),
        (
            "denied",
            InputError,
            "S3 refused it \\(403 AccessDenied\\): check the role's permissions",
        ),
    ],
)
def test_an_upload_that_is_refused_to_the_end_is_told_like_everything_else(
    s3_settings, bucket, tmp_path, monkeypatch, *, kind, error, said
):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    file = tmp_path / "file"
    file.write_bytes(b"rows")
    with FaultyS3(s3_settings.endpoint_url) as faulty:
        faulty.inject("PUT", kind, times=100)
        settings = S3Settings(endpoint_url=faulty.endpoint_url, region=s3_settings.region)
        with pytest.raises(error, match=f"^s3://{bucket}/key: {said}$"):
            open_store(f"s3://{bucket}/", settings).upload("key", file)
