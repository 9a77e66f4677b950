"""Replays from end to end: S3 over HTTP, Spark, PostgreSQL."""

import gzip
import json

import pytest

from spade_spark.cli.main import main
from tests.support import edge_logs
from tests.support.harness import AFTER, BEFORE, ReplayHarness, log_full_window

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def world(tmp_path, bucket, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ReplayHarness(tmp_path, bucket, s3_settings, database)


@pytest.fixture
def full(world):
    """A world with the logs of the window."""
    log_full_window(world)
    return world


def test_a_replay_corrects_the_window_and_changes_no_other_rows(full):
    assert full.replay("login", "chat") == 0
    assert full.rows("login") == [
        BEFORE,
        ("2017-11-03 10:00:00", "ann", 1),
        ("2017-11-03 11:59:59", "zoë'\\", None),
        AFTER,
    ]
    assert full.rows("chat") == [("2017-11-03 10:30:00", "hello")]


def test_the_report_and_the_replay_log_agree(full):
    full.replay("login", "chat")
    report = full.report()
    loads = {load["table"]: load for load in report["loads"]}
    assert report["complete"]
    assert {
        name: loads["login"][name] for name in ("before", "deleted", "inserted", "outside")
    } == {
        "before": 2,
        "deleted": 2,
        "inserted": 2,
        "outside": 2,
    }
    log = full.sql("SELECT table_name, rows_deleted, rows_inserted FROM infra.replay ORDER BY 1")
    assert log == [("chat", 1, 1), ("login", 2, 2)]


def test_a_separate_transform_and_load_give_the_same_rows_as_one_run(full):
    assert full.replay("login", "--skip-ace-upload") == 0
    assert ("2017-11-03 10:00:00", "wrong", 2) in full.rows("login")
    assert full.replay("login", "--skip-transform") == 0
    assert [row[1] for row in full.rows("login")] == ["before", "ann", "zoë'\\", "after"]


def test_a_replay_of_all_tables_stores_untracked_events(full):
    assert full.replay("--all-tables") == 0
    assert full.rows("chat") == [("2017-11-03 10:30:00", "hello")]
    outcomes = full.report()["manifest"]["ledger"]["events"][""]
    assert outcomes == {"untracked": 1, "malformed": 1}
    assert len(list(full.store.list(f"out/{full.tag}/_untracked/"))) == 1


def test_a_loaded_run_tag_is_not_loaded_again_unless_forced(full, capsys):
    full.replay("login")
    record = [entry.key for entry in full.store.list(f"out/{full.tag}/_loads/")]
    assert full.replay("login") == 0
    printed = capsys.readouterr().out
    assert "Table login: skipped, this run was already loaded at" in printed
    assert "Done." in printed
    assert [entry.key for entry in full.store.list(f"out/{full.tag}/_loads/")] == record
    assert full.replay("login", "--force") == 0
    assert len(full.rows("login")) == 4


def test_an_unknown_table_is_refused_before_anything_runs(full, capsys):
    assert full.replay("login", "lgoin") == 2
    assert capsys.readouterr().err == (
        "spade-spark: Blueprint has no table lgoin (did you mean login?)\n"
    )
    assert list(full.store.list("out/")) == []


def test_a_corrupt_object_prevents_the_load(full, capsys):
    key = edge_logs.key("2017-11-03T18:15:00", "broken")
    full.put(key, edge_logs.log([edge_logs.record("login", {"login": "x", "n": 1})])[:-4])
    before = full.rows("login")
    assert full.replay("login") == 1
    assert full.rows("login") == before
    printed = " ".join(capsys.readouterr().out.split())
    assert key in printed.replace(" ", "")
    command = f"--skip-transform --runtag {full.tag} --allow-damaged 1"
    assert command in printed
    assert full.replay("login", *command.split()[:1], "--allow-damaged", "1") == 0
    assert len(full.rows("login")) == 5


def test_a_window_without_objects_is_refused(world, capsys):
    world.store.write("sources/20171103/g/1.n.x.log.gz", b"")
    assert world.replay("login") == 1
    assert "has no objects for 2017-11-03 10:00:00 to 2017-11-03 11:59:59 Pacific" in (
        capsys.readouterr().err
    )


def test_a_run_without_rows_replaces_nothing(world, capsys):
    world.log("2017-11-03T18:00:00", [edge_logs.record("chat", {"text": "x"})])
    before = world.rows("login")
    assert world.replay("login") == 1
    assert world.rows("login") == before
    assert "--allow-empty" in capsys.readouterr().out


def test_a_missing_edge_bucket_is_named(full, capsys):
    full.conf.write_text(full.conf.read_text().replace("/edge/", "-not-there/edge/"))
    assert full.replay("login") == 1
    assert "-not-there does not exist (s3:" in capsys.readouterr().err


def test_a_missing_schema_object_is_named(full, capsys):
    full.conf.write_text(full.conf.read_text().replace("schemas.json", "nothing.json"))
    assert full.replay("login") == 1
    assert "nothing.json does not exist" in capsys.readouterr().err


def test_a_table_with_an_invalid_schema_is_refused_with_the_reason(full, capsys):
    bad = edge_logs.table("login", edge_logs.column("x", "no-such-transformer"))
    full.store.write("schemas.json", edge_logs.schemas(bad, edge_logs.CHAT))
    assert full.replay("login") == 2
    assert "the schema of table login is invalid: " in capsys.readouterr().err


def test_a_replay_of_all_tables_skips_an_invalid_schema_and_reports_it(full, capsys):
    bad = edge_logs.table("login", edge_logs.column("x", "no-such-transformer"))
    full.store.write("schemas.json", edge_logs.schemas(bad, edge_logs.CHAT))
    assert full.replay("--all-tables") == 1
    assert full.rows("chat") == [("2017-11-03 10:30:00", "hello")]
    assert "Table login was skipped" in capsys.readouterr().out


def test_a_table_that_falls_back_to_the_reference_path_is_logged_once_and_reported(
    full, capsys, caplog
):
    columns = (edge_logs.column("n", "bool", "a"), edge_logs.column("n", "int", "b"))
    login = edge_logs.table(
        "login", edge_logs.column("time", "f@timestamp@unix"), *columns, version=3
    )
    full.store.write("schemas.json", edge_logs.schemas(login, edge_logs.CHAT))
    assert full.replay("login", "--skip-ace-upload") == 0
    reason = "columns need the property 'n' as different types: 'a' ('bool'), 'b' ('int')"
    logged = [record.getMessage() for record in caplog.records if "reference" in record.message]
    assert logged == [f"table login uses the slower reference path: {reason}"]
    remark = f"Table login was transformed by the slower reference path: {reason}"
    assert remark in capsys.readouterr().out
    assert full.report()["manifest"]["fallbacks"] == {"login": reason}
    assert main(["runs", full.tag, "--json", "--conf", str(full.conf)]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["fallbacks"] == {"login": reason}
    assert main(["runs", full.tag, "--conf", str(full.conf)]) == 0
    assert "login was transformed by the slower reference path" in capsys.readouterr().out


def test_preflight_problems_are_reported_before_the_transform(full, capsys):
    full.sql("DELETE FROM infra.table_version WHERE version = 3; DROP TABLE physical.chat")
    assert full.replay("login", "chat") == 1
    message = capsys.readouterr().err
    assert "nothing was changed" in message
    assert "login" in message
    assert "chat" in message
    assert list(full.store.list("out/")) == []


def test_a_different_plan_for_the_same_run_tag_is_refused_with_the_difference(full, capsys):
    full.replay("login", "--skip-ace-upload")
    assert full.replay("chat", "--skip-ace-upload") == 2
    assert "tables was login, is chat" in capsys.readouterr().err


def test_a_load_outside_the_window_of_the_run_is_refused(full, capsys):
    full.replay("login", "--skip-ace-upload")
    later = ("2017-11-03 10:00:00", "2017-11-03 12:30:00")
    assert full.replay("login", "--skip-transform", window=later) == 2
    assert "has the window 2017-11-03 10:00:00 to 2017-11-03 11:59:59" in capsys.readouterr().err


def test_an_earlier_tools_run_is_loaded_only_with_by_prefix(full, capsys):
    """It has no manifest, so the files of failed tasks cannot be told from the others."""
    rows = '"2017-11-03 10:10:00"\t"old"\t"7"\n'
    full.store.write(f"out/{full.tag}/login/v3/part-0.gz", gzip.compress(rows.encode()))
    assert full.replay("login", "--skip-transform") == 1
    assert "--by-prefix" in capsys.readouterr().err
    assert full.replay("login", "--skip-transform", "--by-prefix") == 0
    assert full.rows("login") == [BEFORE, ("2017-11-03 10:10:00", "old", 7), AFTER]


def test_a_prefix_without_files_of_the_table_is_refused(full, capsys):
    full.store.write(f"out/{full.tag}/login/v2/part-0.gz", gzip.compress(b"x"))
    assert full.replay("login", "--skip-transform", "--by-prefix") == 1
    assert "has no files of login/v3" in capsys.readouterr().err
