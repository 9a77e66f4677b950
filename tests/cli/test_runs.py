"""``spade-spark runs``: all states of a run, and what can be removed."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import msgspec
import psycopg2
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.cli.main import main
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.locking.process import Process
from spade_spark.plan import InputObject, Plan, assign_to_partitions
from spade_spark.retry import RetryPolicy
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadFailed, LoadRecord, TableLoaded
from spade_spark.runs.manifest import Completion, QuarantineFile, RowFile, UntrackedFile
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import S3Settings, load
from spade_spark.storage.base import open_store
from spade_spark.storage.json_codec import digest, encode
from spade_spark.transform.outcomes import Outcome
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.window import Window

NOW = datetime(2017, 11, 4, 12, tzinfo=timezone.utc)
WINDOW = Window.parse("2017-11-03 10:00:00", "2017-11-03 11:59:59")
COLUMNS = (Column("time", "time", "f@timestamp@unix"),)
TABLES = [Table("login", 3, COLUMNS), Table("chat", 1, COLUMNS)]
BIG = 40 * 1024 * 1024
ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/boot/pid:[1]", "9")


class RunsHarness:
    """An output store with runs, and a warehouse with a replay log."""

    def __init__(self, store, conf, url):
        self.store, self.conf, self.url = store, conf, url

    def runs(self, *arguments, warehouse=True):
        options = ["--rsurl", self.url] if warehouse else []
        return main(["runs", *arguments, "--conf", str(self.conf), *options])

    def begin(self, tag, window=WINDOW):
        """Write the plan of a run with two partitions."""
        plan = Plan(
            run_tag=tag,
            created=NOW,
            window=window.arguments,
            tables=("chat", "login"),
            all_tables=False,
            schemas_sha256="abc",
            edge="s3://edge/",
            partitions=assign_to_partitions(
                [InputObject("a", BIG, "e"), InputObject("b", BIG, "f")]
            ),
            settings={},
            version="1",
        )
        RunStore(self.store, tag).begin(plan, b"[]")
        return plan

    def complete_partition(self, plan, number, rows=2):
        """Complete a partition; a failed attempt has left another file."""
        tag = plan.run_tag
        name = f"{number:05d}-0-0123456789ab-0000.gz"
        file = RowFile("login", 3, f"{tag}/login/v3/{name}", rows, 10, "00")
        untracked = f"{tag}/_untracked/{name.replace('-0000', '-0001')}"
        quarantined = f"{tag}/_quarantine/{name.replace('-0000', '-0002')}"
        failed = f"{tag}/login/v3/{name.replace('ab-', 'cd-')}"
        for key in (file.key, untracked, quarantined, failed):
            self.store.write(key, bytes(10))
        completion = Completion(
            plan=digest(plan),
            partition=number,
            attempt=name,
            counts=AuditCounts(1, 9, 90, rows, 0, 0, rows, {"login": {Outcome.SUCCESS: rows}}),
            files=(file,),
            untracked=(UntrackedFile(self.store.url + untracked, 1, 10),),
            quarantine=(QuarantineFile(quarantined, 1, 10),),
        )
        self.store.write(RunStore(self.store, tag).paths.completion(number), encode(completion))
        return completion

    def complete_run(self, tag, window=WINDOW, created=NOW):
        """Write a completed run."""
        plan = self.begin(tag, window)
        completions = [self.complete_partition(plan, number) for number in (0, 1)]
        return RunStore(self.store, tag).complete(plan, TABLES, completions, created)

    def load(self, tag, *tables, at=NOW, window=WINDOW, warehouse=None):
        """Write the records of a load: in the replay log and under the run tag."""
        address = warehouse or ConnectionInfo.parse(self.url).address
        self.record(tag, *tables, at=at, window=window, warehouse=address)
        if warehouse is None:
            self.commit(tag, *tables, at=at, window=window)

    def record(self, tag, *tables, at=NOW, window=WINDOW, warehouse="db.example.com:5439/events"):
        loaded = tuple(TableLoaded(name, 5, 4, 0, 5, 4, 1.0) for name in tables)
        record = LoadRecord(at, warehouse, window.arguments, loaded, ())
        RunStore(self.store, tag).write_load(record)

    def commit(self, tag, *tables, at=NOW, window=WINDOW):
        with Session(ConnectionInfo.parse(self.url)) as session:
            session.run(replay_log.create("infra"))
            for name in tables:
                entry = replay_log.ReplayLogKey("infra", tag, name)
                session.run(
                    entry.insert(window, "00", deleted=5, inserted=4, ts=at.replace(tzinfo=None))
                )

    def lock(self, tag):
        """Lock the run from another machine."""
        lease_request = replace(LeaseRequest.new(tag, WINDOW, ("login",)), process=ELSEWHERE)
        LeaseStore(self.store).acquire(lease_request)
        return lease_request

    def keys(self, tag):
        return [entry.key.removeprefix(f"{tag}/") for entry in self.store.list(f"{tag}/")]


@pytest.fixture(params=["directory", "s3"])
def harness(request, tmp_path, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPADE_RSURL", raising=False)
    monkeypatch.setenv("COLUMNS", "250")
    base, s3 = f"{tmp_path}/out", S3Settings()
    if request.param == "s3":
        base = f"s3://{request.getfixturevalue('bucket')}/out"
        s3 = request.getfixturevalue("s3_settings")
    conf = tmp_path / "conf.toml"
    conf.write_text(
        f'[output]\nbase = "{base}"\n[s3]\nendpoint_url = "{s3.endpoint_url}"\n', "utf-8"
    )
    (tmp_path / "out").mkdir()
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA infra")
        connection.commit()
    return RunsHarness(open_store(base, s3), conf, database)


@pytest.fixture
def listed(harness, capsys):
    """The runs in ``runs --json``, by run tag."""

    def listed(**options):
        capsys.readouterr()
        assert harness.runs("--json", **options) == 0
        return {run["run_tag"]: run for run in json.loads(capsys.readouterr().out)["runs"]}

    return listed


def test_runs_shows_the_state_of_each_run(harness, listed):
    harness.complete_partition(harness.begin("abandoned"), 0)
    harness.begin("transforming")
    harness.lock("transforming")
    harness.complete_run("complete")
    harness.complete_run("loaded")
    harness.load("loaded", "login", "chat")
    harness.complete_run("half")
    harness.load("half", "login")
    harness.complete_run("cut")
    harness.store.write("cut/login/v3/00000-0-0123456789ab-0000.gz", b"short")
    harness.begin("unreadable")
    harness.store.write("unreadable/_manifest.json", b"{")
    harness.store.write("earlier/login/v3/part-0.gz", b"x")
    harness.store.write("_other/x", b"x")
    assert {tag: run["state"] for tag, run in listed().items()} == {
        "abandoned": "abandoned",
        "transforming": "transforming",
        "complete": "complete",
        "loaded": "loaded",
        "half": "complete",
        "cut": "damaged",
        "unreadable": "damaged",
        "earlier": "foreign",
    }


def test_a_run_with_an_expired_lock_is_abandoned(harness, listed, monkeypatch):
    harness.begin("r")
    harness.lock("r")
    assert listed()["r"]["state"] == "transforming"
    monkeypatch.setattr("spade_spark.locking.lease.LEASE_TIMEOUT", timedelta(seconds=-1))
    assert listed()["r"]["state"] == "abandoned"


def test_a_locked_complete_run_is_loading(harness, listed):
    harness.complete_run("r")
    harness.lock("r")
    assert listed()["r"]["state"] == "loading"
    assert listed()["r"]["removable"] is None


def test_the_list_has_windows_tables_rows_and_sizes(harness, listed):
    harness.complete_run("r")
    run = listed()["r"]
    assert run["window"] == list(WINDOW.arguments)
    assert run["rows"] == 4
    assert {table["table"]: table["rows"] for table in run["tables"]} == {"login": 4, "chat": 0}
    assert run["size"] == sum(entry.size for entry in harness.store.list("r/"))


def test_a_load_without_a_record_is_known_from_the_replay_log(harness, listed):
    """The driver died after the commit, before it wrote the record."""
    harness.complete_run("r")
    harness.commit("r", "login", "chat")
    run = listed()["r"]
    assert run["state"] == "loaded"
    assert [(load["recorded"], load["in_ledger"]) for load in run["loads"]] == [(False, True)] * 2


def test_a_record_that_is_not_in_the_replay_log_does_not_count(harness, listed):
    """The warehouse was restored from a snapshot after the load."""
    harness.complete_run("r")
    harness.load("r", "chat")
    harness.record("r", "login", warehouse=ConnectionInfo.parse(harness.url).address)
    run = listed()["r"]
    assert run["state"] == "complete"
    assert "replay" in run["next"]
    assert " login --skip-transform --runtag r" in run["next"]


def test_a_load_in_both_the_records_and_the_replay_log_is_listed_once(harness, listed):
    harness.complete_run("r")
    harness.load("r", "login", "chat")
    loads = listed()["r"]["loads"]
    assert [load["table"] for load in loads] == ["login", "chat"]
    assert all(load["recorded"] and load["in_ledger"] and load["before"] == 5 for load in loads)


def test_every_load_of_a_run_is_shown_with_its_undo_or_what_replaced_it(harness, listed, capsys):
    first = Window.parse("2017-11-03 10:00:00", "2017-11-03 10:59:59")
    second = Window.parse("2017-11-03 11:00:00", "2017-11-03 11:59:59")
    harness.complete_run("r")
    harness.load("r", "login", "chat", window=first)
    harness.load("r", "login", window=second, at=NOW + timedelta(minutes=1))
    harness.commit("undo-r", "login", window=second, at=NOW + timedelta(minutes=2))
    harness.complete_run("later")
    harness.load("later", "chat", at=NOW + timedelta(minutes=3))
    loads = [
        (load["table"], load["start"], bool(load["undone"]), load["replaced_by"], load["recorded"])
        for load in listed()["r"]["loads"]
    ]
    start = "2017-11-03T10:00:00"
    assert loads == [
        ("login", start, False, [], True),
        ("chat", start, False, ["later"], True),
        ("login", "2017-11-03T11:00:00", True, [], True),
    ]
    assert harness.runs("r") == 0
    output = capsys.readouterr().out
    assert "Run r: partly undone: login undone in part, 1 table loaded" in output
    assert output.count("2017-11-03 11:00:00 to 2017-11-03 11:59:59") == 1
    assert "replaced by" in output
    assert "To undo the rest: spade-spark undo r. To restore" in output


def test_a_run_that_was_undone_and_loaded_again_is_loaded(harness, listed):
    harness.complete_run("r")
    harness.load("r", "login", "chat")
    harness.commit("undo-r", "login", at=NOW + timedelta(minutes=1))
    run = listed()["r"]
    assert (run["state"], run["loaded_tables"], run["undone_tables"]) == (
        "undone",
        ["chat"],
        ["login"],
    )
    harness.load("r", "login", at=NOW + timedelta(minutes=2))
    run = listed()["r"]
    assert (run["state"], run["loaded_tables"]) == ("loaded", ["chat", "login"])
    assert run["undone_tables"] == []


def test_rows_added_from_the_quarantine_do_not_replace_a_load(harness, listed):
    harness.complete_run("r")
    harness.load("r", "login", "chat")
    harness.commit("r.quarantine", "login", at=NOW + timedelta(minutes=1))
    assert all(load["replaced_by"] == [] for load in listed()["r"]["loads"])


def test_the_list_says_which_tables_of_a_run_are_undone(harness, capsys):
    harness.complete_run("r")
    harness.load("r", "login", "chat")
    harness.commit("undo-r", "login", at=NOW + timedelta(minutes=1))
    assert harness.runs() == 0
    output = capsys.readouterr().out
    assert "partly undone: login undone, 1 table loaded" in output
    assert "1 of 2 tables" in output


def test_without_a_warehouse_loads_come_from_the_records_with_a_note(harness, listed, capsys):
    harness.complete_run("r")
    harness.load("r", "login", "chat")
    assert listed(warehouse=False)["r"]["state"] == "loaded"
    harness.runs(warehouse=False)
    assert "loads are shown from the runs' records only" in capsys.readouterr().out


def test_a_warehouse_that_does_not_answer_adds_a_note(harness, capsys, monkeypatch):
    quick = RetryPolicy(max_attempts=2, max_seconds=5, initial_wait=0.01, max_wait=0.01)
    monkeypatch.setattr("spade_spark.warehouse.retry_policies.PREFLIGHT_RETRIES", quick)
    harness.complete_run("r")
    harness.url = "postgres://loader:marked-secret@127.0.0.1:1/none"
    assert harness.runs() == 0
    printed = capsys.readouterr().out
    assert "does not answer" in printed
    assert "complete" in printed
    assert "marked-secret" not in printed


def test_the_list_is_readable(harness, capsys):
    harness.complete_partition(harness.begin("dead"), 0)
    harness.complete_run("done")
    harness.load("done", "login", "chat")
    assert harness.runs() == 0
    printed = capsys.readouterr().out
    assert "abandoned, 1 of 2 partitions" in printed
    assert f"{ConnectionInfo.parse(harness.url).address} 2017-11-04 12:00 UTC" in printed


def test_an_empty_store_has_no_runs(harness, capsys):
    assert harness.runs() == 0
    assert "No runs under" in capsys.readouterr().out


def test_a_single_run_is_shown_in_detail(harness, capsys):
    harness.complete_partition(harness.begin("r"), 0)
    harness.lock("r")
    assert harness.runs("r") == 0
    printed = capsys.readouterr().out
    assert "1 of 2 partitions done" in printed
    assert "Lock: bob@worker-7, process 4711, last heartbeat" in printed
    assert printed.endswith("Next: wait until the process that holds its lock has ended\n")


def test_a_completed_run_is_shown_with_its_counts_loads_and_failures(harness, capsys):
    harness.complete_run("r")
    harness.load("r", "login")
    failed = LoadFailed("chat", "chat was not modified: no space")
    later = LoadRecord(NOW + timedelta(hours=1), "x", WINDOW.arguments, (), (failed,))
    RunStore(harness.store, "r").write_load(later)
    harness.runs("r")
    printed = capsys.readouterr().out
    assert "4 success" in printed
    assert "run, replay log" in printed
    assert "Table chat was not loaded: chat was not modified: no space" in printed
    assert "chat --skip-transform --runtag r" in printed


def test_the_json_of_a_single_run_has_its_records(harness, capsys):
    harness.complete_run("r")
    harness.runs("r", "--json")
    run = json.loads(capsys.readouterr().out)
    assert len(run["manifest"]["tables"][0]["files"]) == 2
    assert len(run["leftovers"]) == 2


def test_a_missing_file_of_a_run_is_named(harness, capsys):
    harness.complete_run("r")
    harness.store.delete("r/login/v3/00000-0-0123456789ab-0000.gz")
    harness.runs("r")
    printed = capsys.readouterr().out
    assert "r/login/v3/00000-0-0123456789ab-0000.gz is missing" in printed
    assert "Next: start a new run" in printed


def test_an_unknown_run_tag_is_refused(harness, capsys):
    assert harness.runs("nowhere") == 2
    assert "does not exist in" in capsys.readouterr().err


def test_two_run_tags_are_refused(harness, capsys):
    assert harness.runs("a", "b") == 2
    assert "give one run tag" in capsys.readouterr().err


def test_prune_without_run_tags_only_lists(harness, capsys):
    harness.begin("dead")
    harness.complete_run("left")
    harness.complete_run("old")
    harness.load("old", "login", "chat")
    harness.complete_run("new")
    harness.load("new", "login", "chat", at=NOW + timedelta(hours=1))
    before = [entry.key for entry in harness.store.list()]
    assert harness.runs("--prune") == 0
    printed = capsys.readouterr().out
    assert "abandoned" in printed
    assert "superseded by new" in printed
    assert "leftovers" in printed
    assert "spade-spark runs --prune dead left new old" in printed
    assert [entry.key for entry in harness.store.list()] == before


def test_runs_in_use_are_not_prune_candidates(harness, listed):
    harness.begin("transforming")
    harness.lock("transforming")
    harness.store.write("earlier/login/v3/00000-0-0123456789ab-0000.gz", b"x")
    harness.begin("unreadable")
    harness.store.write("unreadable/_manifest.json", b"{")
    assert all(run["removable"] is None for run in listed().values())


@pytest.mark.parametrize(
    ("tables", "minutes", "window", "superseded"),
    [
        (("login", "chat"), 60, WINDOW, True),
        (("login",), 60, WINDOW, False),
        (("login", "chat"), -60, WINDOW, False),
        (("login", "chat"), 60, Window.parse("2017-11-03 10:00:01", "2017-11-03 12:59:59"), False),
        (("login", "chat"), 60, Window.parse("2017-11-03 09:00:00", "2017-11-03 12:59:59"), True),
    ],
    ids=["all tables", "one table", "earlier", "part of the window", "a wider window"],
)
def test_later_loads_of_all_its_rows_supersede_a_run(
    harness, listed, *, tables, minutes, window, superseded
):
    harness.complete_run("old")
    harness.load("old", "login", "chat")
    harness.commit("other", *tables, at=NOW + timedelta(minutes=minutes), window=window)
    assert (listed()["old"]["removable"]["what"] == "run") is superseded


def test_a_load_into_another_warehouse_does_not_supersede(harness, listed):
    harness.complete_run("old")
    harness.load("old", "login", "chat")
    harness.complete_run("new")
    harness.load("new", "login", "chat", at=NOW + timedelta(hours=1), warehouse="staging:5439/x")
    assert listed()["old"]["removable"]["what"] == "leftovers"


def test_prune_removes_only_the_named_runs(harness, capsys):
    harness.begin("dead")
    harness.begin("dead-2")
    completed = harness.complete_run("left")
    keys = set(harness.keys("left"))
    assert harness.runs("--prune", "dead", "left", "--yes") == 0
    printed = capsys.readouterr().out
    assert "removed dead: whole run (abandoned), 2 objects" in printed
    assert "removed left: leftovers of failed attempts (not in the manifest), 2 obj" in printed
    assert harness.keys("dead") == []
    assert harness.keys("dead-2") == ["_plan.json", "_schemas.json"]
    assert keys - set(harness.keys("left")) == {
        "login/v3/00000-0-0123456789cd-0000.gz",
        "login/v3/00001-0-0123456789cd-0000.gz",
    }
    assert RunStore(harness.store, "left").completed_run() == completed
    assert LeaseStore(harness.store).table().leases == ()


@pytest.fixture
def elsewhere(harness, tmp_path):
    """The store in ``output.untracked``."""
    url = harness.store.url.replace("/out/", "/untracked/")
    (tmp_path / "untracked").mkdir()
    harness.conf.write_text(harness.conf.read_text().replace("[s3]", f'untracked = "{url}"\n[s3]'))
    return open_store(url, load(harness.conf, {}).s3)


def test_untracked_events_in_another_bucket_are_removed_with_their_run(harness, elsewhere, capsys):
    harness.begin("dead")
    file = "00000-0-0123456789ab-0000.gz"
    others = [f"20171104/dead-2/{file}", f"20171103/dead/{file}"]
    for key in (f"20171104/dead/{file}", *others):
        elsewhere.write(key, bytes(100))
    assert harness.runs("--prune") == 0
    assert "3 objects (1 under output.untracked)" in capsys.readouterr().out
    assert harness.runs("--prune", "dead", "--yes") == 0
    assert "3 objects (1 under output.untracked), " in capsys.readouterr().out
    assert harness.keys("dead") == []
    assert sorted(entry.key for entry in elsewhere.list()) == sorted(others)


def test_untracked_files_that_no_manifest_names_are_leftovers_of_a_complete_run(
    harness, elsewhere, capsys
):
    plan = harness.begin("left")
    named, failed = (f"20171104/left/00000-0-{name}-0000.gz" for name in ("aa" * 6, "bb" * 6))
    for key in (named, failed):
        elsewhere.write(key, bytes(100))
    completion = harness.complete_partition(plan, 0)
    events = (UntrackedFile(elsewhere.url + named, 1, 100),)
    RunStore(harness.store, "left").complete(
        plan,
        TABLES,
        [
            msgspec.structs.replace(completion, untracked=events),
            harness.complete_partition(plan, 1),
        ],
        NOW,
    )
    assert harness.runs("--prune", "left", "--yes") == 0
    assert "(1 under output.untracked)" in capsys.readouterr().out
    assert [entry.key for entry in elsewhere.list()] == [named]


def test_a_missing_bucket_of_untracked_events_does_not_change_the_state(harness, listed):
    harness.conf.write_text(
        harness.conf.read_text().replace("[s3]", 'untracked = "nowhere/"\n[s3]')
    )
    harness.begin("dead")
    assert listed()["dead"]["state"] == "abandoned"


def test_nothing_is_removed_if_one_run_cannot_be_removed(harness, capsys):
    harness.begin("dead")
    harness.begin("busy")
    harness.lock("busy")
    assert harness.runs("--prune", "dead", "busy", "--yes") == 2
    assert "nothing of run tag busy can be removed, because its state is transforming" in (
        capsys.readouterr().err
    )
    assert harness.keys("dead") == ["_plan.json", "_schemas.json"]


def test_prune_without_a_terminal_requires_yes(harness, capsys):
    harness.begin("dead")
    assert harness.runs("--prune", "dead") == 2
    assert "give --yes to remove dead: whole run (abandoned), 2 objects" in capsys.readouterr().err
    assert harness.keys("dead")


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("n\n", False)])
def test_prune_asks_on_a_terminal(harness, monkeypatch, answer, removed):
    harness.begin("dead")
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    assert harness.runs("--prune", "dead") == (0 if removed else 130)
    assert bool(harness.keys("dead")) is not removed


def test_a_run_that_is_locked_during_the_confirmation_is_not_removed(harness, monkeypatch, capsys):
    harness.begin("dead")
    monkeypatch.setattr("sys.stdin", _Terminal("y\n", before=lambda: harness.lock("dead")))
    assert harness.runs("--prune", "dead") == 2
    assert "run tag dead (bob@worker-7" in capsys.readouterr().err
    assert harness.keys("dead")


def test_a_run_that_completes_during_the_confirmation_is_not_removed(harness, monkeypatch, capsys):
    harness.begin("dead")
    monkeypatch.setattr("sys.stdin", _Terminal("y\n", before=lambda: harness.complete_run("dead")))
    assert harness.runs("--prune", "dead") == 2
    assert "has changed since it was listed" in capsys.readouterr().err
    assert RunStore(harness.store, "dead").completed_run()


def test_an_interrupted_removal_can_be_repeated(harness, monkeypatch):
    harness.complete_run("old")
    harness.load("old", "login", "chat")
    harness.commit("new", "login", "chat", at=NOW + timedelta(hours=1))
    original, remaining = type(harness.store).delete, [4]

    def delete(store, key):
        remaining[0] -= 1
        if remaining[0] < 0:
            raise KeyboardInterrupt
        original(store, key)

    with monkeypatch.context() as patch:
        patch.setattr(type(harness.store), "delete", delete)
        assert harness.runs("--prune", "old", "--yes") == 130
    assert "_manifest.json" not in harness.keys("old")
    assert "_plan.json" in harness.keys("old")
    assert harness.runs("--prune", "old", "--yes") == 0
    assert harness.keys("old") == []


class _Terminal:
    """A terminal that gives one answer, after a call of ``before``."""

    def __init__(self, answer, before=lambda: None):
        self._answer, self._before = answer, before

    def isatty(self):
        return True

    def readline(self, *_):
        self._before()
        return self._answer
