"""Locks: of two replays that want the same rows, one; whoever dies, lies still or races."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from spade_spark.errors import InputError, LockedError, LockLostError, TransientError
from spade_spark.locking.heartbeat import HeldLease, acquire_lease
from spade_spark.locking.lease import KEY, LEASE_TIMEOUT, LeaseRequest, LeaseStore, format_age
from spade_spark.locking.process import Process
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from spade_spark.window import Window

MORNING = Window.parse("2017-11-03 08:00:00", "2017-11-03 11:59:59")
NOON = Window.parse("2017-11-03 12:00:00", "2017-11-03 12:59:59")
LATE_MORNING = Window.parse("2017-11-03 11:59:59", "2017-11-03 12:30:00")
ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/other-boot/pid:[1]", "99")
SHORT = timedelta(milliseconds=50)


class Clocked:
    """A store whose clock can be set; everything else is the real one's."""

    def __init__(self, store):
        self._store = store
        self.url = store.url
        self.ahead = timedelta()
        self.before_replace = lambda: None

    def __getattr__(self, name):
        return getattr(self._store, name)

    def snapshot(self, key):
        found = self._store.snapshot(key)
        return replace(found, read_at=found.read_at + self.ahead)

    def replace(self, key, data, etag):
        act, self.before_replace = self.before_replace, lambda: None
        act()
        return self._store.replace(key, data, etag)


@pytest.fixture(params=["directory", "s3"])
def store(request, tmp_path):
    if request.param == "directory":
        return Clocked(open_store(str(tmp_path), S3Settings()))
    bucket = request.getfixturevalue("bucket")
    return Clocked(open_store(f"s3://{bucket}/out/", request.getfixturevalue("s3_settings")))


@pytest.fixture
def locks(store):
    return LeaseStore(store)


def claim(tag="a", window=MORNING, tables=("login",), process=ELSEWHERE):
    return replace(LeaseRequest.new(tag, window, tables), process=process)


def ended_process():
    """One of this machine that was there a moment ago."""
    program = (
        "import json; from spade_spark.locking.process import Process; "
        "print(json.dumps(vars(Process.current())))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return Process(**json.loads(done.stdout))


def tags(locks):
    return [held.claim.run_tag for held in locks.board().held]


@pytest.mark.parametrize(
    ("other", "rivals"),
    [
        (claim("b"), True),
        (claim("b", tables=("chat", "Login")), True),
        (claim("b", tables=("chat",)), False),
        (claim("b", tables=None), True),
        (claim("b", tables=()), False),
        (claim("b", window=NOON), False),
        (claim("b", window=LATE_MORNING), True),
        (claim("a", window=NOON, tables=()), True),
    ],
    ids=[
        "same rows",
        "one table in common, spelt otherwise",
        "other tables",
        "all tables",
        "loads nothing",
        "a window that begins a second later",
        "windows with one second in common",
        "same run tag",
    ],
)
def test_claims_are_rivals_by_run_tag_or_by_table_and_second(other, rivals):
    assert claim("a").conflicts_with(other) is rivals
    assert other.is_rival(claim("a")) is rivals


def test_a_replay_of_all_tables_is_no_rival_of_one_that_loads_nothing():
    assert not claim("a", tables=None).conflicts_with(claim("b", tables=()))


def test_the_second_is_refused_and_told_who_is_first_and_what_to_do(store, locks):
    locks.take(claim("first", tables=("login", "chat")))
    store.ahead = timedelta(seconds=45)
    with pytest.raises(LockedError) as refused:
        locks.take(claim("second"))
    message = str(refused.value)
    assert message.startswith(
        "run tag first (bob@worker-7, process 4711) replaces login, chat in "
        "2017-11-03 08:00:00 to 2017-11-03 11:59:59 Pacific; its last sign of life is 4"
    )
    assert message.endswith(
        "s old: wait until it has ended, or stop it, then take its place with --take-over first"
    )
    assert refused.value.exit_status == 2
    assert tags(locks) == ["first"]


def test_what_has_nothing_in_common_runs_side_by_side(locks):
    for other in (claim("a"), claim("b", window=NOON), claim("c", tables=("chat",))):
        locks.take(other)
    assert tags(locks) == ["a", "b", "c"]


def test_a_released_claim_is_free_for_the_next(locks):
    first = claim("first")
    locks.take(first)
    locks.release(first)
    locks.release(first)
    locks.take(claim("second"))
    assert tags(locks) == ["second"]


def test_another_run_tags_dead_claim_gives_way_only_where_it_is_named(store, locks):
    locks.take(claim("first"))
    store.ahead = timedelta(minutes=43)
    with pytest.raises(
        LockedError, match=r"43 min old, so it may be dead: .* --runtag first, or, if"
    ):
        locks.take(claim("second"))
    with pytest.raises(LockedError):
        locks.take(claim("second"), take_over=["third"])
    (gone,) = locks.take(claim("second"), take_over=["first"])
    assert gone.claim.run_tag == "first"
    assert tags(locks) == ["second"]


def test_a_live_claim_gives_way_where_it_is_named(locks):
    first = claim("first")
    locks.take(first)
    locks.take(claim("second"), take_over=["first"])
    assert not locks.beat(first)
    assert tags(locks) == ["second"]


def test_a_run_tag_is_gone_on_with_once_its_claim_is_dead_and_not_before(store, locks):
    locks.take(claim("a"))
    with pytest.raises(LockedError, match=r"run tag a \(bob@worker-7"):
        locks.take(claim("a"))
    store.ahead = LEASE_TIMEOUT + timedelta(seconds=2)
    assert len(locks.take(claim("a"))) == 1
    assert len(locks.board().held) == 1


def test_a_heartbeat_keeps_a_claim_alive_by_the_stores_clock(store, locks):
    first = claim("a")
    locks.take(first)
    store.ahead = LEASE_TIMEOUT
    assert locks.beat(first)
    store.ahead = LEASE_TIMEOUT * 2 - timedelta(seconds=5)
    (held,) = locks.board().held
    assert locks.board().is_live(held)
    assert held.seen - held.since >= LEASE_TIMEOUT - timedelta(seconds=2)


def test_a_claim_of_a_process_that_has_ended_here_is_dead_at_once(locks):
    locks.take(claim("a", process=ended_process()))
    (held,) = locks.board().held
    assert not locks.board().is_live(held)
    with pytest.raises(LockedError, match="and its process has ended: go on with it"):
        locks.take(claim("b"))
    locks.take(claim("a"))


def test_this_process_is_alive_and_another_machines_is_not_judged():
    me = Process.current()
    assert not me.has_ended()
    assert not ELSEWHERE.has_ended()
    assert replace(me, started="1").has_ended(), "the number was given to another process"
    assert replace(me, pid=2**22 + 1).has_ended()


def test_of_two_that_take_over_the_same_dead_claim_one_wins(store, locks):
    """The other one has taken it between the read and the write."""
    locks.take(claim("dead"))
    rival = LeaseStore(store)
    store.before_replace = lambda: rival.acquire(claim("quick"), take_over=["dead"])
    with pytest.raises(LockedError, match="run tag quick"):
        locks.take(claim("slow"), take_over=["dead"])
    assert tags(locks) == ["quick"]


def test_of_two_that_begin_at_once_one_wins(store, locks):
    rival = LeaseStore(store)
    locks.take(claim("other", window=NOON))
    store.before_replace = lambda: rival.acquire(claim("quick"))
    with pytest.raises(LockedError, match="run tag quick"):
        locks.take(claim("slow"))


def test_a_heartbeat_does_not_undo_what_happens_meanwhile(store, locks):
    first = claim("first")
    locks.take(first)
    store.ahead = timedelta(seconds=30)
    store.before_replace = lambda: LeaseStore(store).acquire(claim("second"), take_over=["first"])
    assert not locks.beat(first)
    assert tags(locks) == ["second"]


def test_of_many_that_begin_at_once_in_a_directory_exactly_one_wins(tmp_path):
    def begin(number):
        try:
            LeaseStore(open_store(str(tmp_path), S3Settings())).acquire(claim(f"r{number}"))
        except LockedError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


def test_many_that_do_not_overlap_all_begin_though_they_collide(tmp_path):
    def begin(number):
        LeaseStore(open_store(str(tmp_path), S3Settings())).acquire(
            claim(f"r{number}", tables=(f"t{number}",))
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert len(tags(LeaseStore(open_store(str(tmp_path), S3Settings())))) == 8


def test_a_grant_whose_answer_was_lost_is_not_taken_for_anothers(locks):
    mine = claim("a")
    locks.take(mine)
    locks.take(mine)
    assert len(locks.board().held) == 1


def test_a_board_that_never_stays_still_is_given_up(store, locks, monkeypatch):
    monkeypatch.setattr("spade_spark.locking.lease._LONGEST_WAIT", 0)
    locks.take(claim("a"))
    monkeypatch.setattr(store, "replace", lambda *_: False)
    with pytest.raises(TransientError, match=r"_locks/claims.json: others changed it at each of"):
        locks.take(claim("b", window=NOON))


def test_an_unreadable_board_is_named_with_what_to_do(store, locks):
    store.write(KEY, b"{")
    with pytest.raises(InputError, match=r"claims.json is no claims .* no replay runs .*remove it"):
        locks.board()


def test_a_lock_beats_while_it_is_held_and_is_gone_afterwards(locks):
    with acquire_lease(locks, claim("a"), every=SHORT) as lock:
        (first,) = locks.board().held
        _until(lambda: locks.board().held[0].seen > first.seen)
        lock.verify()
    assert tags(locks) == []


def test_a_lock_is_released_when_the_block_fails(locks):
    with pytest.raises(ZeroDivisionError), acquire_lease(locks, claim("a")):
        _ = 1 / 0
    assert tags(locks) == []


def test_a_lost_lock_is_noticed_by_the_heartbeat_and_not_released_for_the_taker(locks):
    with acquire_lease(locks, claim("first"), every=SHORT) as lock:
        lock.check()
        locks.take(claim("second"), take_over=["first"])
        _until(lambda: lock.lost)
        with pytest.raises(LockLostError) as lost:
            lock.check()
    message = str(lost.value)
    assert message.startswith("the lock of run tag first was taken over: run tag second (bob@")
    assert tags(locks) == ["second"]


def test_a_lost_lock_is_noticed_before_the_load_though_no_heartbeat_came(locks):
    with acquire_lease(locks, claim("first")) as lock:
        locks.take(claim("second"), take_over=["first"])
        lock.check()
        with pytest.raises(LockLostError):
            lock.verify()


def test_a_lock_whose_taker_has_ended_is_still_lost(locks):
    second = claim("second")
    with acquire_lease(locks, claim("first")) as lock:
        locks.take(second, take_over=["first"])
        locks.release(second)
        with pytest.raises(LockLostError, match="is gone"):
            lock.verify()


def test_a_store_that_does_not_answer_for_a_while_loses_no_lock(store, locks, monkeypatch, caplog):
    mine = claim("a")
    lock = HeldLease(locks, mine)
    locks.take(mine)
    with monkeypatch.context() as broken:
        broken.setattr(store, "snapshot", _does_not_answer)
        lock.renew()
    assert "could not give a sign of life" in caplog.text
    assert not lock.lost
    lock.verify()


def test_a_store_that_does_not_answer_at_the_end_does_not_undo_what_is_done(
    store, locks, monkeypatch, caplog
):
    with acquire_lease(locks, claim("a")):
        monkeypatch.setattr(store, "snapshot", _does_not_answer)
    assert "could not be released" in caplog.text


HOLD = """
import sys, time
from datetime import timedelta
from spade_spark.locking.heartbeat import holding
from spade_spark.locking.lease import Claim, Locks
from spade_spark.settings import S3Settings
from spade_spark.store import open_store
from spade_spark.window import Window

url, endpoint, tag = sys.argv[1:]
locks = Locks(open_store(url, S3Settings(endpoint_url=endpoint)))
window = Window.parse("2017-11-03 08:00:00", "2017-11-03 11:59:59")
with holding(locks, Claim.new(tag, window, ("login",)), every=timedelta(seconds=0.2)):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(store, request, default_signals):
    """Another process that holds the lock of run tag ``other``."""
    endpoint = request.getfixturevalue("s3_settings").endpoint_url if "s3:" in store.url else ""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store.url, endpoint, "other"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_process_leaves_a_lock_that_only_its_own_run_tag_takes_unasked(holder, locks):
    with pytest.raises(LockedError, match="wait until it has ended"):
        locks.take(claim("other"))
    os.kill(holder.pid, signal.SIGKILL)
    _until(lambda: not locks.board().is_live(locks.board().held[0]))
    with pytest.raises(LockedError, match="its process has ended"):
        locks.take(claim("mine"))
    locks.take(claim("other"))


def test_an_interrupted_process_releases_its_lock(holder, locks):
    os.kill(holder.pid, signal.SIGINT)
    _until(lambda: not locks.board().held)


def test_a_stopped_process_finds_its_lock_taken_when_it_wakes(holder, locks):
    os.kill(holder.pid, signal.SIGSTOP)
    locks.take(claim("mine"), take_over=["other"])
    os.kill(holder.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert tags(locks) == ["mine"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (2e5, "2 days")],
)
def test_an_age_is_said_in_words(seconds, text):
    assert format_age(timedelta(seconds=seconds)) == text


def _does_not_answer(_key):
    raise TransientError("S3 does not answer")


def _until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_an_answer_that_is_cut_and_looks_whole_is_asked_for_again(store, monkeypatch):
    """A claim that could not be released for such an answer would stand in everybody's way."""
    locks = LeaseStore(store)
    claim = LeaseRequest.new("one", MORNING, ("login",))
    locks.acquire(claim)
    whole, cuts = store.snapshot, iter([True, True])

    def snapshot(key):
        found = whole(key)
        return replace(found, data=found.data[:20]) if next(cuts, False) else found

    monkeypatch.setattr(store, "snapshot", snapshot)
    locks.release(claim)
    assert locks.table().held == ()
