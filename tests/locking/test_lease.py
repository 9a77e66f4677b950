"""Leases: only one of two replays of the same rows runs, also after crashes and in races."""

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
from spade_spark.locking.lease import KEY, LEASE_TIMEOUT, LeaseRequest, LeaseStore
from spade_spark.locking.process import Process
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from spade_spark.window import Window

MORNING = Window.parse("2017-11-03 08:00:00", "2017-11-03 11:59:59")
NOON = Window.parse("2017-11-03 12:00:00", "2017-11-03 12:59:59")
LATE_MORNING = Window.parse("2017-11-03 11:59:59", "2017-11-03 12:30:00")
ELSEWHERE = Process("bob", "worker-7", 4711, "worker-7/other-boot/pid:[1]", "99")
SHORT = timedelta(milliseconds=50)


class ClockedStore:
    """A real store with a clock that can be set."""

    def __init__(self, store):
        self._store = store
        self.url = store.url
        self.ahead = timedelta()
        self.before_replace = lambda: None

    def __getattr__(self, name):
        return getattr(self._store, name)

    def read_versioned(self, key):
        result = self._store.read_versioned(key)
        return replace(result, read_at=result.read_at + self.ahead)

    def replace(self, key, data, etag):
        hook, self.before_replace = self.before_replace, lambda: None
        hook()
        return self._store.replace(key, data, etag)


@pytest.fixture(params=["directory", "s3"])
def store(request, tmp_path):
    if request.param == "directory":
        return ClockedStore(open_store(str(tmp_path), S3Settings()))
    bucket = request.getfixturevalue("bucket")
    return ClockedStore(open_store(f"s3://{bucket}/out/", request.getfixturevalue("s3_settings")))


@pytest.fixture
def leases(store):
    return LeaseStore(store)


def request_for(tag="a", window=MORNING, tables=("login",), process=ELSEWHERE):
    return replace(LeaseRequest.new(tag, window, tables), process=process)


def ended_process():
    """A process of this machine that has just ended."""
    program = (
        "import json; from spade_spark.locking.process import Process; "
        "print(json.dumps(vars(Process.current())))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return Process(**json.loads(done.stdout))


def tags(leases):
    return [lease.request.run_tag for lease in leases.table().leases]


@pytest.mark.parametrize(
    ("other", "conflict"),
    [
        (request_for("b"), True),
        (request_for("b", tables=("chat", "Login")), True),
        (request_for("b", tables=("chat",)), False),
        (request_for("b", tables=None), True),
        (request_for("b", tables=()), False),
        (request_for("b", window=NOON), False),
        (request_for("b", window=LATE_MORNING), True),
        (request_for("a", window=NOON, tables=()), True),
    ],
    ids=[
        "same rows",
        "one table in common, in another case",
        "other tables",
        "all tables",
        "loads nothing",
        "a window that begins a second later",
        "windows with one second in common",
        "same run tag",
    ],
)
def test_requests_conflict_by_run_tag_or_by_table_and_second(other, conflict):
    assert request_for("a").conflicts_with(other) is conflict
    assert other.conflicts_with(request_for("a")) is conflict


def test_a_replay_of_all_tables_does_not_conflict_with_one_that_loads_nothing():
    assert not request_for("a", tables=None).conflicts_with(request_for("b", tables=()))


def test_the_refusal_names_the_holder_and_what_to_do(store, leases):
    leases.acquire(request_for("first", tables=("login", "chat")))
    store.ahead = timedelta(seconds=45)
    with pytest.raises(LockedError) as refused:
        leases.acquire(request_for("second"))
    message = str(refused.value)
    assert message.startswith(
        "locked by run tag first (bob@worker-7, process 4711), which replaces login, chat in the "
        "window 2017-11-03 08:00:00 to 2017-11-03 11:59:59 Pacific; its last heartbeat was 4"
    )
    assert message.endswith(
        "s ago: wait until it has ended, or stop it and take over its lock with --take-over first"
    )
    assert refused.value.exit_status == 2
    assert tags(leases) == ["first"]


def test_replays_with_nothing_in_common_run_in_parallel(leases):
    for other in (
        request_for("a"),
        request_for("b", window=NOON),
        request_for("c", tables=("chat",)),
    ):
        leases.acquire(other)
    assert tags(leases) == ["a", "b", "c"]


def test_a_released_lease_can_be_acquired(leases):
    first = request_for("first")
    leases.acquire(first)
    leases.release(first)
    leases.release(first)
    leases.acquire(request_for("second"))
    assert tags(leases) == ["second"]


def test_an_expired_lease_of_another_run_tag_is_taken_over_only_if_named(store, leases):
    leases.acquire(request_for("first"))
    store.ahead = timedelta(minutes=43)
    with pytest.raises(
        LockedError, match=r"43 min ago, so it may be dead: .* --runtag first, or, if"
    ):
        leases.acquire(request_for("second"))
    with pytest.raises(LockedError):
        leases.acquire(request_for("second"), steal_from=["third"])
    (displaced,) = leases.acquire(request_for("second"), steal_from=["first"])
    assert displaced.request.run_tag == "first"
    assert tags(leases) == ["second"]


def test_a_live_lease_is_taken_over_if_named(leases):
    first = request_for("first")
    leases.acquire(first)
    leases.acquire(request_for("second"), steal_from=["first"])
    assert not leases.renew(first)
    assert tags(leases) == ["second"]


def test_a_run_tag_is_resumed_only_after_its_lease_has_expired(store, leases):
    leases.acquire(request_for("a"))
    with pytest.raises(LockedError, match=r"run tag a \(bob@worker-7") as refused:
        leases.acquire(request_for("a"))
    assert "run this command again when its last heartbeat is 2 min old" in str(refused.value)
    assert "--take-over" not in str(refused.value), "`runs --prune` does not have this option"
    store.ahead = LEASE_TIMEOUT + timedelta(seconds=2)
    assert len(leases.acquire(request_for("a"))) == 1
    assert len(leases.table().leases) == 1


def test_a_heartbeat_keeps_a_lease_alive_by_the_clock_of_the_store(store, leases):
    first = request_for("a")
    leases.acquire(first)
    store.ahead = LEASE_TIMEOUT
    assert leases.renew(first)
    store.ahead = LEASE_TIMEOUT * 2 - timedelta(seconds=5)
    (lease,) = leases.table().leases
    assert leases.table().is_live(lease)
    assert lease.heartbeat_at - lease.acquired_at >= LEASE_TIMEOUT - timedelta(seconds=2)


def test_a_lease_expires_at_once_if_its_process_has_ended_here(leases):
    leases.acquire(request_for("a", process=ended_process()))
    (lease,) = leases.table().leases
    assert not leases.table().is_live(lease)
    with pytest.raises(LockedError, match="and its process has ended: resume it"):
        leases.acquire(request_for("b"))
    leases.acquire(request_for("a"))


def test_processes_of_other_machines_never_count_as_ended():
    me = Process.current()
    assert not me.has_ended()
    assert not ELSEWHERE.has_ended()
    assert replace(me, started="1").has_ended(), "the process id was reused"
    assert replace(me, pid=2**22 + 1).has_ended()


def test_one_of_two_takes_over_the_same_expired_lease(store, leases):
    """The other process takes it over between the read and the write of this one."""
    leases.acquire(request_for("dead"))
    rival = LeaseStore(store)
    store.before_replace = lambda: rival.acquire(request_for("quick"), steal_from=["dead"])
    with pytest.raises(LockedError, match="run tag quick"):
        leases.acquire(request_for("slow"), steal_from=["dead"])
    assert tags(leases) == ["quick"]


def test_one_of_two_simultaneous_requests_is_granted(store, leases):
    rival = LeaseStore(store)
    leases.acquire(request_for("other", window=NOON))
    store.before_replace = lambda: rival.acquire(request_for("quick"))
    with pytest.raises(LockedError, match="run tag quick"):
        leases.acquire(request_for("slow"))


def test_a_heartbeat_does_not_overwrite_a_concurrent_takeover(store, leases):
    first = request_for("first")
    leases.acquire(first)
    store.ahead = timedelta(seconds=30)
    store.before_replace = lambda: LeaseStore(store).acquire(
        request_for("second"), steal_from=["first"]
    )
    assert not leases.renew(first)
    assert tags(leases) == ["second"]


def test_exactly_one_of_many_simultaneous_requests_is_granted_in_a_directory(tmp_path):
    def begin(number):
        try:
            LeaseStore(open_store(str(tmp_path), S3Settings())).acquire(request_for(f"r{number}"))
        except LockedError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


def test_requests_that_do_not_conflict_are_all_granted_although_their_writes_collide(tmp_path):
    def begin(number):
        LeaseStore(open_store(str(tmp_path), S3Settings())).acquire(
            request_for(f"r{number}", tables=(f"t{number}",))
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert len(tags(LeaseStore(open_store(str(tmp_path), S3Settings())))) == 8


def test_a_request_whose_response_was_lost_can_be_repeated(leases):
    request = request_for("a")
    leases.acquire(request)
    leases.acquire(request)
    assert len(leases.table().leases) == 1


def test_endless_write_collisions_end_in_an_error(store, leases, monkeypatch):
    monkeypatch.setattr("spade_spark.locking.lease._MAX_WAIT_SECONDS", 0)
    leases.acquire(request_for("a"))
    monkeypatch.setattr(store, "replace", lambda *_: False)
    with pytest.raises(
        TransientError, match=r"_locks/claims.json: other processes changed it during each of"
    ):
        leases.acquire(request_for("b", window=NOON))


def test_an_unreadable_lock_file_is_named_with_what_to_do(store, leases):
    store.write(KEY, b"{")
    with pytest.raises(
        InputError, match=r"claims.json is not a valid lock file: .* no replay runs .*delete"
    ):
        leases.table()


def test_a_held_lease_is_renewed_and_released_afterwards(leases):
    with acquire_lease(leases, request_for("a"), interval=SHORT) as lock:
        (first,) = leases.table().leases
        _until(lambda: leases.table().leases[0].heartbeat_at > first.heartbeat_at)
        lock.verify()
    assert tags(leases) == []


def test_a_lease_is_released_if_the_block_fails(leases):
    with pytest.raises(ZeroDivisionError), acquire_lease(leases, request_for("a")):
        _ = 1 / 0
    assert tags(leases) == []


def test_the_heartbeat_notices_a_lost_lease_and_does_not_release_that_of_the_new_holder(leases):
    with acquire_lease(leases, request_for("first"), interval=SHORT) as lock:
        lock.check()
        leases.acquire(request_for("second"), steal_from=["first"])
        _until(lambda: lock.lost)
        with pytest.raises(LockLostError) as lost:
            lock.check()
    message = str(lost.value)
    assert message.startswith("the lock of run tag first was taken over by run tag second (bob@")
    assert tags(leases) == ["second"]


def test_a_lost_lease_is_noticed_before_the_load_without_a_heartbeat(leases):
    with acquire_lease(leases, request_for("first")) as lock:
        leases.acquire(request_for("second"), steal_from=["first"])
        lock.check()
        with pytest.raises(LockLostError):
            lock.verify()


def test_a_lease_stays_lost_after_the_new_holder_has_ended(leases):
    second = request_for("second")
    with acquire_lease(leases, request_for("first")) as lock:
        leases.acquire(second, steal_from=["first"])
        leases.release(second)
        with pytest.raises(LockLostError, match="no longer exists"):
            lock.verify()


def test_a_lease_survives_a_store_that_does_not_respond_for_a_while(
    store, leases, monkeypatch, caplog
):
    request = request_for("a")
    lock = HeldLease(leases, request)
    leases.acquire(request)
    with monkeypatch.context() as broken:
        broken.setattr(store, "read_versioned", _does_not_respond)
        lock.renew()
    assert "cannot renew the lock of run tag a" in caplog.text
    assert not lock.lost
    lock.verify()


def test_a_failed_release_does_not_fail_the_command(store, leases, monkeypatch, caplog):
    with acquire_lease(leases, request_for("a")):
        monkeypatch.setattr(store, "read_versioned", _does_not_respond)
    assert "cannot release the lock of run tag a" in caplog.text


HOLD = """
import sys, time
from datetime import timedelta
from spade_spark.locking.heartbeat import acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from spade_spark.window import Window

url, endpoint, tag = sys.argv[1:]
leases = LeaseStore(open_store(url, S3Settings(endpoint_url=endpoint)))
window = Window.parse("2017-11-03 08:00:00", "2017-11-03 11:59:59")
request = LeaseRequest.new(tag, window, ("login",))
with acquire_lease(leases, request, interval=timedelta(seconds=0.2)):
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


def test_the_lock_of_a_killed_process_is_taken_over_without_the_option_only_by_its_run_tag(
    holder, leases
):
    with pytest.raises(LockedError, match="wait until it has ended"):
        leases.acquire(request_for("other"))
    os.kill(holder.pid, signal.SIGKILL)
    _until(lambda: not leases.table().is_live(leases.table().leases[0]))
    with pytest.raises(LockedError, match="its process has ended"):
        leases.acquire(request_for("own"))
    leases.acquire(request_for("other"))


def test_an_interrupted_process_releases_its_lock(holder, leases):
    os.kill(holder.pid, signal.SIGINT)
    _until(lambda: not leases.table().leases)


def test_a_suspended_process_does_not_get_its_lock_back(holder, leases):
    os.kill(holder.pid, signal.SIGSTOP)
    leases.acquire(request_for("own"), steal_from=["other"])
    os.kill(holder.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert tags(leases) == ["own"]


def _does_not_respond(_key):
    raise TransientError("S3 does not respond")


def _until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_a_response_that_is_cut_off_is_read_again(store, monkeypatch):
    """Otherwise a lease that could not be released would block all other replays."""
    leases = LeaseStore(store)
    request = LeaseRequest.new("one", MORNING, ("login",))
    leases.acquire(request)
    read, cuts = store.read_versioned, iter([True, True])

    def read_versioned(key):
        result = read(key)
        return replace(result, data=result.data[:20]) if next(cuts, False) else result

    monkeypatch.setattr(store, "read_versioned", read_versioned)
    leases.release(request)
    assert leases.table().leases == ()
