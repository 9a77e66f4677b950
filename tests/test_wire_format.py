"""Runs on S3, rows of the replay log and tables in a lake of an earlier version can be read.

The files and how they were made: ``tests/data/run_before_renames/README.md``.
"""

from __future__ import annotations

import gzip
import json
import uuid
from contextlib import closing
from pathlib import Path

import boto3
import psycopg2
import pytest

from spade_spark.cli.main import main
from spade_spark.storage.base import open_store
from tests.chaos.thread_spark import on_threads
from tests.support import edge_logs
from tests.support.duckdb_query import query
from tests.support.harness import CONTROL
from tests.support.streams import Consumer

DATA = Path(__file__).parent / "data" / "run_before_renames"
BUCKET = "run-before-renames"
FIRST = ("2017-11-03 10:00:00", "2017-11-03 11:59:59")
LAST = ("2017-11-03 13:00:00", "2017-11-03 13:59:59")
CONF = """
[blueprint]
schemas = "s3://{bucket}/schemas.json"
metadata = "s3://{bucket}/metadata.json"
streams = "s3://{bucket}/streams.json"
[input]
edge = "s3://{bucket}/edge/"
time_source = "key"
margin = "15m"
[output]
base = "s3://{bucket}/out/"
[s3]
endpoint_url = "{endpoint}"
"""
EMPTY_TABLES = """
INSERT INTO infra.table_version VALUES ('login', 3, '2017-02-01'), ('chat', 1, '2017-01-01');
CREATE TABLE physical.login (time timestamp, login varchar(20), n int, rate float, ok boolean);
CREATE TABLE physical.chat (time timestamp, text varchar(100));
"""

BEFORE = ("2017-11-03 09:59:59", "before", 1, 0.5, True)
ANN = ("2017-11-03 10:00:00", "ann", 1, 0.25, True)
ZOE = ("2017-11-03 11:45:00", "zoë'\\", None, None, None)
LONG = ("2017-11-03 11:46:00", "x" * 20, 7, 1e300, False)
OLD = ("2017-11-03 12:15:00", "old", 4, None, False)
BOB = ("2017-11-03 12:15:00", "bob", 2, None, None)
AFTER = ("2017-11-03 14:00:00", "after", 5, None, None)
LOADED = [BEFORE, ANN, ZOE, LONG, OLD, AFTER]
DOGS = [("2017-11-03 13:16:00", f"dog{n}", n, None, None) for n in range(40)]
CAT = ("2017-11-03 13:15:00", "cat", 3, None, None)

# What the load of each run counted, as `runs --json` shows it.
LOADS = {
    ("loaded", "chat"): (1, 1, 1, "replay_backup.loaded__chat"),
    ("loaded", "login"): (2, 2, 3, "replay_backup.loaded__login"),
    ("undone", "chat"): (1, 1, 1, "replay_backup.undone__chat"),
    ("undone", "login"): (1, 1, 1, "replay_backup.undone__login"),
}


class EarlierRuns:
    """The bucket and the database that the earlier version wrote.

    Args:
        conf: The settings file to use.
        endpoint_url: The S3 API.
        url: The database.
        s3: The settings of the S3 API.
    """

    def __init__(self, conf, endpoint_url, url, s3):
        self.conf, self.url = conf, url
        self.endpoint_url = endpoint_url
        self.store = open_store(f"s3://{BUCKET}/", s3)
        self.conf.write_text(CONF.format(bucket=BUCKET, endpoint=endpoint_url), "utf-8")

    def run(self, *arguments, url=None):
        with on_threads():
            return main([*arguments, "--conf", str(self.conf), "--rsurl", url or self.url])

    def sql(self, statements, url=None):
        with closing(psycopg2.connect(url or self.url)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statements)
                rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def rows(self, table, url=None):
        rows = self.sql(f"SELECT * FROM physical.{table} ORDER BY 1, 3, 2", url)
        return [(str(time), *values) for time, *values in rows]

    def chats(self, url=None):
        rows = self.sql("SELECT * FROM physical.chat ORDER BY 1", url)
        return [(str(time), text) for time, text in rows]

    def read(self, key):
        return json.loads(self.store.read(f"out/{key}"))

    def report(self, tag):
        return self.read(f"{tag}/_report.json")


@pytest.fixture
def earlier(tmp_path, s3_server, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPADE_RSURL", raising=False)
    # Not streams.endpoint_url: the plan has a hash of the stream settings.
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", s3_server.endpoint_url)
    bucket = boto3.resource(
        "s3", endpoint_url=s3_server.endpoint_url, region_name=s3_settings.region
    ).Bucket(BUCKET)
    bucket.create(CreateBucketConfiguration={"LocationConstraint": s3_settings.region})
    folder = DATA / "bucket"
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put_object(Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())
    runs = EarlierRuns(tmp_path / "conf.toml", s3_server.endpoint_url, database, s3_settings)
    runs.sql((DATA / "warehouse.sql").read_text("utf-8"))
    yield runs
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def other_warehouse(earlier, postgres_server):
    """The URL of a database without any load."""
    url = postgres_server.create_database(f"test_{uuid.uuid4().hex[:12]}")
    earlier.sql(CONTROL + EMPTY_TABLES, url)
    return url


def test_every_run_is_listed_with_its_state(earlier, capsys):
    assert earlier.run("runs", "--json") == 0
    runs = {run["run_tag"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert {tag: (run["state"], run["rows"], run["objects"]) for tag, run in runs.items()} == {
        "earlier": ("foreign", 0, 1),
        "killed": ("abandoned", 0, 4),
        "loaded": ("loaded", 5, 17),
        "publishing": ("abandoned", 0, 5),
        "undone": ("undone", 2, 10),
    }
    assert [problem for run in runs.values() for problem in run["problems"]] == []
    assert {tag: (run["partitions"], run["done"]) for tag, run in runs.items()} == {
        "earlier": (None, 0),
        "killed": (2, 1),
        "loaded": (None, 2),
        "publishing": (1, 1),
        "undone": (None, 1),
    }
    assert (
        runs["killed"]["lock"].items()
        >= {
            "process": "root@worker-7, process 31276",
            "live": False,
        }.items()
    )
    assert [tag for tag, run in runs.items() if run["lock"]] == ["killed"]


@pytest.mark.parametrize("tag", ["loaded", "undone"])
def test_a_run_shows_its_tables_and_its_loads(earlier, capsys, tag):
    assert earlier.run("runs", tag, "--json") == 0
    run = json.loads(capsys.readouterr().out)
    window = ("10:00:00", "11:59:59") if tag == "loaded" else ("12:00:00", "12:59:59")
    assert run["window"] == [f"2017-11-03 {time}-0700" for time in window]
    tables = {table["table"]: (table["version"], table["rows"]) for table in run["tables"]}
    rows = {"loaded": 4, "undone": 1}[tag]
    assert tables == {"chat": (1, 1), "login": (3, rows)}
    in_ledger = {load["table"]: load for load in run["loads"] if load["in_ledger"]}
    recorded = {load["table"]: load for load in run["loads"] if load["recorded"]}
    for table in ("chat", "login"):
        before, deleted, inserted, backup = LOADS[tag, table]
        assert recorded[table]["before"] == before
        assert recorded[table]["warehouse"] == "/tmp/spade-postgres-lrcwtvhs:5432/events"
        for load in (recorded[table], in_ledger[table]):
            assert (load["deleted"], load["inserted"]) == (deleted, inserted)
        assert in_ledger[table]["backup"] == backup
        assert bool(in_ledger[table]["undone"]) == (tag == "undone")


def test_a_run_can_be_loaded_into_another_warehouse(earlier, other_warehouse):
    arguments = ["replay", *FIRST, "--all-tables", "--skip-transform", "--runtag", "loaded"]
    old = earlier.report("loaded")
    assert earlier.run(*arguments, "--allow-empty", url=other_warehouse) == 0
    assert earlier.rows("login", other_warehouse) == [ANN, ZOE, LONG]
    assert earlier.chats(other_warehouse) == [("2017-11-03 10:30:00", "hello")]
    log = earlier.sql(
        "SELECT table_name, rows_deleted, rows_inserted, manifest_checksum FROM infra.replay "
        "ORDER BY 1",
        other_warehouse,
    )
    checksum = "e19d8f4096854094ed42a5f3adf333614167e28b05a7e439dee26a39578f4ed5"
    assert log == [("chat", 0, 1, checksum), ("login", 0, 3, checksum)]
    new = earlier.report("loaded")
    assert new.keys() == {*old, "maintenance"}
    assert new["manifest"] == {**old["manifest"], "fallbacks": {}}
    loads = [{*load, "write_lock_seconds"} for load in old["loads"]]
    assert [load.keys() for load in new["loads"]] == loads
    assert new["manifest"]["ledger"]["events"] == {
        "": {"malformed": 1, "untracked": 1},
        "login": {"skipped_columns": 2, "success": 2},
        "chat": {"success": 1},
    }


def test_a_run_in_the_replay_log_is_not_loaded_again(earlier, capsys):
    arguments = ["replay", *FIRST, "--all-tables", "--skip-transform", "--runtag", "loaded"]
    assert earlier.run(*arguments) == 0
    assert earlier.rows("login") == LOADED
    assert [load.keys() for load in earlier.report("loaded")["loads"]] == [
        {"table", "at", "deleted", "inserted"}
    ] * 2
    assert len(earlier.sql("SELECT 1 FROM infra.replay")) == 6


def test_a_load_and_its_undo_can_be_undone(earlier):
    """With the fingerprints and backups that the earlier version wrote."""
    wrong = [
        ("2017-11-03 10:00:00", "wrong", 2, None, None),
        ("2017-11-03 11:30:00", "wrong", 3, None, None),
    ]
    assert earlier.run("undo", "loaded", "--yes") == 0
    assert earlier.rows("login") == [BEFORE, *wrong, OLD, AFTER]
    assert earlier.chats()[0] == ("2017-11-03 10:30:00", "wrong")
    assert earlier.run("undo", "undo-loaded", "--yes") == 0
    assert earlier.rows("login") == LOADED


def test_an_undo_of_the_earlier_version_can_be_undone(earlier):
    assert earlier.run("undo", "undo-undone", "--yes") == 0
    assert earlier.rows("login") == [BOB if row == OLD else row for row in LOADED]
    assert earlier.chats()[1:] == [("2017-11-03 12:20:00", "again")]


def test_a_killed_run_is_resumed_after_its_finished_partition(earlier, capsys):
    """The earlier version wrote its plan, its completion record and its lock."""
    done = earlier.store.read("out/killed/_completed/00000.json")
    assert earlier.run("replay", *LAST, "login", "--runtag", "killed") == 0
    assert earlier.store.read("out/killed/_completed/00000.json") == done
    assert "1 of 2 partitions done" in capsys.readouterr().err
    assert [row for row in earlier.rows("login") if row not in LOADED] == [CAT, *DOGS]
    manifest = earlier.read("killed/_manifest.json")
    assert manifest["ledger"]["events"] == {"login": {"skipped_columns": 41}}
    assert manifest["ledger"]["edge_types"] == {
        "login": {"events": 41, "expected": "internal", "mismatched": 0, "unknown": 0}
    }
    assert manifest.keys() == {*earlier.read("undone/_manifest.json"), "fallbacks"}
    assert earlier.read("_locks/claims.json") == {"held": []}


def test_a_killed_run_is_not_resumed_with_another_plan(earlier, capsys):
    assert earlier.run("replay", *LAST, "login", "chat", "--runtag", "killed") == 2
    assert "killed was started with another plan: tables was login, is chat, login" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_a_lock_of_the_earlier_version_is_respected(earlier, capsys):
    arguments = ["replay", *LAST, "login", "--runtag", "new"]
    assert earlier.run(*arguments) == 2
    assert "run tag killed (root@worker-7, process 31276)" in capsys.readouterr().err
    assert earlier.run(*arguments, "--take-over", "killed") == 0


def test_publishing_is_resumed_after_the_published_rows(earlier):
    """According to the checkpoint, the first stream has all rows; the second did not exist."""
    streams = Consumer(earlier.endpoint_url)
    names = "before-renames-views", "before-renames-later"
    for name in names:
        streams.new_stream(1, name)
    try:
        arguments = ["login", "--skip-ace-upload", "--publish", "all", "--runtag", "publishing"]
        assert earlier.run("replay", *LAST, *arguments) == 0
        assert streams.rows(names[0]) == []
        assert sorted(row["login"] for row in streams.rows(names[1])) == sorted(
            row[1] for row in [CAT, *DOGS]
        )
    finally:
        for name in names:
            streams.delete_stream(name)
    counts = earlier.read("publishing/_manifest.json")["ledger"]["streams"]
    assert {name: count["published"] for name, count in counts.items()} == {
        f"stream/{name}": 41 for name in names
    }


def test_a_quarantine_can_be_replayed(earlier):
    """The line is fixed first, as if a fixed decoder could read it."""
    ((key, line),) = [
        (entry.key, json.loads(gzip.decompress(earlier.store.read(entry.key))))
        for entry in earlier.store.list("out/loaded/_quarantine/")
    ]
    fixed = edge_logs.record("login", {"login": "eve", "n": 9}, at="2017-11-03T17:40:00Z")
    line["raw"] = fixed.decode()
    earlier.store.write(key, edge_logs.log([json.dumps(line).encode()]))
    assert earlier.run("replay", "--from-quarantine", "loaded") == 0
    eve = ("2017-11-03 10:40:00", "eve", 9, None, None)
    assert earlier.rows("login") == [BEFORE, ANN, eve, ZOE, LONG, OLD, AFTER]


def test_a_schema_is_proposed_for_its_untracked_events(earlier, capsys):
    assert main(["suggest", "loaded", "--json", "--conf", str(earlier.conf)]) == 0
    (proposed,) = json.loads(capsys.readouterr().out)
    assert proposed["EventName"] == "unknown"


def test_a_table_in_a_lake_can_be_updated(earlier, tmp_path, capsys):
    """Another run replaces a part of the window that the earlier version published."""
    lake = ["--to", f"s3://{BUCKET}/lake/", "--conf", str(earlier.conf)]
    assert main(["export", "publish", "loaded", *lake]) == 0
    assert json.loads(earlier.store.read("lake/login/_current.json"))["serial"] == 1
    arguments = ["replay", "2017-11-03 11:00:00", FIRST[1], "login", "--skip-ace-upload"]
    assert earlier.run(*arguments, "--format", "parquet", "--runtag", "more") == 0
    assert main(["export", "publish", "more", "login", *lake]) == 0
    snapshot = json.loads(earlier.store.read("lake/login/_current.json"))
    assert snapshot["serial"] == 2
    (day,) = snapshot["partitions"].values()
    assert [source["run_tag"] for source in day["sources"]] == ["loaded", "more"]
    files = []
    for number, file in enumerate(day["files"]):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(earlier.store.read(f"lake/{file['key']}"))
        files.append(str(path))
    _, rows = query(f"SELECT login, n FROM read_parquet({files}) ORDER BY time")
    assert rows == [("ann", 1), ("zoë'\\", None), ("x" * 25, 7)]


def test_files_without_a_manifest_are_loaded_by_prefix(earlier, other_warehouse):
    arguments = ["login", "--skip-transform", "--by-prefix", "--runtag", "earlier", "--allow-empty"]
    assert earlier.run("replay", *FIRST, *arguments, url=other_warehouse) == 0
    assert earlier.rows("login", other_warehouse) == [("2017-11-03 10:05:00", "old", 1, None, None)]
