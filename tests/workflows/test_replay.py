"""Replays from end to end: S3 over HTTP, Spark, PostgreSQL."""

import gzip
import json

import pytest

from spade_spark.cli.main import main
from spade_spark.warehouse import maintenance
from spade_spark.warehouse.sql import Sql
from tests.support import edge_logs
from tests.support.harness import AFTER, BEFORE, ReplayHarness, log_full_window

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def empty_harness(tmp_path, bucket, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ReplayHarness(tmp_path, bucket, s3_settings, database)


@pytest.fixture
def harness(empty_harness):
    """The harness, with the logs of the window."""
    log_full_window(empty_harness)
    return empty_harness


def test_a_replay_corrects_the_window_and_changes_no_other_rows(harness):
    assert harness.replay("login", "chat") == 0
    assert harness.rows("login") == [
        BEFORE,
        ("2017-11-03 10:00:00", "ann", 1),
        ("2017-11-03 11:59:59", "zoë'\\", None),
        AFTER,
    ]
    assert harness.rows("chat") == [("2017-11-03 10:30:00", "hello")]


def test_the_report_and_the_replay_log_agree(harness):
    harness.replay("login", "chat")
    report = harness.report()
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
    log = harness.sql("SELECT table_name, rows_deleted, rows_inserted FROM infra.replay ORDER BY 1")
    assert log == [("chat", 1, 1), ("login", 2, 2)]


def test_analyze_runs_after_the_load_and_the_report_says_so(harness, capsys):
    assert harness.replay("login", "chat", "--analyze") == 0
    assert "Analyzed: chat, login\n" in capsys.readouterr().out
    analyzed = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('login', 'chat')"
    assert sorted(harness.sql(analyzed)) == [("chat", 1), ("login", 4)]
    assert [table["analyzed"] for table in harness.report()["maintenance"]] == [True, True]


def test_an_analyze_that_fails_does_not_change_the_outcome(harness, capsys, monkeypatch):
    monkeypatch.setattr(maintenance, "analyze", lambda _: Sql("ANALYZE no_such_table"))
    assert harness.replay("login", "--analyze") == 0
    printed = capsys.readouterr().out
    assert "Table login: ANALYZE failed: " in printed
    assert "The rows are not affected" in printed
    assert "Done." in printed


def test_a_large_load_names_the_statements_that_are_worth_running(harness, capsys, monkeypatch):
    monkeypatch.setattr(maintenance, "MIN_CHANGED_ROWS", 1)
    assert harness.replay("login") == 0
    printed = capsys.readouterr().out
    assert "Worth running for login (2 rows deleted and 2 inserted; the table's size" in printed
    assert '\n  ANALYZE "physical"."login";\n  VACUUM "physical"."login";\n' in printed


def test_a_separate_transform_and_load_give_the_same_rows_as_one_run(harness):
    assert harness.replay("login", "--skip-ace-upload") == 0
    assert ("2017-11-03 10:00:00", "wrong", 2) in harness.rows("login")
    assert harness.replay("login", "--skip-transform") == 0
    assert [row[1] for row in harness.rows("login")] == ["before", "ann", "zoë'\\", "after"]


def test_a_replay_of_all_tables_stores_untracked_events(harness):
    assert harness.replay("--all-tables") == 0
    assert harness.rows("chat") == [("2017-11-03 10:30:00", "hello")]
    outcomes = harness.report()["manifest"]["ledger"]["events"][""]
    assert outcomes == {"untracked": 1, "malformed": 1}
    assert len(list(harness.store.list(f"out/{harness.tag}/_untracked/"))) == 1


def test_a_loaded_run_tag_is_not_loaded_again_unless_forced(harness, capsys):
    harness.replay("login")
    record = [entry.key for entry in harness.store.list(f"out/{harness.tag}/_loads/")]
    assert harness.replay("login") == 0
    printed = capsys.readouterr().out
    assert "Table login: skipped, this run was already loaded at" in printed
    assert "Done." in printed
    assert [entry.key for entry in harness.store.list(f"out/{harness.tag}/_loads/")] == record
    assert harness.replay("login", "--force") == 0
    assert len(harness.rows("login")) == 4


def test_the_replay_log_of_an_older_version_is_upgraded_on_request(harness, capsys):
    assert harness.replay("login") == 0
    harness.sql("ALTER TABLE infra.replay DROP COLUMN backup, DROP COLUMN fingerprint")
    harness.tag = "next"
    assert harness.replay("login") == 1
    assert "give --migrate to spade-spark replay or undo" in capsys.readouterr().err
    assert harness.replay("login", "--migrate") == 0
    assert 'upgraded the replay log: ALTER TABLE "infra"."replay" ADD' in capsys.readouterr().err
    assert harness.sql("SELECT backup FROM infra.replay ORDER BY ts") == [
        ("",),
        ("replay_backup.next__login",),
    ]


def test_an_unknown_table_is_refused_before_anything_runs(harness, capsys):
    assert harness.replay("login", "lgoin") == 2
    assert capsys.readouterr().err == (
        "spade-spark: Blueprint has no table lgoin (did you mean login?)\n"
    )
    assert list(harness.store.list("out/")) == []


def test_a_corrupt_object_prevents_the_load(harness, capsys):
    key = edge_logs.key("2017-11-03T18:15:00", "broken")
    harness.put(key, edge_logs.log([edge_logs.record("login", {"login": "x", "n": 1})])[:-4])
    before = harness.rows("login")
    assert harness.replay("login") == 1
    assert harness.rows("login") == before
    printed = " ".join(capsys.readouterr().out.split())
    assert key in printed.replace(" ", "")
    command = f"--skip-transform --runtag {harness.tag} --allow-damaged 1"
    assert command in printed
    assert harness.replay("login", *command.split()[:1], "--allow-damaged", "1") == 0
    assert len(harness.rows("login")) == 5


def test_a_window_without_objects_is_refused(empty_harness, capsys):
    empty_harness.store.write("sources/20171103/g/1.n.x.log.gz", b"")
    assert empty_harness.replay("login") == 1
    assert "has no objects for 2017-11-03 10:00:00 to 2017-11-03 11:59:59 Pacific" in (
        capsys.readouterr().err
    )


def test_a_run_without_rows_replaces_nothing(empty_harness, capsys):
    empty_harness.log("2017-11-03T18:00:00", [edge_logs.record("chat", {"text": "x"})])
    before = empty_harness.rows("login")
    assert empty_harness.replay("login") == 1
    assert empty_harness.rows("login") == before
    assert "--allow-empty" in capsys.readouterr().out


def test_a_missing_edge_bucket_is_named(harness, capsys):
    harness.conf.write_text(harness.conf.read_text().replace("/edge/", "-not-there/edge/"))
    assert harness.replay("login") == 1
    assert "-not-there does not exist (s3:" in capsys.readouterr().err


def test_a_missing_schema_object_is_named(harness, capsys):
    harness.conf.write_text(harness.conf.read_text().replace("schemas.json", "nothing.json"))
    assert harness.replay("login") == 1
    assert "nothing.json does not exist" in capsys.readouterr().err


def test_a_table_with_an_invalid_schema_is_refused_with_the_reason(harness, capsys):
    bad = edge_logs.table("login", edge_logs.column("x", "no-such-transformer"))
    harness.store.write("schemas.json", edge_logs.schemas(bad, edge_logs.CHAT))
    assert harness.replay("login") == 2
    assert "the schema of table login is invalid: " in capsys.readouterr().err


def test_a_replay_of_all_tables_skips_an_invalid_schema_and_reports_it(harness, capsys):
    bad = edge_logs.table("login", edge_logs.column("x", "no-such-transformer"))
    harness.store.write("schemas.json", edge_logs.schemas(bad, edge_logs.CHAT))
    assert harness.replay("--all-tables") == 1
    assert harness.rows("chat") == [("2017-11-03 10:30:00", "hello")]
    assert "Table login was skipped" in capsys.readouterr().out


def test_a_table_that_falls_back_to_the_reference_path_is_logged_once_and_reported(
    harness, capsys, caplog
):
    columns = (edge_logs.column("n", "bool", "a"), edge_logs.column("n", "int", "b"))
    login = edge_logs.table(
        "login", edge_logs.column("time", "f@timestamp@unix"), *columns, version=3
    )
    harness.store.write("schemas.json", edge_logs.schemas(login, edge_logs.CHAT))
    assert harness.replay("login", "--skip-ace-upload") == 0
    reason = "columns need the property 'n' as different types: 'a' ('bool'), 'b' ('int')"
    logged = [record.getMessage() for record in caplog.records if "reference" in record.message]
    assert logged == [f"table login uses the slower reference path: {reason}"]
    remark = f"Table login was transformed by the slower reference path: {reason}"
    assert remark in capsys.readouterr().out
    assert harness.report()["manifest"]["fallbacks"] == {"login": reason}
    assert main(["runs", harness.tag, "--json", "--conf", str(harness.conf)]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["fallbacks"] == {"login": reason}
    assert main(["runs", harness.tag, "--conf", str(harness.conf)]) == 0
    assert "login was transformed by the slower reference path" in capsys.readouterr().out


def test_preflight_problems_are_reported_before_the_transform(harness, capsys):
    harness.sql("DELETE FROM infra.table_version WHERE version = 3; DROP TABLE physical.chat")
    assert harness.replay("login", "chat") == 1
    message = capsys.readouterr().err
    assert "nothing was changed" in message
    assert "login" in message
    assert "chat" in message
    assert list(harness.store.list("out/")) == []


def test_a_different_plan_for_the_same_run_tag_is_refused_with_the_difference(harness, capsys):
    harness.replay("login", "--skip-ace-upload")
    assert harness.replay("chat", "--skip-ace-upload") == 2
    assert "tables was login, is chat" in capsys.readouterr().err


def test_a_load_outside_the_window_of_the_run_is_refused(harness, capsys):
    harness.replay("login", "--skip-ace-upload")
    later = ("2017-11-03 10:00:00", "2017-11-03 12:30:00")
    assert harness.replay("login", "--skip-transform", window=later) == 2
    assert "has the window 2017-11-03 10:00:00 to 2017-11-03 11:59:59" in capsys.readouterr().err


def test_an_earlier_tools_run_is_loaded_only_with_by_prefix(harness, capsys):
    """It has no manifest, so the files of failed tasks cannot be distinguished from the others."""
    rows = '"2017-11-03 10:10:00"\t"old"\t"7"\n'
    harness.store.write(f"out/{harness.tag}/login/v3/part-0.gz", gzip.compress(rows.encode()))
    assert harness.replay("login", "--skip-transform") == 1
    assert "--by-prefix" in capsys.readouterr().err
    assert harness.replay("login", "--skip-transform", "--by-prefix") == 0
    assert harness.rows("login") == [BEFORE, ("2017-11-03 10:10:00", "old", 7), AFTER]


def test_a_prefix_without_files_of_the_table_is_refused(harness, capsys):
    harness.store.write(f"out/{harness.tag}/login/v2/part-0.gz", gzip.compress(b"x"))
    assert harness.replay("login", "--skip-transform", "--by-prefix") == 1
    assert "has no files of login/v3" in capsys.readouterr().err
