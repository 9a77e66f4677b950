"""The exact message for each fault in the input, the settings or the warehouse."""

from __future__ import annotations

import gzip
import random
import socket
import zlib

import pytest

from spade_spark.retry import RetryPolicy
from tests.support import edge_logs
from tests.support.harness import ReplayHarness, log_full_window
from tests.support.redshift import RedshiftServer, S3Access


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harness = ReplayHarness(tmp_path, bucket, s3_settings, database)
    log_full_window(harness)
    return harness


@pytest.fixture
def refused(harness, capsys):
    """Run a replay that must change nothing, and return its message."""

    def replay(*arguments, status=1):
        before = harness.rows("login")
        assert harness.replay(*(arguments or ["login"])) == status
        assert harness.rows("login") == before
        assert list(harness.store.list("out/")) == []
        return capsys.readouterr().err.removeprefix("spade-spark: ").removesuffix("\n")

    return replay


def test_a_missing_bucket(harness, refused):
    harness.configure(f'edge = "s3://{harness.bucket}/edge/"', 'edge = "s3://no-such-bucket/edge/"')
    assert refused() == (
        "bucket no-such-bucket does not exist (s3://no-such-bucket/edge/20171103/): check its name "
        "and region; see input.edge in the settings"
    )


def test_a_missing_schema_object(harness, refused):
    harness.configure("schemas.json", "nothing.json")
    assert refused() == (
        f"s3://{harness.bucket}/nothing.json does not exist; check [blueprint] in the settings"
    )


def test_schemas_that_are_not_json(harness, refused):
    harness.store.write("schemas.json", b"<html>")
    assert refused() == (
        f"s3://{harness.bucket}/schemas.json is not JSON (Expecting value: line 1 column 1 (char "
        "0)): it must be Blueprint's list of tables; check [blueprint] in the settings"
    )


def test_schemas_that_are_not_a_list(harness, refused):
    harness.store.write("schemas.json", b'{"EventName": "login"}')
    assert refused() == (
        f"s3://{harness.bucket}/schemas.json is JSON, but not Blueprint's list of tables; check "
        "[blueprint] in the settings"
    )


def test_schemas_with_truncated_gzip_data(harness, refused):
    harness.store.write("schemas.json", gzip.compress(edge_logs.schemas(edge_logs.LOGIN))[:-9])
    assert refused() == (
        f"the gzip data of s3://{harness.bucket}/schemas.json is corrupt (Compressed file ended "
        "before the end-of-stream marker was reached): publish it again"
    )


def test_a_table_with_an_invalid_schema(harness, refused):
    login = edge_logs.table("login", edge_logs.column("n", "int32"))
    harness.store.write("schemas.json", edge_logs.schemas(login))
    assert refused(status=2) == (
        "the schema of table login is invalid: column 1 (n): the transformer 'int32' is unknown "
        "(fix it in Blueprint, or omit the table)"
    )


def test_a_warehouse_that_is_not_running(refused, monkeypatch):
    quick = RetryPolicy(max_attempts=2, max_seconds=5, initial_wait=0.01, max_wait=0.01)
    monkeypatch.setattr("spade_spark.warehouse.retry_policies.PREFLIGHT_RETRIES", quick)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert refused("login", "--rsurl", f"postgres://me:marked-word@127.0.0.1:{port}/dev") == (
        f"the warehouse me@127.0.0.1:{port}/dev does not answer: connection to server at "
        f'"127.0.0.1", port {port} failed: Connection refused; check host, port and network; '
        "nothing was changed; run the same command again"
    )


def test_a_wrong_password(harness, refused):
    access = S3Access(harness.s3.endpoint_url, harness.s3.region, keys={}, roles={})
    with RedshiftServer(harness.url, access, password="right") as server:
        url = server.url.replace(":right@", ":marked-word@")
        host = url.partition("@")[2]
        port = host.partition("/")[0].partition(":")[2]
        assert refused("login", "--rsurl", url) == (
            f"the warehouse postgres@{host} refuses the connection: connection to server at "
            f'"127.0.0.1", port {port} failed: FATAL: password authentication failed for user '
            '"postgres"; check user, password and database in the URL'
        )


def test_a_missing_database(harness, refused):
    url = harness.url.replace("/test_", "/no_test_")
    name = url.partition("@/")[2].partition("?")[0]
    assert f'FATAL: database "{name}" does not exist; check user, password and database' in (
        refused("login", "--rsurl", url)
    )


def test_a_url_of_another_database_system(refused):
    assert refused("login", "--rsurl", "mysql://me:marked-word@db/dev") == (
        "the warehouse URL must look like postgres://USER:PASSWORD@HOST:PORT/DATABASE "
        "(percent-encode special characters in the password)"
    )


def test_a_missing_table_and_a_different_version(harness, refused):
    harness.sql("DROP TABLE physical.chat; DELETE FROM infra.table_version WHERE version = 3")
    assert refused("login", "chat").endswith(
        "the replay cannot succeed, so nothing was changed:\n"
        "  the table physical.chat does not exist: create it, or leave chat out of the replay\n"
        "  infra.table_version has version 2 of login, but the replay makes version 3: migrate "
        "the table and update its version, or replay with the schemas of version 2"
    )


def test_a_missing_column(harness, refused):
    harness.sql("ALTER TABLE physical.login DROP COLUMN n")
    assert refused().endswith(
        '  physical.login has no column "n", which Blueprint has: add the column, or replay '
        "with the schemas that the table was created from"
    )


def test_a_missing_control_schema(harness, refused):
    harness.sql("DROP SCHEMA infra CASCADE")
    assert refused().endswith(
        "  the schema infra does not exist: create it, or correct warehouse.control"
    )


def _last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1].removeprefix("spade-spark: ")


@pytest.mark.usefixtures("engine")
def test_a_missing_geoip_database(harness, capsys):
    harness.configure("[s3]", '[lookups.geoip]\ncity = "/no/such/City.mmdb"\n[s3]')
    assert harness.replay("login", "--skip-ace-upload") == 1
    assert _last_line(capsys) == (
        "lookups.geoip.city: cannot read /no/such/City.mmdb (No such file or directory): a path "
        "must exist on every executor; use s3://bucket/key to let each executor download the file"
    )


@pytest.mark.usefixtures("engine")
def test_a_user_service_that_is_down(harness, capsys):
    user = edge_logs.column("user_id", "userIDWithMapping", supporting="login")
    harness.store.write("schemas.json", edge_logs.schemas(edge_logs.table("login", user)))
    harness.configure("[s3]", '[lookups.users]\nurl = "http://127.0.0.1:9/lookup"\n[s3]')
    harness.configure("[spark]", '[spark]\n"spark.task.maxFailures" = "1"')
    assert harness.replay("login", "--skip-ace-upload") == 1
    assert _last_line(capsys) == (
        "the user service at 127.0.0.1 did not return a user id (the connection failed, "
        "NewConnectionError; 5 attempts): run the command again when the service is available, or "
        'set lookups.users.on_failure to "empty" to leave the columns empty'
    )


def _random_records(count):
    """Records that compress as poorly as real ones."""
    rng = random.Random(5)
    return [
        edge_logs.record("login", {"login": f"{rng.getrandbits(64):x}", "n": n})
        for n in range(count)
    ]


def _inflated(data):
    """Return what zlib can inflate of a truncated gzip member."""
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data)


@pytest.mark.slow
@pytest.mark.spark
def test_corrupt_objects_are_named_and_prevent_the_load(harness, capsys):
    """An empty, a plain-text and a truncated object; a line of 50 MB is valid."""
    keys = {name: edge_logs.key("2017-11-03T18:10:00", name) for name in ("empty", "text", "cut")}
    data = edge_logs.log(_random_records(20_000))
    cut = data[: len(data) // 2]
    harness.put(keys["empty"], b"")
    harness.put(keys["text"], b"no gzip at all, but text")
    harness.put(keys["cut"], cut)
    long_record = edge_logs.record("login", {"login": "long", "blob": "y" * 37_500_000})
    harness.put(edge_logs.key("2017-11-03T18:20:00", "long"), edge_logs.log([long_record]))
    assert len(long_record) > 50_000_000

    assert harness.replay("login") == 1
    assert {row[1] for row in harness.rows("login")} == {"before", "wrong", "after"}
    printed = capsys.readouterr().out.splitlines()
    remedy = "Restore the object, or move it out of the edge logs"
    assert sorted(line for line in printed if " is corrupt: " in line) == sorted(
        [
            f"{keys['empty']} is corrupt: it is empty "
            f"(0 compressed bytes read, 0 inflated). {remedy}",
            f"{keys['text']} is corrupt: it is not a gzip file: no gzip header at "
            f"byte 0 (24 compressed bytes read, 0 inflated). {remedy}",
            f"{keys['cut']} is corrupt: it is truncated "
            f"({len(cut)} compressed bytes read, {len(_inflated(cut))} inflated). {remedy}",
        ]
    )
    options = f"--skip-transform --runtag {harness.tag} --allow-damaged 3"
    assert (
        "3 corrupt objects, nothing was loaded: fix them and start a new run, or load this run's "
        f"output with {options}"
    ) in printed

    assert harness.replay("login", "--skip-transform", "--allow-damaged", "3") == 0
    logins = [row[1] for row in harness.rows("login")]
    assert "long" in logins
    assert len(logins) == 2 + 2 + 1 + _inflated(cut).count(b"\n")
