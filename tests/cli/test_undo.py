"""``spade-spark undo``: what it shows, refuses and restores, and its lock."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from unittest import mock

import boto3
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.cli.main import main
from spade_spark.errors import LockLostError, UsageError
from spade_spark.locking.heartbeat import HeldLease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.locking.process import Process
from spade_spark.plan import Plan
from spade_spark.runs.paths import check_tag
from spade_spark.runs.run_store import RunStore
from spade_spark.storage.base import open_store
from spade_spark.warehouse.control_objects import ensure_control_objects
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.window import Window
from spade_spark.workflows import undo
from tests.warehouse.harness import NEW, OLD, REPLACED, WINDOW, WarehouseHarness

ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/boot/pid:[1]", "9")
PASSWORD = "marked-password"


class CommandLine:
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
def cli(tmp_path, database, s3_settings, bucket, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    client = boto3.client("s3", endpoint_url=s3_settings.endpoint_url, region_name="us-west-2")
    harness = WarehouseHarness(database, s3_settings, client, bucket)
    for name in ("login", "chat"):
        harness.create_table(name)
    harness.load(*(harness.write_files(*NEW, table=name) for name in ("login", "chat")))
    return CommandLine(harness, tmp_path, monkeypatch)


def test_all_tables_of_the_run_are_undone_after_a_preview(cli, capsys):
    assert cli.undo("tag") == 0
    output = capsys.readouterr()
    assert (
        f"login: replace 2 rows in the window {WINDOW} with 2 rows from the backup "
        f"{cli.harness.backups}.tag__login" in output.err
    )
    assert "Done. Run tag is undone." in output.out
    assert "To restore the deleted rows: spade-spark undo undo-tag" in output.out
    assert cli.harness.rows("login") == cli.harness.rows("chat") == list(OLD)
    assert LeaseStore(cli.store).table().leases == ()


def test_the_undone_tables_are_analyzed_on_request(cli, capsys):
    assert cli.undo("tag", "--analyze") == 0
    assert "Analyzed: chat, login\n" in capsys.readouterr().out


def test_only_the_named_table_is_undone(cli):
    assert cli.undo("tag", "chat") == 0
    assert cli.harness.rows("chat") == list(OLD)
    assert cli.harness.rows("login") == REPLACED


def test_the_same_command_undoes_the_remaining_tables(cli, capsys):
    assert cli.undo("tag", "chat") == 0
    assert cli.undo("tag") == 0
    assert "Table chat was already undone" in capsys.readouterr().out
    assert cli.harness.rows("login") == cli.harness.rows("chat") == list(OLD)


@pytest.mark.parametrize("tables", [(), ("chat",)])
def test_a_second_undo_changes_nothing_and_reports_it(cli, capsys, tables):
    assert cli.undo("tag", *tables) == 0
    log = cli.harness.replay_log()
    capsys.readouterr()
    assert cli.undo("tag", *tables) == 0
    output = capsys.readouterr().out
    assert "Table chat was already undone" in output
    assert "To restore the deleted rows: spade-spark undo undo-tag" in output
    assert cli.harness.replay_log() == log


def test_a_table_that_is_undone_after_the_preview_is_skipped(cli, capsys, monkeypatch):
    """This happens if a driver dies during a commit that succeeds after the next preview."""
    preview = undo._UndoRunner._preview

    def preview_and_be_late(undo_runner):
        result = preview(undo_runner)
        with monkeypatch.context() as original:
            original.setattr(undo._UndoRunner, "_preview", preview)
            assert cli.undo("tag") == 0
        return result

    monkeypatch.setattr(undo._UndoRunner, "_preview", preview_and_be_late)
    assert cli.undo("tag") == 0
    assert "Table login was already undone" in capsys.readouterr().out
    assert len(cli.harness.replay_log()) == 4


FORCE = LoadGuards(force=True)
FIRST = Window.parse("2017-11-04 13:00:00", "2017-11-04 13:29:59")
SECOND = Window.parse("2017-11-04 13:30:00", "2017-11-04 14:00:00")


@pytest.fixture
def parts(tmp_path, database, s3_settings, bucket, monkeypatch):
    """The run tag ``tag`` was loaded into one table for two parts of its window."""
    monkeypatch.setenv("COLUMNS", "250")
    client = boto3.client("s3", endpoint_url=s3_settings.endpoint_url, region_name="us-west-2")
    harness = WarehouseHarness(database, s3_settings, client, bucket)
    harness.create_table()
    files = harness.write_files(b'"2017-11-04 13:00:00"\t"new"\t"20"', NEW[1])
    for window in (FIRST, SECOND):
        harness.load_table(files, window=window, guards=FORCE)
    return CommandLine(harness, tmp_path, monkeypatch)


def test_every_part_that_a_run_tag_was_loaded_for_is_undone_and_can_be_restored(parts, capsys):
    loaded = parts.harness.rows()
    assert parts.undo("tag") == 0
    output = capsys.readouterr()
    first, second = (output.err.index(f"in the window {window}") for window in (FIRST, SECOND))
    assert second < first
    assert "login (load 1 of 2 to undo, made 20" in output.err
    assert "Done. Run tag is undone." in output.out
    assert parts.harness.rows() == list(OLD)
    assert parts.undo("undo-tag", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [table["window"] for table in report["tables"]] == [str(FIRST), str(SECOND)]
    assert (report["remaining"], report["next"]) == ([], "")
    assert parts.harness.rows() == loaded


def test_only_the_latest_load_is_undone_on_request(parts, capsys):
    assert parts.undo("tag", "--latest") == 0
    output = capsys.readouterr().out
    assert "Done. Run tag is partly undone. Not undone: login." in output
    assert "To undo the rest: spade-spark undo tag\n" in output
    assert [name for _, name, _ in parts.harness.rows()] == ["early", "new", "old", "late"]


def test_a_load_of_another_run_between_two_loads_is_named_before_anything_is_changed(parts, capsys):
    files = parts.harness.write_files(b'"2017-11-04 13:00:00"\t"more"\t"1"')
    parts.harness.load_table(files, run_tag="other", window=FIRST)
    parts.harness.load_table(files, window=FIRST, guards=FORCE)
    log, rows = parts.harness.replay_log(), parts.harness.rows()
    assert parts.undo("tag") == 1
    message = capsys.readouterr().err
    commands = "spade-spark undo tag login --latest, then spade-spark undo other login"
    assert "was replaced after run tag tag was loaded, by other (20" in message
    assert f"undo that first ({commands}), use --latest to undo only the newest load, " in message
    assert (parts.harness.replay_log(), parts.harness.rows()) == (log, rows)
    assert parts.undo("tag", "login", "--latest") == 0
    assert parts.undo("other", "login") == 0
    assert parts.undo("tag") == 0
    assert parts.harness.rows() == list(OLD)


def test_rows_added_from_a_quarantine_must_be_undone_first(parts, capsys):
    added = parts.harness.write_files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    parts.harness.load_table(added, run_tag="tag.quarantine", add_to="tag", window=SECOND)
    assert parts.undo("tag") == 1
    message = capsys.readouterr().err
    assert "undo that first (spade-spark undo tag.quarantine login)" in message
    assert parts.undo("tag.quarantine") == 0
    assert parts.undo("tag") == 0
    assert parts.harness.rows() == list(OLD)


def test_a_failure_between_two_loads_names_the_rest_and_the_same_command_continues(parts, capsys):
    """The changed row is outside the newest load's window, but inside that of an older one."""
    harness = parts.harness
    harness.load_table(harness.write_files(*NEW), guards=FORCE)
    harness.load_table(harness.write_files(NEW[1]), window=SECOND, guards=FORCE)
    harness.execute(f"INSERT INTO {harness.schema}.login VALUES ('2017-11-04 13:00:01', 'x', 9)")
    assert parts.undo("tag", "login") == 1
    output = capsys.readouterr()
    assert "can be checked only when the newer one is undone" in output.err
    printed = " ".join(output.out.split())
    assert "Table login was not undone: login was not modified: the window" in printed
    assert "Run tag is partly undone. Not undone: login (3 loads)." in printed
    assert "INCOMPLETE: see the errors above" in printed
    command = "spade-spark undo tag login"
    assert f"To undo the rest, fix the errors, then run: {command}" in printed
    harness.execute(f"DELETE FROM {harness.schema}.login WHERE n = 9")
    assert main([*command.split()[1:], "--conf", str(parts.conf)]) == 0
    assert "Done. Run tag is undone." in capsys.readouterr().out
    assert harness.rows() == list(OLD)


def test_the_loads_that_remain_after_a_failure_are_in_the_json_report(parts, capsys):
    harness = parts.harness
    harness.load_table(harness.write_files(NEW[1]), window=SECOND, guards=FORCE)
    harness.execute(f"ALTER TABLE {harness.schema}.login ADD CHECK (n <> 2) NOT VALID")
    assert parts.undo("tag", "--json") == 1  # the first part's old row cannot be inserted
    report = json.loads(capsys.readouterr().out)
    assert report["complete"] is False
    assert [load["window"] for load in report["remaining"]] == [str(FIRST)]
    assert report["next"] == "spade-spark undo tag"
    assert parts.undo("tag", "--latest", "--json") == 1
    assert json.loads(capsys.readouterr().out)["next"] == "spade-spark undo tag login --latest"


def test_a_run_of_which_one_table_is_undone_is_reported_as_partly_undone(cli, capsys):
    assert cli.undo("tag", "chat") == 0
    output = capsys.readouterr().out
    assert "Done. Run tag is partly undone. Not undone: login." in output
    assert "To undo the rest: spade-spark undo tag\n" in output
    assert "To restore the deleted rows: spade-spark undo undo-tag" in output


def test_the_expired_lock_of_an_undo_says_how_to_repeat_the_undo(cli, capsys, monkeypatch):
    lease_request = replace(
        LeaseRequest.new("other", WINDOW, ("login",), "undo"), process=ELSEWHERE
    )
    LeaseStore(cli.store).acquire(lease_request)
    monkeypatch.setattr("spade_spark.locking.lease.LEASE_TIMEOUT", timedelta(seconds=-1))
    assert cli.undo("tag") == 2
    message = capsys.readouterr().err
    assert "locked by the undo of run tag other (bob@worker-7" in message
    assert "run it again with spade-spark undo other, or" in message
    assert "--runtag" not in message


def test_a_replay_log_without_fingerprints_is_upgraded_on_request(cli, capsys):
    cli.harness.execute(f"ALTER TABLE {cli.harness.control}.replay DROP COLUMN fingerprint")
    assert cli.undo("tag", "--force") == 1
    assert "give --migrate to spade-spark replay or undo" in capsys.readouterr().err
    assert cli.harness.rows("login") == REPLACED
    assert cli.undo("tag", "--force", "--migrate") == 0
    assert cli.harness.rows("login") == list(OLD)


def test_a_missing_privilege_of_an_undo_is_a_warning_if_it_is_not_checked(cli, capsys):
    user = f"undoer_{cli.harness.id}"
    cli.harness.execute(f"CREATE ROLE {user} LOGIN; GRANT pg_read_all_data TO {user}")
    url = ["--rsurl", cli.harness.url.replace("postgres@", f"{user}@")]
    assert cli.undo("tag", *url) == 1
    denied = (
        f"the warehouse user has no CREATE privilege on the backup schema {cli.harness.backups}"
    )
    assert denied in capsys.readouterr().err
    cli.conf.write_text(cli.conf.read_text() + "check_privileges = false\n")
    assert cli.undo("tag", *url) == 1
    error = capsys.readouterr().err
    assert f"{denied}: GRANT CREATE ON SCHEMA" in error
    assert "(only a warning: warehouse.check_privileges is false)" in error
    assert "permission denied" in error


def test_an_undo_can_be_undone_by_its_own_tag(cli):
    assert cli.undo("tag") == 0
    assert cli.undo("undo-tag") == 0
    assert cli.harness.rows("login") == cli.harness.rows("chat") == REPLACED


def test_a_problem_of_one_table_prevents_the_whole_undo(cli, capsys):
    cli.harness.execute(f"DELETE FROM {cli.harness.schema}.chat WHERE n = 20")
    assert cli.undo("tag") == 1
    message = capsys.readouterr().err
    assert "the undo cannot succeed, so nothing was changed:" in message
    assert "chat was not modified" in message
    assert cli.harness.rows("login") == REPLACED
    assert cli.undo("tag", "--force") == 0
    assert cli.harness.rows("login") == cli.harness.rows("chat") == list(OLD)


def test_a_run_tag_or_table_without_a_load_is_refused(cli, capsys):
    assert cli.undo("nothing") == 2
    assert "has no load of run tag nothing: `spade-spark runs`" in capsys.readouterr().err
    assert cli.undo("tag", "logout") == 2
    message = capsys.readouterr().err
    assert "has no load of run tag tag into logout: it was loaded into " in message


def test_the_json_report_has_the_counts_of_each_table(cli, capsys):
    assert cli.undo("tag", "login", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run_tag"], report["tag"], report["complete"]) == ("tag", "undo-tag", True)
    (table,) = report["tables"]
    assert (table["table"], table["deleted"], table["inserted"]) == ("login", 2, 2)
    assert table["backup"] == f"{cli.harness.backups}.undo-tag__login"


def test_the_lock_of_a_replay_of_the_same_rows_must_be_taken_over(cli, capsys):
    lease_request = cli.hold("other", "login")
    assert cli.undo("tag") == 2
    assert "run tag other (bob@worker-7" in capsys.readouterr().err
    assert cli.harness.rows("login") == REPLACED
    assert cli.undo("tag", "--take-over", "other") == 0
    assert f"took over the lock of {lease_request}" in capsys.readouterr().err


def test_a_lock_that_is_lost_during_an_undo_leaves_the_tables_unchanged_and_is_reported(
    cli, capsys, monkeypatch
):
    def prepare_and_lose_lock(warehouse, schemas, tables):
        ensure_control_objects(warehouse, schemas, tables)
        lease_request = replace(LeaseRequest.new("taker", WINDOW, ("login",)), process=ELSEWHERE)
        LeaseStore(cli.store).acquire(lease_request, steal_from=["tag"])

    monkeypatch.setattr(
        "spade_spark.warehouse.rollback.ensure_control_objects", prepare_and_lose_lock
    )
    assert cli.undo("tag") == 1
    output = " ".join(capsys.readouterr().out.split())
    for table in ("login", "chat"):
        reason = "the lock of run tag tag was taken over by run tag taker"
        assert f"Table {table} was not undone: {table} was not modified: {reason}" in output
        assert cli.harness.rows(table) == REPLACED
    assert "INCOMPLETE: see the errors above" in output


def test_an_undo_that_loses_its_lock_before_it_starts_touches_no_table(cli, monkeypatch):
    def lose_lock(lock):
        raise LockLostError("the lock was taken over")

    undo_tables = mock.Mock(return_value=())
    monkeypatch.setattr(HeldLease, "verify", lose_lock)
    monkeypatch.setattr(undo, "undo_tables", undo_tables)
    assert cli.undo("tag") == 1
    undo_tables.assert_not_called()


def test_a_table_that_cannot_be_undone_is_reported_with_exit_status_1(cli, capsys):
    """The backup does not fill a new NOT NULL column; only the undo itself finds that."""
    cli.harness.execute(f"DELETE FROM {cli.harness.schema}.chat")
    cli.harness.execute(f"ALTER TABLE {cli.harness.schema}.chat ADD COLUMN must integer NOT NULL")
    assert cli.undo("tag", "--force", "--allow-empty") == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "Table chat was not undone: chat was not modified:" in output
    assert "INCOMPLETE: see the errors above" in output
    assert cli.harness.rows("login") == list(OLD)


def test_an_undo_without_a_warehouse_or_an_output_store_is_refused(cli, capsys, monkeypatch):
    cli.conf.write_text("[output]\n", "utf-8")
    assert cli.undo("tag") == 1
    assert "output.base is not set" in capsys.readouterr().err
    monkeypatch.delenv("SPADE_RSURL")
    assert cli.undo("tag") == 2
    assert "no warehouse is configured" in capsys.readouterr().err


def test_a_run_tag_that_looks_like_an_undo_is_refused():
    with pytest.raises(UsageError, match="spade-spark undo 20171103T101500"):
        check_tag("undo-20171103T101500")


def runs(cli, *arguments):
    return main(["runs", *arguments, "--conf", str(cli.conf)])


def age(cli, tag, days):
    """Make a load look ``days`` days old."""
    cli.harness.execute(
        f"UPDATE {cli.harness.control}.replay SET ts = ts - interval '{days} days' "
        f"WHERE run_tag = '{tag}'"
    )


def test_runs_shows_the_backups_of_a_load_and_whether_it_was_undone(cli, capsys):
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
    run = RunStore(cli.store, "tag")
    run.begin(plan, b"[]")
    columns = (Column("time", "time", "f@timestamp@unix"),)
    tables = [Table("login", 3, columns), Table("chat", 3, columns)]
    run.complete(plan, tables, [], datetime.now(timezone.utc))
    assert runs(cli, "tag") == 0
    output = capsys.readouterr().out
    assert "Run tag: loaded" in output
    assert f"{cli.harness.backups}.tag__chat" in output
    assert "To restore the rows that it replaced: spade-spark undo tag\n" in output
    assert cli.undo("tag", "chat") == 0
    capsys.readouterr()
    assert runs(cli, "tag", "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["state"] == "undone"
    assert {load["table"]: bool(load["undone"]) for load in state["loads"]} == {
        "login": False,
        "chat": True,
    }
    assert (state["undone_tables"], state["loaded_tables"]) == (["chat"], ["login"])
    assert "To undo the rest: spade-spark undo tag." in state["next"]
    assert state["next"].endswith("spade-spark undo undo-tag")
    assert cli.undo("undo-tag") == 0
    capsys.readouterr()
    assert runs(cli, "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["state"] == "loaded"


def test_prune_lists_expired_backups_and_drops_only_the_named_ones(cli, capsys):
    assert cli.undo("tag") == 0
    assert runs(cli, "--prune") == 0
    assert "Backups" not in capsys.readouterr().out
    age(cli, "tag", 15)
    age(cli, "undo-tag", 14.5)
    assert runs(cli, "--prune", "--json") == 0
    expired = json.loads(capsys.readouterr().out)["backups"]
    assert [(backup["run_tag"], backup["rows"]) for backup in expired] == [
        *[("tag", 2)] * 2,
        *[("undo-tag", 2)] * 2,
    ]
    assert all(backup["size"] > 0 for backup in expired)
    assert runs(cli, "--prune") == 0
    output = capsys.readouterr().out
    assert f"{cli.harness.backups}.tag__login" in output
    assert "To drop: spade-spark runs --prune --backups tag --backups undo-tag" in output
    assert runs(cli, "--prune", "--backups", "tag") == 2
    assert "give --yes to remove " in capsys.readouterr().err
    assert runs(cli, "--prune", "--backups", "tag", "--yes") == 0
    assert f"dropped {cli.harness.backups}.tag__chat: 2 rows of chat, " in capsys.readouterr().out
    remaining = cli.harness.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = '{cli.harness.backups}' ORDER BY 1"
    )
    assert remaining == [("undo-tag__chat",), ("undo-tag__login",)]
    assert cli.undo("undo-tag") == 0
    assert cli.undo("tag") == 1
    assert "tag__login, the backup of run tag tag, no longer exists" in (capsys.readouterr().err)


def test_a_backup_that_has_not_expired_is_not_dropped(cli, capsys):
    age(cli, "tag", 13)
    assert runs(cli, "--prune", "--backups", "tag", "--yes") == 2
    assert "no backup of run tag tag is older than warehouse.backup_keep (14 days)" in (
        capsys.readouterr().err
    )
    assert cli.undo("tag") == 0


def test_backups_without_prune_are_refused(cli, capsys):
    assert runs(cli, "--backups", "tag") == 2
    assert "--backups requires --prune" in capsys.readouterr().err
