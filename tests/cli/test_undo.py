"""``spade-spark undo``: what it shows, refuses and puts back, and the lock that it takes."""

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
    """A harness whose tables were replaced under the run tag ``tag``, and the command line."""

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

    def undo(self, *words):
        return main(["undo", *words, "--conf", str(self.conf)])

    def hold(self, tag, *tables):
        """Somebody elsewhere is at work on the window."""
        claim = replace(LeaseRequest.new(tag, WINDOW, tables), process=ELSEWHERE)
        LeaseStore(self.store).acquire(claim)
        return claim


@pytest.fixture
def desk(tmp_path, database, s3_settings, bucket, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    client = boto3.client("s3", endpoint_url=s3_settings.endpoint_url, region_name="us-west-2")
    harness = WarehouseHarness(database, s3_settings, client, bucket)
    for name in ("login", "chat"):
        harness.create_table(name)
    harness.load(*(harness.write_files(*NEW, table=name) for name in ("login", "chat")))
    return Desk(harness, tmp_path, monkeypatch)


def test_all_tables_of_the_run_are_undone_and_the_way_is_shown_first(desk, capsys):
    assert desk.undo("tag") == 0
    shown = capsys.readouterr()
    assert (
        f"login: 2 rows in the window {WINDOW} go, 2 kept ones come back from "
        f"{desk.harness.backups}.tag__login" in shown.err
    )
    assert "Done. Run tag is undone." in shown.out
    assert "To reverse this undo: spade-spark undo undo-tag" in shown.out
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)
    assert LeaseStore(desk.store).table().leases == ()


def test_a_named_table_is_undone_and_the_others_are_left_alone(desk):
    assert desk.undo("tag", "chat") == 0
    assert desk.harness.rows("chat") == list(OLD)
    assert desk.harness.rows("login") == REPLACED


def test_the_same_command_again_goes_on_with_what_is_left(desk, capsys):
    assert desk.undo("tag", "chat") == 0
    assert desk.undo("tag") == 0
    assert "Table chat was already undone" in capsys.readouterr().out
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)


@pytest.mark.parametrize("words", [(), ("chat",)])
def test_what_is_undone_is_not_undone_again_and_the_command_says_so(desk, capsys, words):
    assert desk.undo("tag", *words) == 0
    ledger = desk.harness.replay_log()
    capsys.readouterr()
    assert desk.undo("tag", *words) == 0
    shown = capsys.readouterr().out
    assert "Table chat was already undone" in shown
    assert "To reverse this undo: spade-spark undo undo-tag" in shown
    assert desk.harness.replay_log() == ledger


def test_an_undo_that_another_has_done_since_the_look_is_passed_over(desk, capsys, monkeypatch):
    """As where a driver died with its commit on the way: it goes through after the next look."""
    look = undo._UndoRunner._preview

    def look_and_be_late(story):
        looked = look(story)
        with monkeypatch.context() as undisturbed:
            undisturbed.setattr(undo._UndoRunner, "_preview", look)
            assert desk.undo("tag") == 0
        return looked

    monkeypatch.setattr(undo._UndoRunner, "_preview", look_and_be_late)
    assert desk.undo("tag") == 0
    assert "Table login was already undone" in capsys.readouterr().out
    assert len(desk.harness.replay_log()) == 4


def test_an_undo_is_undone_by_its_own_tag(desk):
    assert desk.undo("tag") == 0
    assert desk.undo("undo-tag") == 0
    assert desk.harness.rows("login") == desk.harness.rows("chat") == REPLACED


def test_one_tables_problem_keeps_everything_from_being_begun(desk, capsys):
    desk.harness.execute(f"DELETE FROM {desk.harness.schema}.chat WHERE n = 20")
    assert desk.undo("tag") == 1
    message = capsys.readouterr().err
    assert "the undo could not work, so nothing was begun:" in message
    assert "chat was not modified" in message
    assert desk.harness.rows("login") == REPLACED
    assert desk.undo("tag", "--force") == 0
    assert desk.harness.rows("login") == desk.harness.rows("chat") == list(OLD)


def test_a_run_tag_or_a_table_that_the_ledger_does_not_have_is_refused(desk, capsys):
    assert desk.undo("nothing") == 2
    assert "has no load of run tag nothing: `spade-spark runs`" in capsys.readouterr().err
    assert desk.undo("tag", "logout") == 2
    message = capsys.readouterr().err
    assert "has no load of run tag tag into logout: it was loaded into " in message


def test_json_has_what_the_table_has(desk, capsys):
    assert desk.undo("tag", "login", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run_tag"], report["tag"], report["complete"]) == ("tag", "undo-tag", True)
    (table,) = report["tables"]
    assert (table["table"], table["deleted"], table["inserted"]) == ("login", 2, 2)
    assert table["backup"] == f"{desk.harness.backups}.undo-tag__login"


def test_a_replay_of_the_same_rows_is_in_the_way_until_its_place_is_taken(desk, capsys):
    claim = desk.hold("other", "login")
    assert desk.undo("tag") == 2
    assert "run tag other (bob@worker-7" in capsys.readouterr().err
    assert desk.harness.rows("login") == REPLACED
    assert desk.undo("tag", "--take-over", "other") == 0
    assert f"took over the lock of {claim}" in capsys.readouterr().err


def test_a_lock_that_is_lost_during_an_undo_leaves_the_tables_unchanged_and_is_reported(
    desk, capsys, monkeypatch
):
    def prepare_and_lose(warehouse, place):
        ensure_control_objects(warehouse, place)
        claim = replace(LeaseRequest.new("taker", WINDOW, ("login",)), process=ELSEWHERE)
        LeaseStore(desk.store).acquire(claim, steal_from=["tag"])

    monkeypatch.setattr("spade_spark.warehouse.rollback.ensure_control_objects", prepare_and_lose)
    assert desk.undo("tag") == 1
    shown = " ".join(capsys.readouterr().out.split())
    for table in ("login", "chat"):
        reason = f"{table} was not modified: the lock of run tag tag was taken over: run tag taker"
        assert f"Table {table} was not undone: {reason}" in shown
        assert desk.harness.rows(table) == REPLACED
    assert "INCOMPLETE: see the errors above" in shown


def test_a_table_that_cannot_be_undone_is_named_and_the_exit_status_tells(desk, capsys):
    """Found only by the undo itself: a column that the kept rows do not fill."""
    desk.harness.execute(f"DELETE FROM {desk.harness.schema}.chat")
    desk.harness.execute(f"ALTER TABLE {desk.harness.schema}.chat ADD COLUMN must integer NOT NULL")
    assert desk.undo("tag", "--force", "--allow-empty") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Table chat was not undone: chat was not modified:" in shown
    assert "INCOMPLETE: see the errors above" in shown
    assert desk.harness.rows("login") == list(OLD)


def test_without_a_warehouse_or_an_output_the_command_is_refused(desk, capsys, monkeypatch):
    desk.conf.write_text("[output]\n", "utf-8")
    assert desk.undo("tag") == 1
    assert "output.base is not set" in capsys.readouterr().err
    monkeypatch.delenv("SPADE_RSURL")
    assert desk.undo("tag") == 2
    assert "an undo needs a warehouse" in capsys.readouterr().err


def test_a_run_tag_that_would_be_taken_for_an_undo_is_refused():
    with pytest.raises(UsageError, match="spade-spark undo 20171103T101500"):
        check_tag("undo-20171103T101500")


def runs(desk, *words):
    return main(["runs", *words, "--conf", str(desk.conf)])


def age(desk, tag, days):
    """Makes a load look as old as that."""
    desk.harness.execute(
        f"UPDATE {desk.harness.control}.replay SET ts = ts - interval '{days} days' "
        f"WHERE run_tag = '{tag}'"
    )


def test_runs_shows_where_rows_are_kept_and_whether_the_load_was_undone(desk, capsys):
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
    assert "to put back what it replaced: spade-spark undo tag\n" in shown
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


def test_prune_lists_expired_backups_and_drops_only_what_it_was_told_to(desk, capsys):
    assert desk.undo("tag") == 0
    assert runs(desk, "--prune") == 0
    assert "Backups" not in capsys.readouterr().out
    age(desk, "tag", 15)
    age(desk, "undo-tag", 14.5)
    assert runs(desk, "--prune", "--json") == 0
    offered = json.loads(capsys.readouterr().out)["backups"]
    assert [(each["run_tag"], each["rows"]) for each in offered] == [
        *[("tag", 2)] * 2,
        *[("undo-tag", 2)] * 2,
    ]
    assert all(each["size"] > 0 for each in offered)
    assert runs(desk, "--prune") == 0
    shown = capsys.readouterr().out
    assert f"{desk.harness.backups}.tag__login" in shown
    assert "To drop: spade-spark runs --prune --backups tag --backups undo-tag" in shown
    assert runs(desk, "--prune", "--backups", "tag") == 2
    assert "give --yes: " in capsys.readouterr().err
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
    assert "--backups goes with --prune" in capsys.readouterr().err
