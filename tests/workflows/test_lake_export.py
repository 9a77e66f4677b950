"""A replay into a warehouse and a lake gives both the same rows, value for value."""

import json
import re
from typing import Any

import boto3
import duckdb
import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from spade_spark.cli.main import main
from spade_spark.gocompat.quote import escape
from spade_spark.settings import S3Settings
from spade_spark.spark.java import require_java
from spade_spark.storage.base import open_store
from tests.chaos.thread_spark import on_threads
from tests.docs.pages import examples
from tests.support import edge_logs
from tests.support.duckdb_query import query
from tests.support.harness import WINDOW, ReplayHarness

LOGIN = edge_logs.table(
    "login",
    edge_logs.column("time", "f@timestamp@unix"),
    edge_logs.column("time", "f@timestamp@unix-utc", outbound="time_utc"),
    edge_logs.column("said", "f@timestamp@2006-01-02 15:04:05"),
    edge_logs.column("seen", "f@timestamp@unix"),
    edge_logs.column("login", "varchar", options="(200)"),
    edge_logs.column("n", "int"),
    edge_logs.column("big", "bigint"),
    edge_logs.column("rate", "float"),
    edge_logs.column("ok", "bool"),
    edge_logs.column("ip", "ipCity", outbound="city", options="(50)"),
    version=3,
)
DDL = """
INSERT INTO infra.table_version VALUES ('login', 3, '2017-02-01');
CREATE TABLE physical.login (time timestamp, time_utc timestamp, said timestamp, seen timestamp,
    login varchar(200), n int, big bigint, rate float, ok boolean, city varchar(50));
"""

PROPERTIES: tuple[dict[str, Any], ...] = (
    {"login": "ann", "n": 1, "big": 1 << 62, "rate": 0.1, "ok": True, "ip": "1.2.3.4"},
    {
        "login": 'zoë "q" \\ \t \r\n \x7f\u200b 日本',
        "n": -(1 << 31),
        "big": -(1 << 63),
        "ok": False,
    },
    {"login": "floats", "rate": 1e300, "said": "2017-11-05 01:30:00", "seen": 1509870600.5},
    {"login": "small", "rate": 5e-299, "n": "7", "seen": 1509706800.1},
    {"login": "third", "rate": 1 / 3, "n": 2**31, "ok": 1, "said": "0001-01-01 00:00:00"},
    {},
)


@pytest.fixture(scope="module")
def harness(s3_server, postgres_server, tmp_path_factory):
    """A replay harness after a replay that wrote TSV and Parquet and loaded the TSV."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "marked-secret-key")
        s3 = S3Settings(endpoint_url=s3_server.endpoint_url)
        client = boto3.client("s3", endpoint_url=s3.endpoint_url, region_name="us-east-1")
        for bucket in ("two-formats", "lake"):
            client.create_bucket(Bucket=bucket)
        harness = ReplayHarness(
            tmp_path_factory.mktemp("lake"),
            "two-formats",
            s3,
            postgres_server.create_database("two_formats"),
            tables=[LOGIN],
            ddl=DDL,
        )
        lines = [
            edge_logs.record("login", properties, at=f"2017-11-03T17:{minute:02}:00Z")
            for minute, properties in enumerate(PROPERTIES)
        ]
        harness.log("2017-11-03T18:00:00", lines)
        with on_threads():
            assert harness.replay("login", "--format", "tsv,parquet") == 0
        yield harness


def loaded(harness):
    return harness.sql("SELECT * FROM physical.login ORDER BY time")


def as_copied(rows):
    """Return rows of Parquet values as COPY loads them.

    The TSV files have escapes, and COPY removes the backslash of each. Parquet has the original
    text.
    """
    return [
        tuple(re.sub(r"\\(.)", r"\1", escape(v)) if isinstance(v, str) else v for v in row)
        for row in rows
    ]


@pytest.fixture(scope="module")
def files(harness, tmp_path_factory):
    """Download the Parquet files of the run."""
    folder = tmp_path_factory.mktemp("files")
    prefix = f"out/{harness.tag}/"
    for entry in harness.store.list(f"{prefix}login/date="):
        path = folder / entry.key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(harness.store.read(entry.key))
    return folder


def test_duckdb_reads_what_the_warehouse_has(harness, files):
    columns = [column["OutboundName"] for column in LOGIN["Columns"]]
    types, rows = query(
        f"SELECT {', '.join(columns)} FROM "
        f"read_parquet('{files}/login/*/*.parquet', hive_partitioning=true) ORDER BY time"
    )
    assert types == [
        *["TIMESTAMP"] * 4,
        "VARCHAR",
        "INTEGER",
        "BIGINT",
        "DOUBLE",
        "BOOLEAN",
        "VARCHAR",
    ]
    assert len(rows) == len(PROPERTIES)
    assert as_copied(rows) == loaded(harness)


@pytest.mark.slow
@pytest.mark.spark
def test_spark_reads_what_the_warehouse_has(harness, files):
    require_java()
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "Asia/Tokyo")  # must not shift the times
        .getOrCreate()
    )
    try:
        files_by_day = spark.read.parquet(f"{files}/login")
        assert files_by_day.schema["time"].dataType.simpleString() == "timestamp_ntz"
        assert {str(row.date) for row in files_by_day.collect()} == {"2017-11-03"}
        rows = files_by_day.drop("date")
        assert_df_equality(
            spark.createDataFrame(as_copied(rows.collect()), rows.schema),
            spark.createDataFrame(loaded(harness), rows.schema),
            ignore_row_order=True,
        )
    finally:
        spark.stop()


def test_parquet_has_the_text_of_the_event_unescaped(files):
    _, rows = query(f"SELECT login FROM read_parquet('{files}/login/*/*.parquet')")
    logins = {properties["login"] for properties in PROPERTIES if properties}
    assert {login for (login,) in rows if login} == logins


def test_the_report_counts_the_rows_in_parquet(harness):
    manifest = harness.report()["manifest"]
    assert manifest["ledger"]["parquet"] == {"login": len(PROPERTIES)}
    (table,) = manifest["tables"]
    assert sum(file["rows"] for file in table["parquet"]) == len(PROPERTIES)
    assert manifest["format"] == "tsv,parquet"


def test_the_documented_example_publishes_the_rows_of_the_warehouse(harness, tmp_path, capsys):
    (commands,) = examples("lake.md", "Write Parquet", "sh")
    (line,) = re.findall(r"^spade-spark (export publish TAG .*)$", commands, re.MULTILINE)
    arguments = line.replace("TAG", harness.tag).replace("replay.toml", str(harness.conf)).split()
    arguments = arguments[: arguments.index(">")]
    assert main(arguments) == 0
    statements = capsys.readouterr().out
    (example,) = examples("lake.md", "Read a table", "sql")
    lake = open_store("s3://lake/events/", harness.s3)
    local = tmp_path / "events"
    for entry in lake.list():
        path = local / entry.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lake.read(entry.key))
    with duckdb.connect() as connection:
        rows = connection.execute(example.replace("s3://lake/events", str(local))).fetchall()
    assert as_copied(row[:-1] for row in sorted(rows)) == loaded(harness)
    created, *partitions = statements.split(";\n")
    assert created.startswith("CREATE EXTERNAL TABLE IF NOT EXISTS `login` (\n  `time` timestamp,")
    assert f"'s3://lake/events/publications/login/date=2017-11-03/{harness.tag}-" in partitions[0]


def test_parquet_files_of_failed_attempts_are_prune_candidates(harness, capsys):
    key = f"out/{harness.tag}/login/date=2017-11-03/00000-9-aaaaaaaaaaaa-0000.parquet"
    harness.store.write(key, b"left")
    try:
        assert main(["runs", "--prune", "--json", "--conf", str(harness.conf)]) == 0
        runs = {run["run_tag"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
        assert runs[harness.tag]["removable"]["objects"] == 1
    finally:
        harness.store.delete(key)


def test_a_run_with_only_parquet_files_cannot_be_loaded(harness, capsys):
    arguments = ["replay", *WINDOW, "login", "--conf", str(harness.conf), "--rsurl", harness.url]
    assert main([*arguments, "--format", "parquet"]) == 2
    assert "the output format is parquet: use --format tsv,parquet" in capsys.readouterr().err
    alone = [*arguments, "--runtag", "alone"]
    with on_threads():
        assert main([*alone, "--format", "parquet", "--skip-ace-upload"]) == 0
    assert "Parquet" in capsys.readouterr().out
    assert main(["runs", "alone", "--conf", str(harness.conf)]) == 0
    assert "spade-spark export publish alone --to URL" in capsys.readouterr().out
    assert main([*alone, "--skip-transform"]) == 2
    assert "has only Parquet files, and the load needs TSV" in capsys.readouterr().err
    assert [entry.key for entry in harness.store.list("out/alone/_copy/")] == []


def test_publishing_to_streams_requires_tsv(harness, capsys):
    arguments = ["replay", *WINDOW, "login", "--conf", str(harness.conf), "--skip-ace-upload"]
    assert main([*arguments, "--format", "parquet", "--publish", "all"]) == 2
    assert "--publish needs TSV files" in capsys.readouterr().err


def test_the_plan_reports_the_parquet_format(harness, capsys):
    arguments = [
        "plan",
        *WINDOW,
        "login",
        "--conf",
        str(harness.conf),
        "--skip-ace-upload",
        "--json",
    ]
    for formats in ("parquet", "parquet,tsv"):
        assert main([*arguments, "--format", formats]) == 0
        remarks = json.loads(capsys.readouterr().out)["remarks"]
        assert any("Parquet" in remark for remark in remarks)
