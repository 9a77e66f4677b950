from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pymemcache.client.base import Client

from spade_spark.lookups.user_ids import CachedUserIdLookup
from spade_spark.retry import RetryPolicy
from spade_spark.settings import S3Settings, UsersSettings
from tests.lookups.user_service import UserService

QUICK = RetryPolicy(max_attempts=3, max_seconds=10, initial_wait=0.01, max_wait=0.3)


@pytest.fixture
def users() -> Iterator[UserService]:
    with closing(UserService()) as service:
        yield service


@pytest.fixture
def open_lookup(users: UserService) -> Callable[..., CachedUserIdLookup]:
    """Return a function that opens a lookup with the given settings, as each Python worker does."""

    def build(*, pause: float = 10, **settings: Any) -> CachedUserIdLookup:
        values = {"url": users.url, "rate_per_second": 100_000, "timeout": "5s"} | settings
        checked = UsersSettings.model_validate(values)
        return CachedUserIdLookup(checked, retries=QUICK, pause=pause)

    return build


class MemcachedServer:
    """A memcached process on a free port."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.address, timeout=5)

    def start(self) -> None:
        command = [self._binary, "-l", "127.0.0.1", "-p", str(self.port), "-m", "16", "-t", "1"]
        if os.getuid() == 0:
            command += ["-u", "root"]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while not self._responds():
            assert self._process.poll() is None, "memcached did not start"
            assert time.monotonic() < deadline, "memcached does not respond"
            time.sleep(0.01)

    def stop(self) -> None:
        self._process.kill()  # it has no data to save, and SIGTERM takes a second
        self._process.wait()

    def _responds(self) -> bool:
        try:
            with closing(self.client()) as client:
                return bool(client.version())
        except OSError:
            return False


@pytest.fixture
def memcached() -> Iterator[MemcachedServer]:
    binary = shutil.which("memcached")
    if binary is None:
        missing = "memcached is not installed (apt-get install memcached)"
        if os.environ.get("SPADE_REQUIRE_MEMCACHED") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    server = MemcachedServer(binary)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Settings:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return S3Settings(endpoint_url=s3_endpoint)


@pytest.fixture
def bucket(s3: S3Settings) -> Iterator[Any]:
    """An empty bucket named ``lookups``."""
    resource = boto3.resource("s3", endpoint_url=s3.endpoint_url, region_name=s3.region)
    bucket = resource.create_bucket(
        Bucket="lookups", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory in place of a node's ``/tmp``."""
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
