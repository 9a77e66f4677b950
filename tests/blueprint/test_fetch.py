"""Fetching from S3, HTTP and files, compressed or not."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spade_spark.blueprint.fetch import fetch
from spade_spark.errors import InputError, ObjectNotFoundError, SettingsError, TransientError
from spade_spark.retry import RetryPolicy
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store

LIST = b'[{"EventName": "t"}]'


class Publisher(ThreadingHTTPServer):
    """A local server; ``requests`` has the requested paths in order."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Responds by path: /busy fails once, /down always; /moved redirects; /missing returns 404."""

    server: Publisher

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        busy = path == "/busy" and self.server.requests.count("/busy") == 1
        status = 503 if busy else {"/down": 500, "/missing": 404, "/moved": 301}.get(path, 200)
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "/list")
        body = gzip.compress(LIST, mtime=0) if path.endswith(".gz") else LIST
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher():
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(publisher):
    return f"http://127.0.0.1:{publisher.server_port}"


@pytest.fixture
def quick_retries(monkeypatch):
    """Two attempts with a short wait."""
    quick = RetryPolicy(max_attempts=2, max_seconds=5, initial_wait=0.01, max_wait=0.01)
    monkeypatch.setattr("spade_spark.blueprint.fetch._RETRIES", quick)


@pytest.mark.parametrize(
    "body",
    [
        LIST,
        gzip.compress(LIST, mtime=0),
        gzip.compress(LIST[:5], mtime=0) + gzip.compress(LIST[5:], mtime=0),
    ],
)
def test_a_file_is_read_compressed_or_not(tmp_path, body):
    path = tmp_path / "schemas"
    path.write_bytes(body)
    assert fetch(str(path), S3Settings()) == LIST


def test_a_missing_file_is_a_settings_error(tmp_path):
    with pytest.raises(SettingsError, match=r"file .*/nothing does not exist: check \[blueprint"):
        fetch(str(tmp_path / "nothing"), S3Settings())


def test_a_directory_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*: Is a directory"):
        fetch(str(tmp_path), S3Settings())


@pytest.mark.parametrize("cut", [3, 15, 30])
def test_truncated_gzip_data_is_an_error(tmp_path, cut):
    path = tmp_path / "schemas.gz"
    path.write_bytes(gzip.compress(LIST, mtime=0)[:cut])
    with pytest.raises(InputError, match=r"the gzip data of .*/schemas\.gz is corrupt"):
        fetch(str(path), S3Settings())


@pytest.mark.parametrize("key", ["schemas.json.gz", "deeper/folder/schemas.json.gz"])
def test_an_object_on_s3_is_read(s3_settings, bucket, key):
    open_store(f"s3://{bucket}/", s3_settings).write(key, gzip.compress(LIST, mtime=0))
    assert fetch(f"s3://{bucket}/{key}", s3_settings) == LIST


def test_a_missing_object_on_s3_is_an_error(s3_settings, bucket):
    with pytest.raises(ObjectNotFoundError, match="nothing"):
        fetch(f"s3://{bucket}/nothing", s3_settings)


@pytest.mark.parametrize("path", ["/list", "/list.gz", "/moved", "/busy"])
def test_a_list_is_fetched_over_http_with_redirects_and_retries(url, quick_retries, path):
    assert fetch(url + path, S3Settings()) == LIST


def test_status_404_is_not_retried(publisher, url, quick_retries):
    with pytest.raises(InputError, match="/missing returned status 404"):
        fetch(f"{url}/missing", S3Settings())
    assert publisher.requests == ["/missing"]


def test_a_server_error_is_retried_and_its_message_has_no_secrets(publisher, url, quick_retries):
    address = url.replace("http://", "http://user:secret@")
    with pytest.raises(TransientError, match=f"^{url}/down returned status 500; retry later$"):
        fetch(f"{address}/down?token=secret", S3Settings())
    assert publisher.requests == ["/down", "/down"]


def test_an_unreachable_server_is_an_error_with_its_url(url, publisher, quick_retries):
    publisher.shutdown()
    publisher.server_close()
    with pytest.raises(TransientError, match=f"^{url}/list does not respond"):
        fetch(f"{url}/list", S3Settings())
