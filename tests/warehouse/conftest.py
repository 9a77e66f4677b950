"""Harnesses on PostgreSQL, on the stand-in for Redshift, and on both in turn."""

import uuid
from contextlib import closing

import boto3
import psycopg2
import pytest

from tests.support.redshift import Isolation, RedshiftServer, S3Access
from tests.warehouse.harness import WarehouseHarness

ROLE = "arn:aws:iam::123456789012:role/marked-role"
KEYS = ("AKIATEST", "marked-secret-key", "")


@pytest.fixture(scope="session")
def shared_database(postgres_server):
    """One database for all tests of this folder. Each test creates its own schemas in it."""
    return postgres_server.create_database(f"warehouse_{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def redshift_access(s3_server):
    key, secret, token = KEYS
    return S3Access(
        s3_server.endpoint_url,
        "us-west-2",
        keys={key: (secret, token)},
        roles={ROLE: "(?!denied)"},
    )


@pytest.fixture(scope="session")
def redshift_server(shared_database, redshift_access):
    with RedshiftServer(shared_database, redshift_access, password="p@ss/w#rd?%:é") as server:
        yield server


@pytest.fixture(scope="session")
def snapshot_server(shared_database, redshift_access):
    with RedshiftServer(shared_database, redshift_access, isolation=Isolation.SNAPSHOT) as server:
        yield server


@pytest.fixture
def start(shared_database, redshift_access):
    """Start a stand-in with options of the test's own."""
    servers = []

    def start(**options):
        server = RedshiftServer(shared_database, redshift_access, **options)
        servers.append(server)
        return server.__enter__()

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def redshift(request):
    """The stand-in for Redshift, without faults.

    A test can have another isolation level than SERIALIZABLE as the fixture's parameter.
    """
    snapshot = getattr(request, "param", Isolation.SERIALIZABLE) is Isolation.SNAPSHOT
    server = request.getfixturevalue("snapshot_server" if snapshot else "redshift_server")
    server.clear_faults()
    yield server
    server.clear_faults()


@pytest.fixture
def on_postgres(shared_database, s3_settings, s3_client, bucket):
    return WarehouseHarness(shared_database, s3_settings, s3_client, bucket)


@pytest.fixture
def behind_redshift(shared_database):
    """Runs a statement of PostgreSQL that the stand-in would refuse."""

    def run(statement):
        with closing(psycopg2.connect(shared_database)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    return run


@pytest.fixture
def on_redshift(redshift, s3_settings, s3_client, bucket):
    return WarehouseHarness(redshift.url, s3_settings, s3_client, bucket)


@pytest.fixture(scope="session")
def s3_client(s3_server):
    return boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        region_name="us-west-2",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


@pytest.fixture
def on_snapshot_isolation(snapshot_server, s3_settings, s3_client, bucket):
    return WarehouseHarness(snapshot_server.url, s3_settings, s3_client, bucket)


@pytest.fixture(params=["PostgreSQL", "Redshift"])
def harness(request):
    """Runs the test on both warehouses."""
    name = {
        "PostgreSQL": "on_postgres",
        "Redshift": "on_redshift",
        "Redshift, SNAPSHOT": "on_snapshot_isolation",
    }[request.param]
    return request.getfixturevalue(name)
