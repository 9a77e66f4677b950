"""`spade-spark plan`: a dry run without Spark that writes nothing."""

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from spade_spark.cli.main import main
from tests.chaos.thread_spark import on_threads
from tests.support import edge_logs
from tests.support.harness import WINDOW, ReplayHarness, log_full_window


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harness = ReplayHarness(tmp_path, bucket, s3_settings, database)
    log_full_window(harness)
    return harness


def plan(harness, *arguments, window=WINDOW):
    options = ["--conf", str(harness.conf), "--rsurl", harness.url, "--runtag", harness.tag]
    return main(["plan", *window, *arguments, *options])


def plan_json(harness, capsys, *arguments, window=WINDOW):
    plan(harness, *arguments, "--json", window=window)
    return json.loads(capsys.readouterr().out)


def test_the_plan_shows_what_would_be_read_and_replaced(harness, capsys):
    preview = plan_json(harness, capsys, "login", "chat")
    assert preview["ready"]
    assert (preview["objects"], preview["partitions"]) == (2, 1)
    chat, login = preview["tables"]
    assert (login["table"], login["version"], login["rows"]) == ("login", 3, 2)
    assert login["hours"] == [["2017-11-03T10:00:00", 1], ["2017-11-03T11:00:00", 1]]
    assert chat["rows"] == 1


def test_the_plan_shows_whether_tls_is_required(harness, capsys):
    assert plan_json(harness, capsys, "login")["tls"] == ""
    harness.url += "&sslmode=prefer"
    plan(harness, "login")
    assert " (TLS: prefer)" in capsys.readouterr().out


def test_the_plan_shows_the_exact_sql(harness, capsys):
    (login,) = plan_json(harness, capsys, "login")["tables"]
    assert (
        'DELETE FROM "physical"."login" WHERE "time" BETWEEN '
        "'2017-11-03 10:00:00' AND '2017-11-03 11:59:59'"
    ) in login["statements"]


def test_the_plan_lists_analyze_after_the_commit_if_it_is_requested(harness, capsys):
    (login,) = plan_json(harness, capsys, "login")["tables"]
    assert login["statements"][-1] == "COMMIT"
    (login,) = plan_json(harness, capsys, "login", "--analyze")["tables"]
    assert login["statements"][-2:] == ["COMMIT", 'ANALYZE "physical"."login"']


def test_the_plan_names_the_hours_without_objects(harness, capsys):
    window = ("2017-11-03 10:00:00", "2017-11-03 14:59:59")
    assert plan_json(harness, capsys, "login", window=window)["empty_hours"] == [
        "2017-11-03 10:00-0700",
        "2017-11-03 13:00-0700",
        "2017-11-03 14:00-0700",
    ]


def test_the_plan_shows_the_column_differences(harness, capsys):
    harness.sql(
        "ALTER TABLE physical.login ADD extra int, ALTER n TYPE varchar(5), "
        "ALTER login TYPE varchar(10)"
    )
    (login,) = plan_json(harness, capsys, "login")["tables"]
    assert login["differences"] == [
        "login is character varying(10), Blueprint has (20)",
        "n is character varying(5), Blueprint has int",
        "extra is not in Blueprint: new rows get its default value",
    ]


def test_all_problems_are_reported_at_once_with_exit_status_1(harness, capsys):
    harness.sql("DROP TABLE physical.chat; UPDATE infra.table_version SET version = 9")
    assert plan(harness, "login", "chat") == 1
    printed = capsys.readouterr().out
    assert "the table physical.chat does not exist" in printed
    assert "infra.table_version has version 9 of login" in printed
    assert "The replay would NOT start." in printed


def test_privileges_that_are_not_checked_are_remarks(harness, capsys):
    user = harness.tag.replace("-", "_")
    harness.sql(f"CREATE ROLE {user} LOGIN; GRANT pg_read_all_data TO {user}")
    harness.url = harness.url.replace("postgres@", f"{user}@")
    assert not plan_json(harness, capsys, "login")["ready"]
    harness.conf.write_text(harness.conf.read_text() + "[warehouse]\ncheck_privileges = false\n")
    preview = plan_json(harness, capsys, "login")
    assert preview["ready"]
    assert (
        'the warehouse user has no DELETE privilege on physical.login: GRANT DELETE ON "physical".'
        '"login" (only a warning: warehouse.check_privileges is false)' in preview["remarks"]
    )


def test_a_run_tag_with_a_different_plan_would_not_start(harness, capsys):
    with on_threads():
        harness.replay("chat", "--skip-ace-upload")
    assert plan(harness, "login") == 1
    assert "tables was chat, is login" in capsys.readouterr().out


def test_nothing_is_written(harness):
    plan(harness, "login")
    assert list(harness.store.list("out/")) == []
    assert harness.sql("SELECT to_regclass('infra.replay')") == [(None,)]


def test_a_plan_without_a_load_needs_no_warehouse(harness, capsys):
    window = [*WINDOW, "login", "--skip-ace-upload", "--conf", str(harness.conf)]
    assert main(["plan", *window]) == 0
    assert "The replay would start." in capsys.readouterr().out


def test_an_end_in_the_future_is_reported(harness, capsys):
    now = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
    harness.log(now.isoformat(), [edge_logs.record("login", {})])
    ends = (str(now - timedelta(days=1)), str(now + timedelta(days=1)))
    preview = plan_json(harness, capsys, "login", window=ends)
    assert any("future" in remark for remark in preview["remarks"])


def test_spark_is_not_imported(harness):
    options = ["--conf", str(harness.conf), "--rsurl", harness.url]
    program = (
        "import sys; from spade_spark.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit('Spark was imported' if 'pyspark' in sys.modules else status)"
    )
    arguments = [sys.executable, "-c", program, "plan", *WINDOW, "login", *options]
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == 0
