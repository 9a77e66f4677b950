"""S3 over a connection that breaks: in the middle of a body, and before a response."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spade_spark.errors import InputError, TransientError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from tests.support.faulty_s3 import FaultyS3


class FaultyServer(ThreadingHTTPServer):
    """A server with one object that breaks the next ``breaks`` connections."""

    data = b"first version"
    breaks = 0


class OneObject(BaseHTTPRequestHandler):
    """Serves one object with conditional writes, and breaks connections."""

    protocol_version = "HTTP/1.1"
    server: FaultyServer

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
        """Log nothing."""

    def _break(self):
        self.server.breaks -= 1
        self.close_connection = self.server.breaks >= 0
        return self.close_connection


def etag(data):
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def server():
    with FaultyServer(("127.0.0.1", 0), OneObject) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def store(server, aws_keys):
    return open_store("s3://b/", S3Settings(endpoint_url=f"http://127.0.0.1:{server.server_port}"))


def test_a_small_object_is_read_again_after_a_broken_connection(server, store):
    server.breaks = 2
    assert store.read_versioned("k").data == b"first version"


def test_repeatedly_broken_reads_end_in_an_error(server, store):
    server.breaks = 1000
    with pytest.raises(TransientError, match=r"s3://b/k: the connection broke \d+ times"):
        store.read_versioned("k")


def test_a_replace_whose_response_was_lost_counts_as_successful(server, store):
    versioned = store.read_versioned("k")
    server.breaks = 1
    assert store.replace("k", b"second", versioned.etag)
    assert server.data == b"second"


def test_a_replace_after_another_write_is_refused(server, store):
    versioned = store.read_versioned("k")
    server.data = b"another's"
    assert not store.replace("k", b"second", versioned.etag)
    assert server.data == b"another's"


def test_a_refused_connection_is_a_transient_error(server, store, monkeypatch):
    """For example a gateway that restarts; the message must not suggest to check credentials."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    server.shutdown()
    server.server_close()
    with pytest.raises(TransientError, match=r"s3://b/k: S3 does not respond \(EndpointConnection"):
        store.read("k")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("throttled", TransientError, "S3 returned 503 SlowDown; run the same command again"),
        (
            "denied",
            InputError,
            "S3 refused the request \\(403 AccessDenied\\): check the permissions of the "
            "credentials",
        ),
    ],
)
def test_a_failed_upload_is_reported_like_any_other_request(
    s3_settings, bucket, tmp_path, monkeypatch, *, kind, error, message
):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    file = tmp_path / "file"
    file.write_bytes(b"rows")
    with FaultyS3(s3_settings.endpoint_url) as faulty:
        faulty.inject("PUT", kind, times=100)
        settings = S3Settings(endpoint_url=faulty.endpoint_url, region=s3_settings.region)
        with pytest.raises(error, match=f"^s3://{bucket}/key: {message}$"):
            open_store(f"s3://{bucket}/", settings).upload("key", file)
