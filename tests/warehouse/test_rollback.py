"""Undo restores the replaced rows, on PostgreSQL and on the stand-in for Redshift."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from spade_spark.errors import AlreadyUndoneError, GuardError, WarehouseError
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import (
    LoadFailed,
    UndoAlreadyDone,
    UndoOutcome,
    UndoSucceeded,
)
from spade_spark.warehouse.backup import backups_before, drop, unique_table_name
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.postgres import Postgres
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import LoadHistory, UndoStep, replay_log_rows, undo_steps
from spade_spark.warehouse.rollback import plan_undo, undo_tables
from spade_spark.warehouse.target_rows import schemas_from_settings
from tests.warehouse.harness import (
    COLUMNS,
    FAST_RETRIES,
    GUARDS,
    NEW,
    OLD,
    REPLACED,
    WarehouseHarness,
    no_lock,
    on_each_isolation_level,
)

FORCE = LoadGuards(force=True)


def read_history(harness: WarehouseHarness) -> LoadHistory:
    with Session(harness.warehouse.connection_info) as session:
        return LoadHistory(replay_log_rows(session, harness.control))


def loads(harness: WarehouseHarness, run_tag="tag"):
    """Return the latest load of each table under a run tag."""
    history = read_history(harness)
    tables = dict.fromkeys(row.table for row in history.rows if row.run_tag == run_tag)
    return [history.loads(run_tag, table)[-1] for table in tables]


def undo(harness: WarehouseHarness, run_tag="tag", guards=GUARDS, **options):
    """Undo the latest load of each table, or those given as ``loads``."""
    undone = options.pop("loads", None) or loads(harness, run_tag)
    options = {"retries": FAST_RETRIES, "guards": guards, "verify_lock": no_lock, **options}
    return undo_tables(harness.warehouse, undone, harness.settings, **options)


def undo_all(harness: WarehouseHarness, run_tag="tag", **options):
    """Undo all loads of a run tag into the table ``login``."""
    steps = undo_steps(read_history(harness), run_tag, "login")
    return undo(harness, run_tag, loads=[step.load for step in steps], **options)


def undo_one(harness: WarehouseHarness, run_tag="tag", **options) -> UndoSucceeded:
    (outcome,) = undo(harness, run_tag, **options)
    assert isinstance(outcome, UndoSucceeded), outcome
    return outcome


def fail_to_undo(harness: WarehouseHarness, run_tag="tag", **options) -> str:
    (outcome,) = undo(harness, run_tag, **options)
    assert isinstance(outcome, LoadFailed), outcome
    return outcome.reason


def is_already_undone(harness: WarehouseHarness, run_tag="tag", **options) -> bool:
    (outcome,) = undo(harness, run_tag, **options)
    return isinstance(outcome, UndoAlreadyDone)


def backups(harness: WarehouseHarness) -> list[str]:
    return [
        name
        for (name,) in harness.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            f"WHERE n.nspname = '{harness.backups}' ORDER BY 1"
        )
    ]


@pytest.fixture
def replaced(harness):
    """A harness whose table was replaced under the run tag ``tag``."""
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    return harness


def test_replaced_rows_are_backed_up_and_the_replay_log_names_the_backup(replaced):
    assert backups(replaced) == ["tag__login"]
    rows = replaced.execute(f"SELECT name, n FROM {replaced.backups}.tag__login ORDER BY n")
    assert rows == [("old", 2), ("old", 3)]
    ((backup, fingerprint),) = replaced.execute(
        f'SELECT "backup", fingerprint FROM {replaced.control}.replay'
    )
    assert backup == f"{replaced.backups}.tag__login"
    assert fingerprint.startswith("2:")


def test_an_undo_restores_every_row_exactly(replaced):
    outcome = undo_one(replaced)
    assert replaced.rows() == list(OLD)
    assert (outcome.deleted, outcome.inserted) == (2, 2)
    assert outcome.backup == f"{replaced.backups}.undo-tag__login"
    assert [row[:4] for row in replaced.replay_log()] == [
        ("tag", "login", 2, 2),
        ("undo-tag", "login", 2, 2),
    ]


def test_values_of_all_types_and_null_and_empty_are_restored_exactly(harness):
    columns = {
        "time": "timestamp",
        "text": "varchar(40)",
        "fixed": "char(4)",
        "n": "bigint",
        "price": "numeric(12,4)",
        "ratio": "double precision",
        "yes": "boolean",
        "day": "date",
    }
    old = [
        ("2017-11-04 13:00:00.123456", "", "a", -(2**63), "1.2500", 0.1, True, "2017-01-02"),
        ("2017-11-04 13:00:01", None, None, None, None, None, None, None),
        ("2017-11-04 13:00:02", "é😀 'q' \"d\" \\ \t \n", "abc", 7, "-0.0001", 1e300, False, None),
    ]
    harness.create_table(columns=columns, rows=old)
    before = harness.rows()
    harness.load_table(
        harness.write_files(b'"2017-11-04 13:30:00"\t"new"', columns=("time", "text")),
        guards=LoadGuards(min_rows_ratio=0),
    )
    undo_one(harness)
    assert harness.rows() == before


@on_each_isolation_level
def test_an_undo_can_be_undone_repeatedly(replaced):
    undo_one(replaced)
    undo_one(replaced, "undo-tag")
    assert replaced.rows() == REPLACED
    undo_one(replaced, "undo-undo-tag")
    assert replaced.rows() == list(OLD)
    assert is_already_undone(replaced, "undo-undo-tag")
    # The first undo is in effect again, and the load is undone.
    assert is_already_undone(replaced)
    undo_one(replaced, "undo-tag")
    assert replaced.rows() == REPLACED
    assert len(set(backups(replaced))) == len(replaced.replay_log()) == 5


def test_a_load_can_be_undone_again_after_its_undo_was_undone(replaced):
    undo_one(replaced)
    undo_one(replaced, "undo-tag")
    undo_one(replaced)
    assert replaced.rows() == list(OLD)
    assert backups(replaced) == [
        "tag__login",
        "undo-tag__login",
        "undo-tag__login__2",
        "undo-undo-tag__login",
    ]


def test_an_undone_load_is_not_undone_twice(replaced):
    undo_one(replaced)
    assert is_already_undone(replaced)
    assert is_already_undone(replaced, guards=FORCE)
    assert replaced.rows() == list(OLD)
    assert len(replaced.replay_log()) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {}.login SET n = n + 1 WHERE name = 'new' AND n = 20",
        "UPDATE {}.login SET n = CASE n WHEN 20 THEN 30 ELSE 20 END WHERE name = 'new'",
        "UPDATE {}.login SET name = NULL WHERE n = 20",
        "DELETE FROM {}.login WHERE n = 20",
        "INSERT INTO {}.login VALUES ('2017-11-04 13:00:00', 'more', 1)",
    ],
)
def test_a_changed_window_is_rejected_without_force(replaced, change):
    replaced.execute(change.format(replaced.schema))
    changed = replaced.rows()
    reason = fail_to_undo(replaced)
    assert "was changed after run tag tag was loaded, but not by a replay" in reason
    assert "--force" in reason
    assert replaced.rows() == changed
    assert undo_one(replaced, guards=FORCE).inserted == 2
    assert replaced.rows() == list(OLD)
    # The forced undo has backed up the changed rows.
    undo_one(replaced, "undo-tag")
    assert replaced.rows() == changed


def test_changes_outside_the_window_do_not_matter(replaced):
    replaced.execute(f"UPDATE {replaced.schema}.login SET n = 100 WHERE name = 'late'")
    undo_one(replaced)
    assert replaced.rows() == [*OLD[:3], ("2017-11-04 14:00:01", "late", 100)]


def test_a_later_load_of_the_same_rows_must_be_undone_first(replaced):
    replaced.load_table(replaced.write_files(*NEW), run_tag="later")
    reason = fail_to_undo(replaced)
    assert "was replaced after run tag tag was loaded, by later (20" in reason
    assert "undo that first" in reason
    undo_one(replaced, "later")
    undo_one(replaced)
    assert replaced.rows() == list(OLD)


def test_a_forced_load_keeps_the_earlier_backup_and_both_loads_are_undone_in_reverse(replaced):
    newer = b'"2017-11-04 13:45:00"\t"newer"\t"5"'
    replaced.load_table(replaced.write_files(newer), guards=FORCE)
    assert backups(replaced) == ["tag__login", "tag__login__2"]
    assert [outcome.deleted for outcome in undo_all(replaced)] == [1, 2]
    assert replaced.rows() == list(OLD)
    assert undo_steps(read_history(replaced), "tag", "login") == ()


def test_after_a_failed_undo_the_older_loads_of_the_table_are_not_undone(replaced):
    newer = b'"2017-11-04 13:45:00"\t"newer"\t"5"'
    replaced.load_table(replaced.write_files(newer), guards=FORCE)
    replaced.execute(f"DROP TABLE {replaced.backups}.tag__login__2")
    loaded = replaced.rows()
    (outcome,) = undo_all(replaced)
    assert "tag__login__2, the backup of run tag tag, no longer exists" in outcome.reason
    assert replaced.rows() == loaded


def test_a_load_below_a_newer_one_of_the_same_window_is_not_undone_even_with_force(replaced):
    """Its undo would be taken for that of the newer load."""
    (older,) = loads(replaced)
    replaced.load_table(replaced.write_files(*NEW), guards=FORCE)
    (outcome,) = undo(replaced, loads=[older], guards=FORCE)
    assert "run tag tag was loaded again into the window" in outcome.reason
    assert replaced.rows() == REPLACED


def test_an_undone_run_can_be_loaded_with_force_and_undone_again(replaced):
    undo_one(replaced)
    files = replaced.write_files(*NEW)
    assert "use --force to load it again" in replaced.fail_to_load(files).reason
    replaced.load_table(files, guards=FORCE)
    assert replaced.rows() == REPLACED
    undo_one(replaced)
    assert replaced.rows() == list(OLD)


def test_added_columns_get_their_defaults(replaced):
    replaced.execute(f"ALTER TABLE {replaced.schema}.login ADD COLUMN x integer DEFAULT 7")
    undo_one(replaced)
    assert replaced.rows() == [(*row, 7) for row in OLD]


def test_a_removed_column_is_rejected(replaced):
    replaced.execute(f"ALTER TABLE {replaced.schema}.login DROP COLUMN n")
    for guards in (LoadGuards(), FORCE):
        reason = fail_to_undo(replaced, guards=guards)
        assert f"{replaced.schema}.login no longer has n, which the backup" in reason


def test_without_a_backup_an_undo_fails_and_the_message_says_what_to_do(harness):
    harness.create_table()
    without = harness.settings.model_copy(update={"backup": False})
    harness.load_table(harness.write_files(*NEW), settings=without)
    assert harness.replay_log()[0][:4] == ("tag", "login", 2, 2)
    assert backups(harness) == []
    reason = fail_to_undo(harness)
    assert "made no backup (warehouse.backup was false)" in reason
    assert (
        "spade-spark replay '2017-11-04 13:00:00-0700' '2017-11-04 14:00:00-0700' login" in reason
    )


def test_a_missing_or_changed_backup_is_rejected(replaced):
    replaced.execute(f"DELETE FROM {replaced.backups}.tag__login WHERE n = 2")
    assert "tag__login had 2 rows and now has 1" in fail_to_undo(replaced)
    replaced.execute(f"DROP TABLE {replaced.backups}.tag__login")
    assert "tag__login, the backup of run tag tag, no longer exists" in fail_to_undo(replaced)
    assert replaced.rows() == REPLACED


def test_the_guards_of_a_load_apply_to_an_undo(harness):
    harness.create_table(rows=[OLD[1]])
    harness.load_table(harness.write_files(*NEW, b'"2017-11-04 13:31:00"\t"new"\t"40"'))
    reason = fail_to_undo(harness)
    assert "has only 1 row in the window" in reason
    assert "to replace 3 existing rows" in reason
    undo_one(harness, guards=LoadGuards(min_rows_ratio=0.3))
    harness.execute(f"DELETE FROM {harness.schema}.login")
    harness.load_table(harness.write_files(*NEW), run_tag="second")
    reason = fail_to_undo(harness, "second")
    assert "the backup" in reason
    assert "has no rows in the window" in reason
    assert "to replace 2 existing rows" in reason
    assert undo_one(harness, "second", guards=LoadGuards(allow_empty=True)).inserted == 0
    assert harness.rows() == []


def test_a_load_without_old_and_new_rows_can_be_undone(harness):
    harness.create_table(rows=())
    harness.load_table(harness.write_files(parts=0), guards=LoadGuards(allow_already_empty=True))
    assert (undo_one(harness).deleted, harness.rows()) == (0, [])


def test_planning_an_undo_changes_nothing_and_counts_the_rows(replaced):
    (load,) = loads(replaced)
    schemas = schemas_from_settings(replaced.settings)
    with Session(replaced.warehouse.connection_info) as session:

        def plan(guards=GUARDS):
            step = UndoStep(load, LoadHistory(replay_log_rows(session, replaced.control)))
            return plan_undo(session, replaced.warehouse, schemas, step, guards)

        assert (plan().current_rows, plan().backup_rows) == (2, 2)
        with pytest.raises(GuardError):
            plan(LoadGuards(min_rows_ratio=1.5))
        undo_one(replaced)
        with pytest.raises(AlreadyUndoneError):
            plan()
        replaced.execute(f"DELETE FROM {replaced.control}.replay")
        with pytest.raises(WarehouseError, match="no longer has a load of run tag tag"):
            plan()


@on_each_isolation_level
def test_tables_are_undone_in_parallel_and_a_failed_one_does_not_stop_the_others(harness):
    names = ["one", "two", "three"]
    for name in names:
        harness.create_table(name)
    harness.load(*(harness.write_files(*NEW, table=name) for name in names))
    harness.execute(f"DROP TABLE {harness.backups}.tag__two")
    outcomes = undo(harness, poolsize=3)
    failed = [outcome.table for outcome in outcomes if isinstance(outcome, LoadFailed)]
    assert failed == ["two"]
    assert [harness.rows(name) == list(OLD) for name in names] == [True, False, True]


@on_each_isolation_level
def test_a_reader_sees_the_rows_before_or_after_an_undo_but_no_mixture(harness):
    harness.create_table(
        rows=[(f"2017-11-04 13:00:{second:02}", "old", second) for second in range(40)]
    )
    rows = [f'"2017-11-04 13:01:{second:02}"\t"new"\t"1"'.encode() for second in range(50)]
    harness.load_table(harness.write_files(*rows))
    with harness.concurrent_reader() as seen:
        for tag in ("tag", "undo-tag", "undo-undo-tag"):
            undo_one(harness, tag)
    assert seen <= {(("old", 40),), (("new", 50),)}
    assert (("old", 40),) in seen


def test_the_fingerprint_covers_all_types_of_postgresql(on_postgres):
    columns = {**COLUMNS, "j": "json", "x": "xml", "p": "point", "b": "bytea"}
    on_postgres.create_table(columns=columns, rows=())
    on_postgres.load_table(on_postgres.write_files(*NEW))
    on_postgres.execute(f"UPDATE {on_postgres.schema}.login SET p = '(1,2)'")
    (load,) = loads(on_postgres)
    (outcome,) = undo_tables(
        on_postgres.warehouse, [load], on_postgres.settings, guards=GUARDS, verify_lock=no_lock
    )
    assert isinstance(outcome, LoadFailed)
    assert "was changed after run tag tag was loaded" in outcome.reason


def test_a_load_whose_fingerprint_was_made_by_an_earlier_version_is_undone(on_postgres):
    on_postgres.create_table()
    on_postgres.load_table(on_postgres.write_files(*NEW))
    on_postgres.execute(
        f"UPDATE {on_postgres.control}.replay SET fingerprint = (SELECT COUNT(*) || ':' || "
        f"SUM(hashtextextended(ROW(time, name, n)::text, 0)) FROM {on_postgres.schema}.login "
        "WHERE name = 'new')"
    )
    undo_one(on_postgres)
    assert on_postgres.rows() == list(OLD)


@pytest.mark.parametrize("version", [13, 14])
def test_a_null_that_became_empty_changes_the_fingerprint(on_postgres, version):
    column = WarehouseColumn("name", "character varying(5)", not_null=False)
    warehouse = Postgres(on_postgres.warehouse.connection_info, on_postgres.s3, version)
    row_hash = warehouse.row_hash([column]).sql()
    (hashes,) = on_postgres.execute(
        f"SELECT COUNT(DISTINCT {row_hash}) FROM (VALUES (''), (NULL), ('a')) AS v (name)"
    )
    assert hashes == (3,)


# The statements of an undo's transaction, as patterns.
STATEMENTS = [
    "^BEGIN",
    "^LOCK TABLE",
    '^SELECT "run_tag',
    '^SELECT "c"."relname.*backup_',
    "FNV_HASH",
    "^CREATE TABLE .*backup",
    '^SELECT COUNT\\(\\*\\) FROM "backup',
    '^DELETE FROM "physical',
    '^INSERT INTO "physical',
    "^INSERT INTO .*infra",
    "^COMMIT",
]


@pytest.fixture
def ready(on_redshift, redshift):
    on_redshift.create_table()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    redshift.clear_faults()
    return on_redshift


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_rejected_statement_of_an_undo_leaves_no_backup_and_no_change(ready, redshift, statement):
    denied = {"sqlstate": "53100", "message": "Disk Full", "detail": ""}
    (load,) = loads(ready)
    redshift.inject(statement, times=100, **denied)
    (outcome,) = undo_tables(
        ready.warehouse,
        [load],
        ready.settings,
        guards=LoadGuards(),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert "Disk Full" in getattr(outcome, "reason", "")
    redshift.clear_faults()
    assert ready.rows() == REPLACED
    assert backups(ready) == ["tag__login"]
    assert len(ready.replay_log()) == 1


@pytest.mark.parametrize(
    "statement", ["^CREATE TABLE .*backup", '^DELETE FROM "phys', "FNV_HASH", "^COMMIT"]
)
def test_a_rejected_statement_of_a_load_leaves_no_backup(on_redshift, redshift, statement):
    harness = on_redshift
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.load()
    skip = 1 if "COMMIT" in statement else 0
    denied = {"sqlstate": "53100", "message": "Disk Full", "detail": "", "skip": skip}
    redshift.inject(statement, times=100, **denied)
    assert "Disk Full" in harness.fail_to_load(files).reason
    redshift.clear_faults()
    assert (harness.rows(), backups(harness), harness.replay_log()) == (list(OLD), [], [])


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        ("^LOCK TABLE", "drop_before"),
        ('^DELETE FROM "physical', "refuse"),
        ("^CREATE TABLE .*backup", "drop_after"),
        ("^COMMIT", "drop_before"),
        ("^COMMIT", "drop_after"),
        ("^COMMIT", "refuse"),
    ],
)
def test_a_conflict_or_lost_connection_of_an_undo_is_retried_and_the_undo_is_done_once(
    ready, redshift, statement, action
):
    fault = redshift.inject(statement, action)
    undo_one(ready)
    assert fault.triggered == 1
    assert ready.rows() == list(OLD)
    assert len(ready.replay_log()) == 2
    assert backups(ready) == ["tag__login", "undo-tag__login"]


def test_a_commit_that_succeeds_after_the_connection_was_lost_is_not_repeated(ready, redshift):
    redshift.inject("^COMMIT", "drop_then_run", seconds=0.5)
    undo_one(ready)
    assert ready.rows() == list(OLD)
    assert sum('DELETE FROM "physical' in sql for sql in redshift.statements) == 1


@on_each_isolation_level
def test_two_undos_at_once_undo_once(replaced):
    (load,) = loads(replaced)
    outcomes: list[UndoOutcome] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait()
        undone = undo_tables(
            replaced.warehouse,
            [load],
            replaced.settings,
            guards=LoadGuards(),
            verify_lock=no_lock,
            retries=FAST_RETRIES,
        )
        outcomes.extend(undone)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "UndoAlreadyDone",
        "UndoSucceeded",
    ]
    assert replaced.rows() == list(OLD)


@pytest.mark.parametrize("max_bytes", [63, 127])
def test_backup_names_fit_the_warehouse_and_are_unique(max_bytes):
    short = unique_table_name("tag__login", max_bytes)
    assert short == "tag__login"
    assert unique_table_name("tag__login", max_bytes, {short, "tag__login__2"}) == "tag__login__3"
    long = [unique_table_name("é" * 100 + end, max_bytes) for end in ("a", "b")]
    assert len({*long}) == 2
    assert all(len(name.encode()) <= max_bytes for name in long)
    repeated = unique_table_name("é" * 100 + "a", max_bytes, long)
    assert repeated not in long
    assert len(repeated.encode()) <= max_bytes


def test_a_backup_with_a_shortened_name_is_found_by_undo(on_postgres):
    harness = on_postgres
    tag = "n" * 120
    harness.create_table()
    harness.load_table(harness.write_files(*NEW), run_tag=tag)
    undo_one(harness, tag)
    assert harness.rows() == list(OLD)
    assert all(len(name) == 63 for name in backups(harness))


def test_backups_are_listed_with_rows_and_size_and_dropped_one_by_one(harness):
    harness.create_table()
    harness.create_table("other", rows=())
    harness.load(harness.write_files(*NEW), harness.write_files(*NEW, table="other"))
    now = datetime.now(timezone.utc)
    with Session(harness.warehouse.connection_info) as session:
        assert (
            backups_before(session, harness.warehouse, harness.schemas, now - timedelta(days=1))
            == ()
        )
        listed = backups_before(
            session, harness.warehouse, harness.schemas, now + timedelta(days=1)
        )
        assert {(backup.table, backup.rows) for backup in listed} == {("login", 2), ("other", 0)}
        assert all(backup.size is not None for backup in listed)
        drop(session, harness.warehouse, harness.schemas, listed[0])
        assert (
            backups_before(session, harness.warehouse, harness.schemas, now + timedelta(days=1))
            == listed[1:]
        )
    assert backups(harness) == [listed[1].backup.partition(".")[2]]


def test_sizes_that_the_user_may_not_read_are_unknown(on_redshift, redshift):
    on_redshift.create_table()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    redshift.inject("svv_table_info", sqlstate="42501", message="permission denied", detail="")
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with Session(on_redshift.warehouse.connection_info) as session:
        (backup,) = backups_before(session, on_redshift.warehouse, on_redshift.schemas, later)
    assert (backup.rows, backup.size) == (2, None)


def test_no_failure_of_an_undo_shows_the_password(ready, redshift):
    """Each statement fails with the password in its message, or the connection is lost."""
    shown: list[str] = []
    (load,) = loads(ready)
    for statement in STATEMENTS:
        for action in ("refuse", "drop_before"):
            error = {"message": f"near '{redshift.password}'", "sqlstate": "42601", "detail": ""}
            redshift.inject(statement, action, times=100, **(error if action == "refuse" else {}))
            retries = RetryPolicy(max_attempts=2, max_seconds=2, initial_wait=0.01, max_wait=1)
            (outcome,) = undo_tables(
                ready.warehouse,
                [load],
                ready.settings,
                guards=LoadGuards(),
                verify_lock=no_lock,
                retries=retries,
                progress=lambda progress: shown.append(progress.note),
            )
            shown.append(getattr(outcome, "reason", ""))
            redshift.clear_faults()
    assert any("***" in text for text in shown)
    assert not any(redshift.password in text for text in shown)
    assert ready.rows() == REPLACED
