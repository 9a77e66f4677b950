"""What a replay needs: logs, Blueprint's schemas, settings, and a warehouse with wrong rows."""

from __future__ import annotations

import json
import uuid
from contextlib import closing

import psycopg2

from spade_spark.cli.main import main
from spade_spark.storage.base import open_store
from tests.support import edge_logs

WINDOW = ("2017-11-03 10:00:00", "2017-11-03 11:59:59")

CONTROL = """
CREATE SCHEMA physical;
CREATE SCHEMA infra;
CREATE TABLE infra.table_version (name varchar(127), version int, ts timestamp);
"""

TABLES = """
INSERT INTO infra.table_version VALUES ('login', 2, '2017-01-01'), ('login', 3, '2017-02-01'),
                                       ('chat', 1, '2017-01-01');
CREATE TABLE physical.login (time timestamp, login varchar(20), n int);
CREATE TABLE physical.chat (time timestamp, text varchar(100));
INSERT INTO physical.login VALUES ('2017-11-03 09:59:59', 'before', 1),
    ('2017-11-03 10:00:00', 'wrong', 2), ('2017-11-03 11:30:00', 'wrong', 3),
    ('2017-11-03 12:00:00', 'after', 4);
INSERT INTO physical.chat VALUES ('2017-11-03 10:30:00', 'wrong');
"""

BEFORE = ("2017-11-03 09:59:59", "before", 1)
AFTER = ("2017-11-03 12:00:00", "after", 4)


class ReplayHarness:
    """A bucket with logs and schemas, settings, and a warehouse.

    Args:
        folder: The folder of the settings file.
        bucket: The bucket of all objects.
        s3: The S3 settings.
        url: The URL of a new database; "" for tests without a load.
        tables: The tables that Blueprint publishes.
        ddl: The warehouse's tables and rows, in addition to the control tables.
    """

    def __init__(
        self, folder, bucket, s3, url, *, tables=(edge_logs.LOGIN, edge_logs.CHAT), ddl=TABLES
    ):
        self.bucket, self.s3, self.url = bucket, s3, url
        self.store = open_store(f"s3://{bucket}/", s3)
        self.store.write("schemas.json", edge_logs.schemas(*tables))
        self.tag = f"run-{uuid.uuid4().hex[:8]}"
        self.conf = folder / "conf.toml"
        self.conf.write_text(
            f"""
            [blueprint]
            schemas = "s3://{bucket}/schemas.json"
            [input]
            edge = "s3://{bucket}/edge/"
            time_source = "key"
            [output]
            base = "s3://{bucket}/out/"
            [s3]
            endpoint_url = "{s3.endpoint_url}"
            [spark]
            "spark.master" = "local[2]"
            "spark.ui.enabled" = "false"
            """
        )
        if url:
            self.sql(CONTROL + ddl)

    def configure(self, old, new):
        """Replace ``old`` with ``new`` in the settings file."""
        text = self.conf.read_text()
        assert old in text
        self.conf.write_text(text.replace(old, new))

    def log(self, closed, lines, node="node"):
        """Write a log that was closed at a UTC time; return its key."""
        key = edge_logs.key(closed, node)
        self.put(key, edge_logs.log(lines))
        return key

    def put(self, key, data):
        self.store.write(f"edge/{key}", data)

    def sql(self, statements):
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statements)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def rows(self, table):
        return [
            (str(time), *values)
            for time, *values in self.sql(f"SELECT * FROM physical.{table} ORDER BY 1, 2")
        ]

    def replay(self, *arguments, window=WINDOW):
        options = ["--conf", str(self.conf), "--rsurl", self.url, "--runtag", self.tag]
        return main(["replay", *window, *options, *arguments])

    def report(self):
        return json.loads(self.store.read(f"out/{self.tag}/_report.json"))


def log_full_window(harness):
    """Write the window's logs: two objects with all outcomes."""
    harness.log(
        "2017-11-03T18:00:00",
        [
            edge_logs.record("login", {"login": "ann", "n": 1}, at="2017-11-03T17:00:00Z"),
            edge_logs.record("login", {"login": "early", "n": 0}, at="2017-11-03T16:59:59Z"),
            edge_logs.record("chat", {"text": "hello"}, at="2017-11-03T17:30:00Z"),
            edge_logs.record("unknown", {"a": 1}),
            edge_logs.envelope("no json"),
            b"no record",
        ],
    )
    harness.log(
        "2017-11-03T19:30:00",
        [
            edge_logs.record("login", {"login": "zoë'\\"}, at="2017-11-03T18:59:59Z"),
            edge_logs.record("login", {"login": "late", "n": 9}, at="2017-11-03T19:00:00Z"),
        ],
        node="other",
    )
