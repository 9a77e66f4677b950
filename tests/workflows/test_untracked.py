"""The documented way from untracked events to a new table, with globs, edge types and metrics."""

import json
import shlex

import pytest

from spade_spark.blueprint.schema import read_tables
from spade_spark.cli.main import main
from spade_spark.transform.transformers.registry import TRANSFORMERS, is_transformer
from tests.docs.pages import examples
from tests.support import edge_logs
from tests.support.globs import FORMS, glob
from tests.support.harness import WINDOW, ReplayHarness
from tests.support.statsd import StatsdServer

pytestmark = pytest.mark.usefixtures("engine")

IN_WINDOW = "2017-11-03T17:30:00Z"


@pytest.fixture
def server():
    with StatsdServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database, server):
    """A replay harness with the documented settings."""
    harness = ReplayHarness(tmp_path, bucket, s3_settings, database)
    url = f"s3://{bucket}"
    (metadata,) = examples("input.md", "Edge types", "json")
    harness.store.write("metadata.json", metadata.encode())
    (form,) = examples("input.md", "Globs", "toml")
    (metrics,) = examples("metrics.md", "Enable metrics", "toml")
    harness.configure("[input]", f'metadata = "{url}/metadata.json"\n{form}')
    harness.configure("[s3]", f'untracked = "{url}/untracked/"\n[s3]')
    metrics = metrics.replace("statsd.example.com:8125", server.address)
    harness.conf.write_text(f"{harness.conf.read_text()}\n{metrics}")
    return harness


def stream():
    """Return an archive of the edge's stream that has one glob twice."""
    volumes = ("max", 0.5, 0.7)
    plays = [
        edge_logs.record(
            "play",
            {"Title": title, "n": n, "live": n > 1, "volume": volumes[n - 1]},
            IN_WINDOW,
            uuid=f"p-{n}",
        )
        for n, title in enumerate(("one", "zoë", "three"), 1)
    ]
    logins = [
        edge_logs.record("login", {"login": "ann", "n": 1}, IN_WINDOW, uuid="l-1"),
        edge_logs.record(
            "login", {"login": "bob", "n": 2}, IN_WINDOW, uuid="l-2", edgeType="external"
        ),
    ]
    return [glob(plays), glob(logins), glob(plays)]


def create(harness, table):
    """Create the table in the warehouse and insert its version."""
    columns = ", ".join(
        f"{column.outbound} {TRANSFORMERS.spec(column.transformer).sql_type}{column.options}"
        for column in table.columns
    )
    harness.sql(
        f"CREATE TABLE physical.{table.name} ({columns});"
        f"INSERT INTO infra.table_version VALUES ('{table.name}', {table.version}, '2017-01-01')"
    )


def run(harness, line):
    """Run a documented command."""
    line = line.partition(" > ")[0].replace("START END", shlex.join(WINDOW))
    command = line.replace("TAG", harness.tag).replace("replay.toml", str(harness.conf))
    assert main(shlex.split(command)[1:]) == 0


def test_untracked_events_get_a_suggested_table_and_a_replay(harness, server, capsys):
    harness.put(edge_logs.key("2017-11-03T18:00:00"), FORMS["globs"](stream()))
    commands, as_json = examples("input.md", "Untracked events", "sh")
    (table,) = examples("input.md", "Untracked events", "text")
    replay_all, suggest = commands.splitlines()

    run(harness, replay_all)
    ledger = harness.report()["manifest"]["ledger"]
    assert (ledger["globs"], ledger["repeated_globs"], ledger["repeated"]) == (3, 1, 3)
    assert ledger["edge_types"] == {
        "login": {"expected": "internal", "events": 2, "mismatched": 1, "unknown": 0}
    }
    printed = " ".join(capsys.readouterr().out.split())
    assert "from 1 repeated glob of 3" in printed
    assert "Events with an unexpected edge type" in printed
    counters, timings = server.received()
    assert counters["replay._.untracked"] == 3
    assert counters["replay.login.success"] == 2
    assert counters["replay.login.edge_mismatched"] == 1
    assert timings["replay.transform"] > 0

    (file,) = harness.store.list("untracked/")
    assert file.key.split("/")[2] == harness.tag
    run(harness, suggest)
    printed = capsys.readouterr().out
    assert [line.rstrip() for line in printed.splitlines()[1 : 1 + len(table.splitlines())]] == (
        table.splitlines()
    )

    run(harness, as_json)
    published = capsys.readouterr().out
    play = read_tables(published.encode(), is_transformer).tables["play"]
    create(harness, play)
    harness.store.write("schemas.json", edge_logs.schemas(edge_logs.LOGIN, *json.loads(published)))
    harness.tag += "-again"
    assert harness.replay("play", "--allow-empty") == 0
    rows = harness.sql("SELECT time, title, n, live, volume, ip FROM physical.play ORDER BY n")
    assert [(str(time), *more) for time, *more in rows] == [
        ("2017-11-03 10:30:00", "one", 1, False, None, "10.1.0.1"),
        ("2017-11-03 10:30:00", "zoë", 2, True, 0.5, "10.1.0.1"),
        ("2017-11-03 10:30:00", "three", 3, True, 0.7, "10.1.0.1"),
    ]
    counters, timings = server.received()
    assert counters["replay.play.inserted"] == 3
    assert timings["replay.play.load"] > 0

    assert harness.replay("play") == 0  # already loaded: nothing to do or to count
    assert server.received() == ({}, {})
