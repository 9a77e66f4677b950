"""Tables side by side, and everything that can go wrong with a connection."""

from __future__ import annotations

import os
import signal
import threading
import time

import psycopg2
import pytest

from spade_spark.errors import ConnectionLostError
from spade_spark.progress import LoadPhase, LoadProgress
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import LoadFailed, LoadOutcome, TableLoaded
from spade_spark.warehouse.connection import ConnectionInfo, Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.sql import Sql
from tests.warehouse.harness import NEW, OLD, REPLACED, phases

# The statements of a load in their order, as patterns.
STATEMENTS = [
    '^SELECT "ts" FROM',
    '^SELECT "a"."attname',
    '^SELECT MAX\\("version',
    "^CREATE TEMP TABLE",
    "^BEGIN",
    "^COPY",
    "^COMMIT",
    "^SELECT SUM\\(CASE WHEN OCTET",
    "^SELECT COUNT\\(\\*\\), SUM",
    '^SELECT COUNT\\(\\*\\) FROM "physical',
    "^LOCK TABLE",
    '^SELECT "c"."relname" FROM',
    "^CREATE TABLE .*backup",
    '^SELECT COUNT\\(\\*\\) FROM "backup',
    '^DELETE FROM "physical',
    "^INSERT INTO .*physical",
    "^SELECT COUNT\\(\\*\\), SUM\\(CAST\\(FNV_HASH",
    "^INSERT INTO .*infra",
]
# The second of two such statements: those of the replace.
SECOND = ['^SELECT "ts" FROM', "^BEGIN", "^COMMIT"]
PLACES = [(statement, 0) for statement in STATEMENTS] + [(statement, 1) for statement in SECOND]
# Done, and the answer lost, matters where something was changed.
WRITES = [
    "^COPY",
    "^COMMIT",
    "^LOCK TABLE",
    "^CREATE TABLE .*backup",
    '^DELETE FROM "physical',
    "^INSERT INTO .*infra",
]
QUICK_CASES = [
    *((statement, 0, action) for statement in WRITES for action in ("refuse", "drop_after")),
    *(("^COMMIT", 1, action) for action in ("refuse", "drop_before", "drop_after")),
]
# One by one they are quick, together they are not.
SLOW_CASES = [
    pytest.param(statement, skip, action, marks=pytest.mark.slow)
    for statement, skip in PLACES
    for action in ("refuse", "drop_before")
    if (statement, skip, action) not in QUICK_CASES
]


@pytest.fixture
def ready(on_redshift):
    """A table and its files, and the ledger table already made."""
    lab = on_redshift
    lab.table()
    files = lab.files(*NEW)
    lab.load()
    return lab, files


@pytest.mark.parametrize(("statement", "skip", "action"), [*QUICK_CASES, *SLOW_CASES])
def test_a_conflict_or_a_broken_connection_at_any_statement_changes_nothing_but_the_time_it_takes(
    ready, redshift, statement, skip, action
):
    lab, files = ready
    fault = redshift.inject(statement, action, skip=skip)
    done = lab.loaded(files)
    assert fault.struck == 1
    assert (done.before, done.deleted, done.inserted) == (2, 2, 2)
    assert lab.rows() == REPLACED
    assert lab.ledger() == [("tag", "login", 2, 2, files.checksum)]


def test_a_commit_that_goes_through_while_its_answer_is_looked_for_is_not_repeated(ready, redshift):
    """The look waits for the ledger's lock, which the lost session holds until it has ended."""
    lab, files = ready
    redshift.inject("^COMMIT", "drop_then_run", skip=1, seconds=0.7)
    lab.loaded(files)
    assert lab.rows() == REPLACED
    assert len(lab.ledger()) == 1
    assert sum('DELETE FROM "physical' in sql for sql in redshift.statements) == 1


def test_a_forced_load_tells_its_own_ledger_row_from_the_one_before(ready, redshift):
    """The row of the first load is there, so only its time tells that the commit was not done."""
    lab, files = ready
    lab.loaded(files)
    (first,) = lab.ledger()
    redshift.inject("^COMMIT", "drop_before", skip=1)
    newer = lab.files(b'"2017-11-04 13:45:00"\t"newer"\t"5"')
    lab.loaded(newer, rules=LoadGuards(force=True))
    assert lab.rows() == [OLD[0], ("2017-11-04 13:45:00", "newer", 5), OLD[3]]
    assert sorted(lab.ledger()) == sorted([first, ("tag", "login", 2, 1, newer.checksum)])


def test_where_the_ledger_cannot_be_looked_at_the_outcome_is_unknown_and_said_so(ready, redshift):
    lab, files = ready
    redshift.inject("^COMMIT", "drop_after", skip=1)
    redshift.inject("^LOCK", "drop_before", skip=1, times=100)
    told = lab.refused(files)
    assert told.unknown
    assert "whether it was done could not be found out" in told.reason
    assert f"A row in {lab.control}.replay" in told.reason
    redshift.heal()
    lab.passed(files)
    assert lab.rows() == REPLACED


def test_a_conflict_that_stays_is_given_up_after_the_set_number_of_tries(ready, redshift):
    lab, files = ready
    fault = redshift.inject("^DELETE", "refuse", times=100)
    told: list[LoadProgress] = []
    refused = lab.refused(files, progress=told.append)
    assert fault.struck == 4
    assert "login was left as it was: another transaction won: 1023" in refused.reason
    assert "run the same command again" in refused.reason
    assert phases(told).count(LoadPhase.WAITING) == 3
    assert phases(told)[-1] == LoadPhase.NOT_LOADED
    assert lab.rows() == list(OLD)


def test_a_conflict_in_the_replace_does_not_copy_again(ready, redshift):
    lab, files = ready
    redshift.inject("^DELETE", "refuse", times=2)
    lab.loaded(files)
    assert sum(sql.startswith("COPY") for sql in redshift.statements) == 1


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("42501", "permission denied for relation login"),
        ("53100", "Disk Full"),
        ("42703", "column x does not exist"),
    ],
)
def test_errors_of_permission_space_and_definition_are_not_tried_again(
    ready, redshift, sqlstate, message
):
    lab, files = ready
    fault = redshift.inject("^DELETE", sqlstate=sqlstate, message=message, detail="", times=100)
    told = lab.refused(files)
    assert fault.struck == 1
    assert message in told.reason
    assert lab.rows() == list(OLD)


def test_the_replace_locks_the_ledger_first_and_never_the_target_nor_truncates(ready, redshift):
    lab, files = ready
    redshift.heal()
    lab.loaded(files)
    sent = redshift.statements
    assert [sql for sql in sent if "LOCK" in sql] == [f'LOCK TABLE "{lab.control}"."replay"']
    assert sent[sent.index("BEGIN ISOLATION LEVEL SERIALIZABLE") + 1].startswith("LOCK TABLE")
    assert not any("TRUNCATE" in sql.upper().replace("TRUNCATECOLUMNS", "") for sql in sent)


def test_two_loads_of_one_run_tag_at_once_replace_once(lab):
    lab.table()
    files = lab.files(*NEW)
    lab.load()
    outcomes: list[LoadOutcome] = []
    both = threading.Barrier(2)

    def load() -> None:
        both.wait()
        outcomes.extend(lab.load(files))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "LoadAlreadyDone",
        "TableLoaded",
    ]
    assert lab.rows() == REPLACED
    assert len(lab.ledger()) == 1


def test_writers_that_conflict_for_real_are_tried_again(ready, redshift):
    """Serializable transactions: a row of the window is deleted by another between two looks."""
    lab, files = ready

    def rival() -> None:
        lab.run(f"DELETE FROM {lab.schema}.login WHERE name = 'old' AND n = 2")

    # The check of the ledger, under the lock, is what takes the transaction's snapshot.
    redshift.inject('^DELETE FROM "physical', "call", function=rival)
    told: list[LoadProgress] = []
    done = lab.loaded(files, progress=told.append)
    assert LoadPhase.WAITING in phases(told)
    assert done.deleted == 1
    assert lab.rows() == REPLACED


def test_one_tables_failure_leaves_the_others_alone_and_is_named(lab):
    names = [f"t{number}" for number in range(5)]
    for name in names:
        lab.table(name)
    bad = b'"2017-11-04 13:30:00"\t"x"\t"abc"'
    files = [lab.files(*(NEW if name != "t2" else (bad,)), table=name) for name in names]
    outcomes = lab.load(*files, poolsize=3)
    assert [outcome.table for outcome in outcomes] == names
    assert [name for name, o in zip(names, outcomes, strict=True) if isinstance(o, LoadFailed)] == [
        "t2"
    ]
    assert lab.rows("t2") == list(OLD)
    assert all(lab.rows(name) == REPLACED for name in names if name != "t2")
    assert [row[1] for row in lab.ledger()] == ["t0", "t1", "t3", "t4"]


def test_poolsize_tables_are_loaded_side_by_side(ready, redshift):
    lab, _ = ready
    names = ["one", "two", "three"]
    for name in names:
        lab.table(name)
    files = [lab.files(*NEW, table=name) for name in names]
    together = threading.Barrier(3)
    redshift.inject("^COPY", "call", function=lambda: together.wait(10), times=3)
    outcomes = lab.load(*files, poolsize=3)
    assert all(isinstance(outcome, TableLoaded) for outcome in outcomes)


def test_progress_tells_each_step_of_each_table(lab):
    lab.table()
    told: list[LoadProgress] = []
    lab.load(lab.files(*NEW), progress=told.append)
    assert {progress.table for progress in told} == {"login"}
    assert phases(told) == [LoadPhase.STAGING, LoadPhase.REPLACING, LoadPhase.LOADED]


def test_an_interrupt_rolls_back_what_runs_and_begins_nothing_new(lab, default_signals):
    """The load waits for a lock on the table that another session holds; then Ctrl-C."""
    lab.table()
    lab.table("other")
    files = [lab.files(*NEW), lab.files(*NEW, table="other")]
    lab.load()
    holder = psycopg2.connect(lab.url)
    holder.cursor().execute(f"LOCK TABLE {lab.schema}.login")
    began = threading.Event()

    def interrupt() -> None:
        began.wait(10)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        lab.load(*files, poolsize=1, progress=lambda progress: began.set())
    thread.join()
    holder.rollback()
    holder.close()
    assert lab.rows() == list(OLD)
    assert lab.rows("other") == list(OLD)
    assert lab.ledger() == []
    left = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'spade-spark'"
    deadline = time.monotonic() + 5
    while lab.run(left) != [(0,)]:
        assert time.monotonic() < deadline


def test_a_warehouse_that_does_not_answer_is_a_passing_fault(on_postgres, tmp_path):
    target = ConnectionInfo.parse(f"postgres://nobody@/dev?host={tmp_path}")
    with pytest.raises(ConnectionLostError, match="does not answer"):
        Session(target)


def test_load_errors_of_several_values_are_all_shown(ready):
    lab, _ = ready
    bad = [f'"2017-11-04 13:30:{n:02}"\t"x"\t"abc{n}"'.encode() for n in range(15)]
    reason = lab.refused(lab.files(*bad)).reason
    assert "COPY refused values (the first 10):" in reason
    assert reason.count("Invalid digit, Value 'a', Pos 0, Type: Integer") == 10
    assert "line 10, column \"n\", raw value 'abc9'" in reason


def test_a_bug_of_one_table_is_its_outcome(lab, monkeypatch):
    lab.table()

    def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr("spade_spark.warehouse.loader.guard", broken)
    assert lab.refused(lab.files(*NEW)).reason == "login: a bug, RuntimeError: boom; report this"


def test_retries_are_bounded_in_time_as_well(ready, redshift):
    lab, files = ready
    fault = redshift.inject("^DELETE", "refuse", times=1000)
    retries = RetryPolicy(max_attempts=1000, max_seconds=0.3, initial_wait=0.05, max_wait=0.05)
    lab.refused(files, retries=retries)
    assert 1 <= fault.struck < 100


def test_a_session_knows_when_it_was_rolled_back_by_the_warehouse(on_postgres):
    with Session(ConnectionInfo.parse(on_postgres.url)) as session:
        session.run(Sql("CREATE TEMP TABLE t (n integer)"))
        with session.rolled_back():
            session.run(Sql("INSERT INTO t VALUES (1)"))
        assert session.rows(Sql("SELECT COUNT(*) FROM t")) == [(0,)]
