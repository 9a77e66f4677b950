"""What all experiments share: edge logs, schemas, and a warehouse with wrong rows in the window."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psycopg2

from spade_spark.sandbox.services import PostgresServer, S3Server
from spade_spark.settings import S3Settings
from spade_spark.storage.base import Store, open_store
from tests.chaos.cluster import Cluster
from tests.support import edge_logs
from tests.support.redshift import Isolation, S3Access
from tests.support.redshift.sql import SETUP

WINDOW = ("2017-11-03 10:00:00", "2017-11-03 11:59:59")
TABLES = ("chat", "login", "play", "quit", "score")
OBJECTS = 8
LOADER = "loader"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIACHAOS", "AWS_SECRET_ACCESS_KEY": "secret-of-chaos"}

_EVENTS = 60  # per object
_PADDING = 7000  # incompressible bytes per event: the 8 objects become 4 partitions
_FIRST = datetime(2017, 11, 3, 17)  # noqa: DTZ001 - UTC, as edge_logs.record writes it
BEFORE = "chaos_before"
"""The database with wrong rows in the window."""

# The payload is truncated after the table's name, so that the record is quarantined.
_MALFORMED = edge_logs.envelope('{"event": "login"')

_DDL = """
CREATE SCHEMA physical;
CREATE SCHEMA infra;
CREATE SCHEMA replay_backup;
CREATE TABLE infra.table_version (name varchar(127), version int, ts timestamp);
GRANT USAGE ON SCHEMA physical TO loader;
GRANT USAGE, CREATE ON SCHEMA infra TO loader;
GRANT USAGE, CREATE ON SCHEMA replay_backup TO loader;
GRANT SELECT ON infra.table_version TO loader;
"""
_TABLE_DDL = """
INSERT INTO infra.table_version VALUES ('{0}', 1, '2017-01-01');
CREATE TABLE physical.{0} (time timestamp, who varchar(20), n int);
INSERT INTO physical.{0} VALUES ('2017-11-03 09:59:59', 'before', 1),
    ('2017-11-03 10:00:00', 'wrong', 2), ('2017-11-03 11:30:00', 'wrong', 3),
    ('2017-11-03 11:30:00', 'wrong', 3), ('2017-11-03 12:00:00', 'after', 4);
GRANT SELECT, INSERT, DELETE ON physical.{0} TO loader;
"""

Tables = dict[str, list[tuple[Any, ...]]]
"""Each table's rows, sorted."""


@dataclass
class ChaosEnvironment:
    """The servers, the logs, and the warehouse of which each trial gets a copy.

    Attributes:
        s3: The S3 server behind all proxies.
        postgres: The PostgreSQL behind all warehouses.
        folder: The folder for files.
        bucket: The bucket of all objects.
        keys: The keys of the edge logs, below ``edge/``.
        isolation: The isolation level of the warehouses.
        stack: Resources to close with the environment.
        verified: Digests of the manifests that were already checked.
    """

    s3: S3Server
    postgres: PostgresServer
    folder: Path
    bucket: str = field(default_factory=lambda: f"chaos-{uuid.uuid4().hex[:8]}")
    keys: tuple[str, ...] = ()
    isolation: Isolation = Isolation.SERIALIZABLE
    stack: ExitStack = field(default_factory=ExitStack)
    verified: set[str] = field(default_factory=set)

    @cached_property
    def cluster(self) -> Cluster:
        """A Spark cluster, started at its first use."""
        return self.stack.enter_context(Cluster(self.folder))

    @property
    def settings(self) -> S3Settings:
        return S3Settings(endpoint_url=self.s3.endpoint_url, region="us-west-2")

    @cached_property
    def store(self) -> Store:
        """The bucket, without a proxy."""
        return open_store(f"s3://{self.bucket}/", self.settings)

    @property
    def access(self) -> S3Access:
        key, secret = KEYS.values()
        return S3Access(self.s3.endpoint_url, "us-west-2", {key: (secret, "")}, {})

    @property
    def conf(self) -> str:
        """The settings."""
        return f"""
[blueprint]
schemas = "s3://{self.bucket}/schemas.json"
[input]
edge = "s3://{self.bucket}/edge/"
time_source = "key"
[output]
base = "s3://{self.bucket}/out/"
[s3]
region = "us-west-2"
[spark]
"spark.ui.enabled" = "false"
"""

    def prepare(self) -> None:
        """Fill the bucket and create the warehouse."""
        client = boto3.client("s3", endpoint_url=self.s3.endpoint_url, region_name="us-west-2")
        client.create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )
        self.store.write("schemas.json", _schemas())
        self.keys = tuple(fill(self.store, "edge/"))
        self.sql("CREATE ROLE loader LOGIN", self.postgres.url())
        self.sql(f"CREATE DATABASE {BEFORE}", self.postgres.url())
        ddl = _DDL + "".join(_TABLE_DDL.format(table) for table in TABLES) + SETUP
        self.sql(ddl, self.postgres.url(BEFORE))

    @contextmanager
    def warehouse(self, template: str = BEFORE) -> Iterator[str]:
        """Create a copy of a warehouse; yield its URL as the owner of all objects."""
        name = f"chaos_{uuid.uuid4().hex[:8]}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}", self.postgres.url())
        try:
            yield self.postgres.url(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)", self.postgres.url())

    def save_template(self, url: str, name: str) -> None:
        """Save a warehouse's current state as a template."""
        source = urlsplit(url).path.strip("/")
        self.sql(f"CREATE DATABASE {name} TEMPLATE {source}", self.postgres.url())

    def clear(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        for entry in list(self.store.list(prefix)):
            self.store.delete(entry.key)

    @staticmethod
    def sql(statements: str, url: str) -> list[tuple[Any, ...]]:
        """Run statements with autocommit; return the rows of the last one."""
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statements)
            return list(cursor.fetchall()) if cursor.description else []

    def rows(self, url: str) -> Tables:
        """All rows of all tables, from one query."""
        query = " UNION ALL ".join(
            f"SELECT '{table}', time::text, who, n FROM physical.{table}" for table in TABLES
        )
        tables: Tables = {table: [] for table in TABLES}
        for table, *row in self.sql(query, url):
            tables[table].append(tuple(row))
        return {table: in_order(rows) for table, rows in tables.items()}


def in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sort rows that may contain NULL."""
    return sorted(rows, key=repr)


def fill(store: Store, prefix: str) -> Iterator[str]:
    """Write the window's logs below ``prefix``; yield their keys relative to it."""
    for number in range(OBJECTS):
        closed = _FIRST + timedelta(minutes=20 * number)
        key = edge_logs.key(closed.isoformat(), f"node{number}")
        store.write(prefix + key, log_object(number))
        yield key


def log_object(number: int) -> bytes:
    """Log object ``number``: events of all outcomes, some outside the window."""
    rng = random.Random(number)
    lines = [_line(rng) for _ in range(_EVENTS)]
    data: bytes = edge_logs.log(
        [
            *lines,
            edge_logs.record("unknown", {"a": 1}),
            _MALFORMED,
            edge_logs.envelope("no json"),
            b"none",
        ]
    )
    return data


def _line(rng: random.Random) -> bytes:
    at = _FIRST + timedelta(seconds=rng.randrange(-600, 2 * 3600 + 600))
    properties = {
        "who": rng.choice(["ann", "böb", "zoë'\\", 'quo"te', "tab\there"]),
        "n": rng.choice([None, rng.randrange(100_000)]),
        "padding": base64.b64encode(rng.randbytes(_PADDING)).decode(),
    }
    line: bytes = edge_logs.record(rng.choice(TABLES), properties, f"{at.isoformat()}Z")
    return line


def _schemas() -> bytes:
    columns = (
        edge_logs.column("time", "f@timestamp@unix"),
        edge_logs.column("who", "varchar", options="(20)"),
        edge_logs.column("n", "int"),
    )
    published: bytes = edge_logs.schemas(*(edge_logs.table(name, *columns) for name in TABLES))
    return published


@contextmanager
def prepared_environment(folder: Path) -> Iterator[ChaosEnvironment]:
    """Start the servers and fill them. The caller sets the keys in the process environment."""
    with S3Server() as s3, PostgresServer() as postgres:
        env = ChaosEnvironment(s3, postgres, folder)
        with env.stack:
            env.prepare()
            yield env
