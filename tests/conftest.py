"""Fixtures that many tests share, among them an S3 API and a PostgreSQL server per session."""

import signal
import uuid
from contextlib import closing, nullcontext

import boto3
import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier

from spade_spark.sandbox.services import PostgresServer, S3Server
from spade_spark.settings import S3Settings
from tests.chaos.thread_spark import on_threads


@pytest.fixture
def default_signals():
    """Let SIGINT, SIGQUIT and SIGHUP reach this process and its children, as from a terminal.

    If the tests run in the background or under ``nohup``, some of these signals are ignored, and
    children inherit that.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGQUIT: signal.signal(signal.SIGQUIT, signal.SIG_DFL),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def s3_server():
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server():
    with PostgresServer() as server:
        yield server


@pytest.fixture(
    params=["threads", pytest.param("spark", marks=[pytest.mark.slow, pytest.mark.spark])]
)
def engine(request):
    """Run the tasks on threads of this process, or on Spark. The test must pass with both."""
    with on_threads() if request.param == "threads" else nullcontext():
        yield


@pytest.fixture
def aws_keys(monkeypatch):
    """Set AWS keys in the environment, where executors find them; the server accepts any."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "marked-secret-key")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def s3_settings(s3_server, aws_keys):
    return S3Settings(endpoint_url=s3_server.endpoint_url, region="us-west-2")


@pytest.fixture
def bucket(s3_settings):
    """Create a bucket for the test; return its name."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3", endpoint_url=s3_settings.endpoint_url, region_name=s3_settings.region
    )
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3_settings.region}
    )
    return name


@pytest.fixture
def database(postgres_server):
    """The URL of a new database of the test's own.

    It is dropped at once: to remove hundreds of them at the end takes longer than the server has
    before it is killed, and then its directory stays.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres_server.create_database(name)
    with closing(psycopg2.connect(postgres_server.url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
