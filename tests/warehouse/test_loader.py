"""Parallel loads, and failures of statements and connections."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

import psycopg2
import pytest

from spade_spark.errors import ConnectionLostError
from spade_spark.progress import LoadPhase, LoadProgress
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import LoadFailed, LoadOutcome, TableFiles, TableLoaded
from spade_spark.warehouse.concurrency import SessionPool
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.sql import Sql
from spade_spark.warehouse.table_attempts import TableAttempts
from spade_spark.warehouse.target_rows import TargetRows, schemas_from_settings
from tests.support.redshift import CONFLICTS
from tests.warehouse.harness import (
    FAST_RETRIES,
    NEW,
    OLD,
    REPLACED,
    WINDOW,
    WarehouseHarness,
    in_each_isolation_level,
    on_each_isolation_level,
    phases,
)

PATIENT_RETRIES = RetryPolicy(max_attempts=20, max_seconds=30, initial_wait=0.01, max_wait=0.1)

# The statements of a load in order, as patterns.
STATEMENTS = [
    '^SELECT "run_tag',
    '^SELECT "c"."relname", "a"."attname',
    '^SELECT "name", MAX\\("version',
    "^CREATE TEMP TABLE",
    "^BEGIN",
    "^COPY",
    "^COMMIT",
    "^SELECT SUM\\(CASE WHEN OCTET",
    "^SELECT COUNT\\(\\*\\), SUM",
    '^SELECT COUNT\\(\\*\\) FROM "physical',
    "^LOCK TABLE",
    '^SELECT "c"."relname.*backup_',
    "^CREATE TABLE .*backup",
    '^SELECT COUNT\\(\\*\\) FROM "backup',
    '^DELETE FROM "physical',
    "^INSERT INTO .*physical",
    "^INSERT INTO .*infra",
]
# These statements occur twice. The second one belongs to the swap.
SECOND = ['^SELECT "run_tag', "^BEGIN", "^COMMIT"]
POSITIONS = [(statement, 0) for statement in STATEMENTS] + [(statement, 1) for statement in SECOND]
# At these statements, a response lost after the statement has run matters.
WRITES = [
    "^COPY",
    "^COMMIT",
    "^LOCK TABLE",
    "^CREATE TABLE .*backup",
    '^DELETE FROM "physical',
    "^INSERT INTO .*infra",
]
FAST_CASES = [
    *((statement, 0, action) for statement in WRITES for action in ("refuse", "drop_after")),
    *(("^COMMIT", 1, action) for action in ("refuse", "drop_before", "drop_after")),
]
# Each case is fast, but all of them take long.
SLOW_CASES = [
    pytest.param(statement, skip, action, marks=pytest.mark.slow)
    for statement, skip in POSITIONS
    for action in ("refuse", "drop_before")
    if (statement, skip, action) not in FAST_CASES
]


@pytest.fixture
def ready(on_redshift):
    """A harness with a table and the control tables, and the files to load."""
    harness = on_redshift
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.create_control_objects("login")
    return harness, files


def load_at_once(
    harness: WarehouseHarness, files: Mapping[str, TableFiles], threads: int = 1
) -> list[LoadOutcome]:
    """Load the files under their run tags, each in ``threads`` threads at the same time."""
    outcomes: list[LoadOutcome] = []
    barrier = threading.Barrier(len(files) * threads)

    def load(run_tag: str) -> None:
        barrier.wait()
        outcomes.extend(harness.load(files[run_tag], run_tag=run_tag, retries=PATIENT_RETRIES))

    running = [threading.Thread(target=load, args=(tag,)) for tag in files for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return outcomes


@pytest.mark.parametrize(("statement", "skip", "action"), [*FAST_CASES, *SLOW_CASES])
def test_a_conflict_or_lost_connection_at_any_statement_is_retried_and_the_load_is_done_once(
    ready, redshift, statement, skip, action
):
    harness, files = ready
    fault = redshift.inject(statement, action, skip=skip)
    result = harness.load_table(files)
    assert fault.triggered == 1
    assert (result.before, result.deleted, result.inserted) == (2, 2, 2)
    assert harness.rows() == REPLACED
    assert harness.replay_log() == [("tag", "login", 2, 2, files.checksum)]


def test_a_commit_that_succeeds_after_the_connection_was_lost_is_not_repeated(ready, redshift):
    """The query waits for the table's lock table, which the lost session holds until it ends."""
    harness, files = ready
    redshift.inject("^COMMIT", "drop_then_run", skip=1, seconds=0.7)
    harness.load_table(files)
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1
    assert sum('DELETE FROM "physical' in sql for sql in redshift.statements) == 1


@pytest.mark.parametrize("transaction", [0, 1], ids=["COPY", "swap"])
@pytest.mark.parametrize(
    ("action", "options"),
    [
        ("answer", {"tag": "ROLLBACK"}),
        ("answer", {"tag": "BEGIN"}),
        ("refuse_after", {"sqlstate": "XX000", "message": "internal error", "detail": ""}),
    ],
    ids=["ROLLBACK", "BEGIN", "error"],
)
def test_a_commit_that_succeeds_with_another_answer_is_looked_up_and_not_repeated(
    ready, redshift, action, options, transaction
):
    """An error on the COMMIT of a COPY fails, because the staged rows are lost with the session."""
    harness, files = ready
    redshift.inject("^COMMIT", action, skip=transaction, **options)
    (outcome,) = harness.load(files)
    if action == "refuse_after" and transaction == 0:
        assert "internal error" in outcome.reason
        (outcome,) = harness.load(files)
    assert isinstance(outcome, TableLoaded), outcome
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1
    assert sum('DELETE FROM "physical' in sql for sql in redshift.statements) == 1


@pytest.mark.parametrize("tag", ["ROLLBACK", "BEGIN"])
def test_a_commit_that_rolls_back_with_another_answer_is_looked_up_and_repeated(
    ready, redshift, tag
):
    harness, files = ready
    redshift.inject("^COMMIT", "answer", skip=1, tag=tag, instead="ROLLBACK")
    harness.load_table(files)
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1
    assert sum('DELETE FROM "physical' in sql for sql in redshift.statements) == 2


def test_a_forced_load_distinguishes_its_row_in_the_replay_log_from_the_earlier_one(
    ready, redshift
):
    """The row of the first load exists, so only the time shows that the second did not commit."""
    harness, files = ready
    harness.load_table(files)
    (first,) = harness.replay_log()
    redshift.inject("^COMMIT", "drop_before", skip=1)
    newer = harness.write_files(b'"2017-11-04 13:45:00"\t"newer"\t"5"')
    harness.load_table(newer, guards=LoadGuards(force=True))
    assert harness.rows() == [OLD[0], ("2017-11-04 13:45:00", "newer", 5), OLD[3]]
    assert sorted(harness.replay_log()) == sorted([first, ("tag", "login", 2, 1, newer.checksum)])


def test_an_outcome_that_cannot_be_queried_is_reported_as_unknown(ready, redshift):
    harness, files = ready
    redshift.inject("^COMMIT", "drop_after", skip=1)
    redshift.inject("^LOCK", "drop_before", skip=1, times=100)
    failure = harness.fail_to_load(files)
    assert failure.unknown
    assert "it is unknown whether the rows were replaced" in failure.reason
    assert f"looks for the result in {harness.control}.replay" in failure.reason
    redshift.clear_faults()
    harness.skip_load(files)
    assert harness.rows() == REPLACED


def test_a_lasting_conflict_fails_after_the_maximum_number_of_attempts(ready, redshift):
    harness, files = ready
    fault = redshift.inject("^DELETE", "refuse", times=100)
    reported: list[LoadProgress] = []
    reason = harness.fail_to_load(files, progress=reported.append).reason
    assert fault.triggered == 4
    assert "login was not modified: a concurrent transaction prevented this one: 1023" in reason
    assert "run the same command again" in reason
    assert phases(reported).count(LoadPhase.WAITING) == 3
    assert phases(reported)[-1] == LoadPhase.NOT_LOADED
    assert harness.rows() == list(OLD)


def test_a_conflict_in_the_swap_does_not_repeat_the_copy(ready, redshift):
    harness, files = ready
    redshift.inject("^DELETE", "refuse", times=2)
    harness.load_table(files)
    assert sum(sql.startswith("COPY") for sql in redshift.statements) == 1


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("42501", "permission denied for relation login"),
        ("53100", "Disk Full"),
        ("42703", "column x does not exist"),
    ],
)
def test_errors_of_permission_space_and_definition_are_not_retried(
    ready, redshift, sqlstate, message
):
    harness, files = ready
    fault = redshift.inject("^DELETE", sqlstate=sqlstate, message=message, detail="", times=100)
    failure = harness.fail_to_load(files)
    assert fault.triggered == 1
    assert message in failure.reason
    assert harness.rows() == list(OLD)


def test_the_swap_locks_only_the_lock_table_and_never_truncates(ready, redshift):
    harness, files = ready
    redshift.clear_faults()
    harness.load_table(files)
    sent = redshift.statements
    assert [sql for sql in sent if "LOCK" in sql] == [
        f'LOCK TABLE "{harness.control}"."replay_lock_login"'
    ]
    assert sent[sent.index("BEGIN ISOLATION LEVEL SERIALIZABLE") + 1].startswith("LOCK TABLE")
    assert not any("TRUNCATE" in sql.upper().replace("TRUNCATECOLUMNS", "") for sql in sent)


@on_each_isolation_level
def test_two_loads_of_one_run_tag_at_once_replace_once(harness):
    harness.create_table()
    files = harness.write_files(*NEW)
    outcomes = load_at_once(harness, {"tag": files}, threads=2)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "LoadAlreadyDone",
        "TableLoaded",
    ]
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1


@on_each_isolation_level
def test_loads_of_one_window_at_once_run_one_after_the_other(harness):
    """Each load deletes exactly the rows that the one before it in the replay log inserted."""
    harness.create_table(rows=())
    sizes = {"two": 2, "three": 3, "four": 4}
    files = {tag: harness.write_files(*(NEW[:1] * size)) for tag, size in sizes.items()}
    outcomes = load_at_once(harness, files)
    assert [type(outcome) for outcome in outcomes] == [TableLoaded] * 3
    log = harness.execute(
        f"SELECT run_tag, rows_deleted, rows_inserted FROM {harness.control}.replay ORDER BY ts"
    )
    assert sorted(tag for tag, _, _ in log) == sorted(sizes)
    existing = 0
    for tag, deleted, inserted in log:
        assert (deleted, inserted) == (existing, sizes[tag])
        existing = inserted
    assert len(harness.rows()) == existing


def test_the_time_of_a_load_is_later_than_all_earlier_ones_even_if_a_clock_was_ahead(harness):
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    harness.execute(f"UPDATE {harness.control}.replay SET ts = '2117-11-04 13:00:00'")
    harness.load_table(harness.write_files(*NEW), run_tag="later")
    log = harness.execute(f"SELECT run_tag FROM {harness.control}.replay ORDER BY ts")
    assert log == [("tag",), ("later",)]


def test_a_time_in_the_replay_log_that_no_other_follows_is_reported(on_postgres):
    on_postgres.create_table()
    on_postgres.load_table(on_postgres.write_files(*NEW))
    on_postgres.execute(f"UPDATE {on_postgres.control}.replay SET ts = 'infinity'")
    failed = on_postgres.fail_to_load(on_postgres.write_files(*NEW), run_tag="next")
    assert "login was not modified: the replay log has a row with the last possi" in failed.reason


@on_each_isolation_level
def test_commands_at_once_create_each_lock_table_once(harness):
    barrier = threading.Barrier(4)
    errors: list[Exception] = []

    def create() -> None:
        barrier.wait()
        try:
            harness.create_control_objects("login", "chat")
        except Exception as error:  # noqa: BLE001 - of another thread
            errors.append(error)

    for _ in range(5):
        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        harness.execute(
            f"DROP TABLE {harness.control}.replay_lock_login, {harness.control}.replay_lock_chat"
        )


def test_a_long_table_name_has_a_lock_table_of_its_own(on_postgres):
    names = ["n" * 59 + end for end in ("a", "b")]
    for name in names:
        on_postgres.create_table(name)
        on_postgres.load_table(on_postgres.write_files(*NEW, table=name))
    locks = on_postgres.execute(
        "SELECT relname FROM pg_class WHERE relname LIKE 'replay_lock_nn%%' AND relnamespace = %s::"
        "regnamespace",
        on_postgres.control,
    )
    assert len(locks) == 2
    assert all(len(name) == 63 for (name,) in locks)


@in_each_isolation_level
def test_a_real_serialization_conflict_is_retried(ready, redshift):
    """Another session deletes a row of the window after the transaction's snapshot."""
    harness, files = ready

    def delete_a_row() -> None:
        harness.execute(f"DELETE FROM {harness.schema}.login WHERE name = 'old' AND n = 2")

    # The statement before it has taken the transaction's snapshot.
    redshift.inject('^DELETE FROM "physical', "call", function=delete_a_row)
    reported: list[LoadProgress] = []
    result = harness.load_table(files, progress=reported.append)
    assert LoadPhase.WAITING in phases(reported)
    assert result.deleted == 1
    assert harness.rows() == REPLACED


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_every_conflict_is_retried_and_the_load_is_done_once(ready, redshift, conflict):
    harness, files = ready
    redshift.inject('^DELETE FROM "physical', **CONFLICTS[conflict])
    assert harness.load_table(files).deleted == 2
    assert harness.rows() == REPLACED
    assert harness.replay_log() == [("tag", "login", 2, 2, files.checksum)]


@in_each_isolation_level
def test_rows_that_another_session_adds_outside_the_window_during_a_load_are_kept(ready, redshift):
    """The added row is committed between the transaction's snapshot and its DELETE."""
    harness, files = ready
    row = ("2017-11-04 15:00:00", "live", 9)

    def add_a_row() -> None:
        harness.execute(f"INSERT INTO {harness.schema}.login VALUES (%s, %s, %s)", *row)

    redshift.inject('^DELETE FROM "physical', "call", function=add_a_row)
    assert harness.load_table(files).deleted == 2
    assert harness.rows() == [*REPLACED, row]


def test_a_failed_table_is_reported_and_the_others_are_loaded(harness):
    names = [f"t{number}" for number in range(5)]
    for name in names:
        harness.create_table(name)
    bad = b'"2017-11-04 13:30:00"\t"x"\t"abc"'
    files = [harness.write_files(*(NEW if name != "t2" else (bad,)), table=name) for name in names]
    outcomes = harness.load(*files, poolsize=3)
    assert [outcome.table for outcome in outcomes] == names
    assert [name for name, o in zip(names, outcomes, strict=True) if isinstance(o, LoadFailed)] == [
        "t2"
    ]
    assert harness.rows("t2") == list(OLD)
    assert all(harness.rows(name) == REPLACED for name in names if name != "t2")
    assert [row[1] for row in harness.replay_log()] == ["t0", "t1", "t3", "t4"]


def test_poolsize_tables_are_loaded_in_parallel(ready, redshift):
    harness, _ = ready
    names = ["one", "two", "three"]
    for name in names:
        harness.create_table(name)
    files = [harness.write_files(*NEW, table=name) for name in names]
    barrier = threading.Barrier(3)
    redshift.inject("^COPY", "call", function=lambda: barrier.wait(10), times=3)
    outcomes = harness.load(*files, poolsize=3)
    assert all(isinstance(outcome, TableLoaded) for outcome in outcomes)


@in_each_isolation_level
def test_tables_are_replaced_in_parallel_and_the_replay_log_can_be_read_meanwhile(
    on_redshift, redshift
):
    """All four INSERTs are in flight at once. Then another session reads the replay log."""
    harness = on_redshift
    names = ["one", "two", "three", "four"]
    for name in names:
        harness.create_table(name)
    files = [harness.write_files(*NEW, table=name) for name in names]
    read: list[object] = []
    reported: list[LoadProgress] = []

    def read_log() -> None:
        read.extend(harness.execute(f"SELECT COUNT(*) FROM {harness.control}.replay"))

    barrier = threading.Barrier(4, action=read_log)
    redshift.inject(
        '^INSERT INTO "physical', "call", function=lambda: barrier.wait(10), times=len(names)
    )
    outcomes = harness.load(*files, poolsize=4, progress=reported.append)
    assert [type(outcome) for outcome in outcomes] == [TableLoaded] * 4
    assert LoadPhase.WAITING not in phases(reported), "a load met a conflict and was retried"
    assert read == [(0,)]
    assert all(harness.rows(name) == REPLACED for name in names)


def test_progress_reports_each_phase_of_each_table(harness):
    harness.create_table()
    reported: list[LoadProgress] = []
    harness.load(harness.write_files(*NEW), progress=reported.append)
    assert {progress.table for progress in reported} == {"login"}
    assert phases(reported) == [LoadPhase.STAGING, LoadPhase.REPLACING, LoadPhase.LOADED]


def test_an_interrupt_rolls_back_and_starts_no_other_table(harness, default_signals):
    """The load waits for a lock on the table when Ctrl-C arrives."""
    harness.create_table()
    harness.create_table("other")
    files = [harness.write_files(*NEW), harness.write_files(*NEW, table="other")]
    harness.load()
    holder = psycopg2.connect(harness.url)
    holder.cursor().execute(f"LOCK TABLE {harness.schema}.login")
    started = threading.Event()

    def interrupt() -> None:
        started.wait(10)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        harness.load(*files, poolsize=1, progress=lambda progress: started.set())
    thread.join()
    holder.rollback()
    holder.close()
    assert harness.rows() == list(OLD)
    assert harness.rows("other") == list(OLD)
    assert harness.replay_log() == []
    sessions = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'spade-spark'"
    deadline = time.monotonic() + 5
    while harness.execute(sessions) != [(0,)]:
        assert time.monotonic() < deadline


def test_an_interrupted_table_is_reported_with_what_to_do_once(on_postgres):
    warehouse = on_postgres.warehouse
    schemas = schemas_from_settings(on_postgres.settings)
    sessions = SessionPool(warehouse.connection_info)
    sessions.stop.set()
    rows = TargetRows(warehouse, schemas, "login", WINDOW, "tag")
    attempts = TableAttempts(rows, FAST_RETRIES, sessions, print, LoadPhase.NOT_LOADED)
    outcome = attempts.run_with_retries(sessions.open)
    assert isinstance(outcome, LoadFailed)
    assert outcome.reason == (
        "login was not modified: the command was interrupted; run the same command again"
    )


def test_a_warehouse_that_does_not_answer_is_a_transient_error(on_postgres, tmp_path):
    info = ConnectionInfo.parse(f"postgres://nobody@/dev?host={tmp_path}")
    with pytest.raises(ConnectionLostError, match="does not answer"):
        Session(info)


def test_load_errors_of_several_values_are_listed(ready):
    harness, _ = ready
    bad = [f'"2017-11-04 13:30:{n:02}"\t"x"\t"abc{n}"'.encode() for n in range(15)]
    reason = harness.fail_to_load(harness.write_files(*bad)).reason
    assert "COPY rejected values (the first 10):" in reason
    assert reason.count("Invalid digit, Value 'a', Pos 0, Type: Integer") == 10
    assert "line 10, column \"n\", raw value 'abc9'" in reason


def test_an_internal_error_is_the_outcome_of_its_table(harness, monkeypatch):
    harness.create_table()

    def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr("spade_spark.warehouse.loader.guard_staged_rows", broken)
    assert (
        harness.fail_to_load(harness.write_files(*NEW)).reason
        == "login: internal error, RuntimeError: boom; please report this"
    )


def test_retries_are_limited_in_time(ready, redshift):
    harness, files = ready
    fault = redshift.inject("^DELETE", "refuse", times=1000)
    retries = RetryPolicy(max_attempts=1000, max_seconds=0.3, initial_wait=0.05, max_wait=0.05)
    harness.fail_to_load(files, retries=retries)
    assert 1 <= fault.triggered < 100


def test_a_rolled_back_block_keeps_no_changes(on_postgres):
    with Session(ConnectionInfo.parse(on_postgres.url)) as session:
        session.run(Sql("CREATE TEMP TABLE t (n integer)"))
        with session.rolled_back():
            session.run(Sql("INSERT INTO t VALUES (1)"))
        assert session.rows(Sql("SELECT COUNT(*) FROM t")) == [(0,)]
