"""Concurrent replays: the second is refused, or takes over the lock of the first."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from unittest import mock

import pytest

from spade_spark.cli.main import main
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.locking.process import Process
from spade_spark.storage.base import open_store
from spade_spark.warehouse.window_swap import swap_window
from spade_spark.window import Window
from tests.support.harness import AFTER, BEFORE, ReplayHarness, log_full_window

ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/boot/pid:[1]", "9")
OVERLAPPING = ("2017-11-03 11:00:00", "2017-11-03 12:30:00")
LATER = ("2017-11-03 12:00:00", "2017-11-03 12:30:00")


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harness = ReplayHarness(tmp_path, bucket, s3_settings, database)
    log_full_window(harness)
    return harness


@pytest.fixture
def locks(harness):
    return LeaseStore(open_store(f"s3://{harness.bucket}/out/", harness.s3))


def request_for(tag, window=OVERLAPPING, tables=("login",)):
    """Return the lease request of a process on another machine."""
    return replace(LeaseRequest.new(tag, Window.parse(*window), tables), process=ELSEWHERE)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.spark
def test_a_second_replay_of_the_same_rows_is_refused_and_the_first_succeeds(harness, locks, capsys):
    program = "from spade_spark.cli.main import run; run()"
    options = ["--conf", str(harness.conf), "--rsurl", harness.url, "--runtag", "first"]
    arguments = ["replay", "2017-11-03 10:00:00", "2017-11-03 11:59:59", "login", *options]
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as first:
        until(lambda: locks.table().leases)
        assert harness.replay("login", "chat", window=OVERLAPPING) == 2
        assert first.wait(120) == 0
    message = capsys.readouterr().err
    assert f"process {first.pid}), which replaces login in the window 2017-11-03 10:00" in message
    assert "--take-over first" in message
    assert not list(harness.store.list(f"out/{harness.tag}/"))
    assert [row[1] for row in harness.rows("login")] == ["before", "ann", "zoë'\\", "after"]
    assert locks.table().leases == ()


def test_a_plan_reports_a_replay_that_holds_the_lock(harness, locks, capsys):
    locks.acquire(request_for("first"))
    arguments = ["plan", "2017-11-03 10:00:00", "2017-11-03 11:59:59", "login"]
    options = ["--conf", str(harness.conf), "--rsurl", harness.url]
    assert main([*arguments, *options]) == 1
    assert "run tag first (bob@worker-7" in " ".join(capsys.readouterr().out.split())
    assert main([*arguments, *options, "--take-over", "first"]) == 0


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "other",
    [
        request_for("other", window=LATER),
        request_for("other", tables=("chat",)),
        request_for("other", tables=()),
    ],
    ids=["another window", "another table", "loads nothing"],
)
def test_replays_of_different_rows_do_not_block_each_other(harness, locks, other):
    locks.acquire(other)
    assert harness.replay("login") == 0
    assert [lease.request for lease in locks.table().leases] == [other]


@pytest.mark.usefixtures("engine")
def test_take_over_takes_the_lock(harness, locks, capsys):
    locks.acquire(request_for("first"))
    assert harness.replay("login", "--take-over", "first") == 0
    assert "took over the lock of run tag first (bob@worker-7" in capsys.readouterr().err
    assert locks.table().leases == ()


@pytest.mark.usefixtures("engine")
def test_a_run_tag_is_not_transformed_twice_at_once(harness, locks, capsys):
    locks.acquire(request_for(harness.tag, tables=()))
    assert harness.replay("login", "--skip-ace-upload") == 2
    assert f"run tag {harness.tag} (bob@worker-7" in capsys.readouterr().err


@pytest.mark.usefixtures("engine")
def test_a_replay_that_loses_its_lock_during_the_transform_does_not_load(harness, locks, capsys):
    before = harness.rows("login")
    taker = request_for("taker")

    def take_over():
        until(lambda: locks.table().leases)
        locks.acquire(taker, steal_from=[harness.tag])

    thread = threading.Thread(target=take_over)
    thread.start()
    assert harness.replay("login") == 1
    thread.join()
    assert f"the lock of run tag {harness.tag} was taken over by run tag taker" in (
        capsys.readouterr().err
    )
    assert harness.rows("login") == before
    assert [lease.request for lease in locks.table().leases] == [taker]
    locks.release(taker)
    assert harness.replay("login") == 0, "resumes once the lock is released"


@pytest.mark.usefixtures("engine")
def test_a_replay_that_loses_its_lock_before_the_load_stages_nothing(harness, locks, monkeypatch):
    assert harness.replay("login", "--skip-ace-upload") == 0

    def lose_lock(**_):
        locks.acquire(request_for("taker"), steal_from=[harness.tag])

    load = mock.Mock(return_value=())
    monkeypatch.setattr("spade_spark.workflows.replay.load_tables", load)
    monkeypatch.setattr("spade_spark.workflows.replay.LoadGuards", lose_lock)
    assert harness.replay("login", "--skip-transform") == 1
    load.assert_not_called()


@pytest.mark.usefixtures("engine")
def test_tables_that_load_after_the_lock_is_lost_stay_unchanged(harness, locks, monkeypatch):
    """Another replay takes over between the commits of the first and the second table."""
    before = harness.rows("login")

    def swap_and_lose_lock(*args, **kwargs):
        result = swap_window(*args, **kwargs)
        locks.acquire(request_for("taker"), steal_from=[harness.tag])
        return result

    monkeypatch.setattr("spade_spark.warehouse.loader.swap_window", swap_and_lose_lock)
    assert harness.replay("login", "chat", "--poolsize", "1") == 1
    chat, login = harness.report()["loads"]
    assert (chat["table"], chat["inserted"]) == ("chat", 1)
    assert login["table"] == "login"
    assert "was taken over by run tag taker" in login["reason"]
    assert harness.rows("login") == before


@pytest.mark.usefixtures("engine")
def test_a_load_writes_its_record_and_runs_shows_it(harness, capsys):
    assert harness.replay("login", "chat") == 0
    capsys.readouterr()
    assert (
        main(["runs", harness.tag, "--conf", str(harness.conf), "--rsurl", harness.url, "--json"])
        == 0
    )
    run = json.loads(capsys.readouterr().out)
    assert run["state"] == "loaded"
    by_table = {load["table"]: load for load in run["loads"]}
    assert {name: by_table["login"][name] for name in ("before", "deleted", "inserted")} == {
        "before": 2,
        "deleted": 2,
        "inserted": 2,
    }
    assert by_table["login"]["recorded"]
    assert by_table["login"]["in_ledger"]
    assert run["leftovers"] == []
    assert BEFORE in harness.rows("login")
    assert AFTER in harness.rows("login")
