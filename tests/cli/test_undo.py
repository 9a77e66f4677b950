"""``spade-spark undo``: what it shows, refuses and restores, and its lock."""

import json
from dataclasses import replace
from datetime import datetime, timezone

import boto3
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.cli.main import main
from spade_spark.errors import UsageError
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.locking.process import Process
from spade_spark.plan import Plan
from spade_spark.runs.paths import check_tag
from spade_spark.runs.run_store import RunStore
from spade_spark.storage.base import open_store
from spade_spark.warehouse.loader import ensure_control_objects
from spade_spark.workflows import undo
from tests.warehouse.harness import NEW, OLD, REPLACED, WINDOW, WarehouseHarness

ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/boot/pid:[1]", "9")
PASSWORD = "marked-password"


class Desk:
    """Tables that the run tag ``tag`` was loaded into, and the command line."""

    def __init__(self, harness, folder, monkeypatch):
        self.harness = harness
        self.conf = folder / "conf.toml"
        self.conf.write_text(
            f'[output]\nbase = "{harness.output}out/"\n'
            f'[s3]\nendpoint_url = "{harness.s3.endpoint_url}"\n'
            f'[warehouse]\nschema = "{harness.schema}"\ncontrol = "{harness.control}"\n'
            f'backup_schema = "{harness.backups}"\n',
            "utf-8",
        )
        self.store = open_store(f"{harness.output}out/", harness.s3)
        monkeypatch.setenv("SPADE_RSURL", harness.url)

    def undo(self, *arguments):
        return main(["undo", *arguments, "--conf", str(self.conf)])

    def hold(self, tag, *tables):
        """Take the lock of the window from another machine."""
        lease_request = replace(LeaseRequest.new(tag, WINDOW, tables), process=ELSEWHERE)
        LeaseStore(self.store).acquire(lease_request)
        return lease_request


@pytest.fixture
def desk(tmp_path, database, s3_settings, bucket, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    client = boto3.client("s3", endpoint_url=s3_settings.endpoint_url, region_name="us-west-2")
    harness = WarehouseHarness(database, s3_settings, client, bucket)
    for name in ("login", "chat"):
        harness.create_table(name)
    harness.load(*(harness.write_files(*NEW, table=name) for name in ("login", "chat")))
    return Desk(harness, tmp_path, monkeypatch)


def test_all_tables_of_the_run_are_undone_after_a_preview(desk, capsys):
    assert desk.undo("tag") == 0
    shown = capsys.readouterr()
    assert (
        f"login: replace 2 rows in the window {WINDOW} with 2 rows from the backup "
        f"{desk.harness.backups}.tag__login" in shown.err
    )
    assert "Done. Run tag is undone." in shown.out
    assert "To reverse this undo: spade-spark undo undo-tag" in shown.out
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)
    assert LeaseStore(desk.store).table().leases == ()


def test_only_the_named_table_is_undone(desk):
    assert desk.undo("tag", "chat") == 0
    assert desk.harness.rows("chat") == list(OLD)
    assert desk.harness.rows("login") == REPLACED


def test_the_same_command_undoes_the_remaining_tables(desk, capsys):
    assert desk.undo("tag", "chat") == 0
    assert desk.undo("tag") == 0
    assert "Table chat was already undone" in capsys.readouterr().out
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)


@pytest.mark.parametrize("tables", [(), ("chat",)])
def test_a_second_undo_changes_nothing_and_reports_it(desk, capsys, tables):
    assert desk.undo("tag", *tables) == 0
    log = desk.harness.replay_log()
    capsys.readouterr()
    assert desk.undo("tag", *tables) == 0
    shown = capsys.readouterr().out
    assert "Table chat was already undone" in shown
    assert "To reverse this undo: spade-spark undo undo-tag" in shown
    assert desk.harness.replay_log() == log


def test_a_table_that_is_undone_after_the_preview_is_skipped(desk, capsys, monkeypatch):
    """This happens if a driver dies during a commit that succeeds after the next preview."""
    preview = undo._UndoRunner._preview

    def preview_and_be_late(undo_runner):
        result = preview(undo_runner)
        with monkeypatch.context() as original:
            original.setattr(undo._UndoRunner, "_preview", preview)
            assert desk.undo("tag") == 0
        return result

    monkeypatch.setattr(undo._UndoRunner, "_preview", preview_and_be_late)
    assert desk.undo("tag") == 0
    assert "Table login was already undone" in capsys.readouterr().out
    assert len(desk.harness.replay_log()) == 4


def test_an_undo_can_be_undone_by_its_own_tag(desk):
    assert desk.undo("tag") == 0
    assert desk.undo("undo-tag") == 0
    assert desk.harness.rows("login") == desk.harness.rows("chat") == REPLACED


def test_a_problem_of_one_table_prevents_the_whole_undo(desk, capsys):
    desk.harness.execute(f"DELETE FROM {desk.harness.schema}.chat WHERE n = 20")
    assert desk.undo("tag") == 1
    message = capsys.readouterr().err
    assert "the undo cannot succeed, so nothing was changed:" in message
    assert "chat was not modified" in message
    assert desk.harness.rows("login") == REPLACED
    assert desk.undo("tag", "--force") == 0
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)


def test_a_run_tag_or_table_without_a_load_is_refused(desk, capsys):
    assert desk.undo("nothing") == 2
    assert "has no load of run tag nothing: `spade-spark runs`" in capsys.readouterr().err
    assert desk.undo("tag", "logout") == 2
    message = capsys.readouterr().err
    assert "has no load of run tag tag into logout: it was loaded into " in message


def test_the_json_report_has_the_counts_of_each_table(desk, capsys):
    assert desk.undo("tag", "login", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run_tag"], report["tag"], report["complete"]) == ("tag", "undo-tag", True)
    (table,) = report["tables"]
    assert (table["table"], table["deleted"], table["inserted"]) == ("login", 2, 2)
    assert table["backup"] == f"{desk.harness.backups}.undo-tag__login"


def test_the_lock_of_a_replay_of_the_same_rows_must_be_taken_over(desk, capsys):
    lease_request = desk.hold("other", "login")
    assert desk.undo("tag") == 2
    assert "run tag other (bob@worker-7" in capsys.readouterr().err
    assert desk.harness.rows("login") == REPLACED
    assert desk.undo("tag", "--take-over", "other") == 0
    assert f"took over the lock of {lease_request}" in capsys.readouterr().err


def test_a_lock_that_is_lost_during_an_undo_leaves_the_tables_unchanged_and_is_reported(
    desk, capsys, monkeypatch
):
    def prepare_and_lose_lock(warehouse, place):
        ensure_control_objects(warehouse, place)
        lease_request = replace(LeaseRequest.new("taker", WINDOW, ("login",)), process=ELSEWHERE)
        LeaseStore(desk.store).acquire(lease_request, steal_from=["tag"])

    monkeypatch.setattr(
        "spade_spark.warehouse.rollback.ensure_control_objects", prepare_and_lose_lock
    )
    assert desk.undo("tag") == 1
    shown = " ".join(capsys.readouterr().out.split())
    for table in ("login", "chat"):
        reason = f"{table} was not modified: the lock of run tag tag was taken over: run tag taker"
        assert f"Table {table} was not undone: {reason}" in shown
        assert desk.harness.rows(table) == REPLACED
    assert "INCOMPLETE: see the errors above" in shown


def test_a_table_that_cannot_be_undone_is_reported_with_exit_status_1(desk, capsys):
    """The backup does not fill a new NOT NULL column; only the undo itself finds that."""
    desk.harness.execute(f"DELETE FROM {desk.harness.schema}.chat")
    desk.harness.execute(f"ALTER TABLE {desk.harness.schema}.chat ADD COLUMN must integer NOT NULL")
    assert desk.undo("tag", "--force", "--allow-empty") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Table chat was not undone: chat was not modified:" in shown
    assert "INCOMPLETE: see the errors above" in shown
    assert desk.harness.rows("login") == list(OLD)


def test_an_undo_without_a_warehouse_or_an_output_store_is_refused(desk, capsys, monkeypatch):
    desk.conf.write_text("[output]\n", "utf-8")
    assert desk.undo("tag") == 1
    assert "output.base is not set" in capsys.readouterr().err
    monkeypatch.delenv("SPADE_RSURL")
    assert desk.undo("tag") == 2
    assert "no warehouse is configured" in capsys.readouterr().err


def test_a_run_tag_that_looks_like_an_undo_is_refused():
    with pytest.raises(UsageError, match="spade-spark undo 20171103T101500"):
        check_tag("undo-20171103T101500")


def runs(desk, *arguments):
    return main(["runs", *arguments, "--conf", str(desk.conf)])


def age(desk, tag, days):
    """Make a load look ``days`` days old."""
    desk.harness.execute(
        f"UPDATE {desk.harness.control}.replay SET ts = ts - interval '{days} days' "
        f"WHERE run_tag = '{tag}'"
    )


def test_runs_shows_the_backups_of_a_load_and_whether_it_was_undone(desk, capsys):
    plan = Plan(
        run_tag="tag",
        created=datetime.now(timezone.utc),
        window=WINDOW.arguments,
        tables=("login", "chat"),
        all_tables=False,
        schemas_sha256="",
        edge="",
        partitions=(),
        settings={},
        version="1",
    )
    run = RunStore(desk.store, "tag")
    run.begin(plan, b"[]")
    columns = (Column("time", "time", "f@timestamp@unix"),)
    tables = [Table("login", 3, columns), Table("chat", 3, columns)]
    run.complete(plan, tables, [], datetime.now(timezone.utc))
    assert runs(desk, "tag") == 0
    shown = capsys.readouterr().out
    assert "Run tag: loaded" in shown
    assert f"{desk.harness.backups}.tag__chat" in shown
    assert "To restore the rows that it replaced: spade-spark undo tag\n" in shown
    assert desk.undo("tag", "chat") == 0
    capsys.readouterr()
    assert runs(desk, "tag", "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["state"] == "undone"
    assert {load["table"]: bool(load["undone"]) for load in state["loads"]} == {
        "login": False,
        "chat": True,
    }
    assert state["next"].endswith("spade-spark undo undo-tag")
    assert desk.undo("undo-tag") == 0
    capsys.readouterr()
    assert runs(desk, "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["state"] == "loaded"


def test_prune_lists_expired_backups_and_drops_only_the_named_ones(desk, capsys):
    assert desk.undo("tag") == 0
    assert runs(desk, "--prune") == 0
    assert "Backups" not in capsys.readouterr().out
    age(desk, "tag", 15)
    age(desk, "undo-tag", 14.5)
    assert runs(desk, "--prune", "--json") == 0
    offered = json.loads(capsys.readouterr().out)["backups"]
    assert [(backup["run_tag"], backup["rows"]) for backup in offered] == [
        *[("tag", 2)] * 2,
        *[("undo-tag", 2)] * 2,
    ]
    assert all(backup["size"] > 0 for backup in offered)
    assert runs(desk, "--prune") == 0
    shown = capsys.readouterr().out
    assert f"{desk.harness.backups}.tag__login" in shown
    assert "To drop: spade-spark runs --prune --backups tag --backups undo-tag" in shown
    assert runs(desk, "--prune", "--backups", "tag") == 2
    assert "give --yes to remove without confirmation: " in capsys.readouterr().err
    assert runs(desk, "--prune", "--backups", "tag", "--yes") == 0
    assert f"dropped {desk.harness.backups}.tag__chat: 2 rows of chat, " in capsys.readouterr().out
    left = desk.harness.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = '{desk.harness.backups}' ORDER BY 1"
    )
    assert left == [("undo-tag__chat",), ("undo-tag__login",)]
    assert desk.undo("undo-tag") == 0
    assert desk.undo("tag") == 1
    assert "tag__login, the backup of run tag tag, no longer exists" in (capsys.readouterr().err)


def test_a_backup_that_has_not_expired_is_not_dropped(desk, capsys):
    age(desk, "tag", 13)
    assert runs(desk, "--prune", "--backups", "tag", "--yes") == 2
    assert "no backup of run tag tag is older than warehouse.backup_keep (14 days)" in (
        capsys.readouterr().err
    )
    assert desk.undo("tag") == 0


def test_backups_without_prune_are_refused(desk, capsys):
    assert runs(desk, "--backups", "tag") == 2
    assert "--backups requires --prune" in capsys.readouterr().err
