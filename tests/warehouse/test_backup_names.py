"""Undo and prune use only backups of this program, whatever the replay log names."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import WarehouseError
from spade_spark.runs.load_results import BackupInfo, LoadFailed, UndoSucceeded
from spade_spark.settings import S3Settings
from spade_spark.warehouse.backup import (
    backup_table,
    backups_before,
    check_backup_names,
    drop,
    existing_backups,
    logged_backup,
)
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.postgres import Postgres
from spade_spark.warehouse.dialects.redshift import Redshift
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import LoadHistory, ReplayLogRow, replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas
from spade_spark.window import Window
from tests.warehouse.harness import (
    FAST_RETRIES,
    GUARDS,
    NEW,
    OLD,
    REPLACED,
    WINDOW,
    WarehouseHarness,
    no_lock,
)

NOWHERE = ConnectionInfo.parse("postgres://nobody@nowhere.example/dev")
WAREHOUSES = (
    Postgres(NOWHERE, S3Settings()),
    Redshift(NOWHERE, S3Settings(), CopyCredentials),
)
SCHEMAS = WarehouseSchemas("physical", "infra", "time", "replay_backup", "replay_backup")

warehouses = st.sampled_from(WAREHOUSES)
run_tags = st.one_of(
    st.text(min_size=1, max_size=140), st.from_regex(r"\A[a-zA-Z0-9_-]{1,140}\Z")
).filter(lambda tag: "\0" not in tag)
tables = st.from_regex(r"\A[a-zA-Z][a-zA-Z0-9_-]{0,80}\Z")


def names_of(warehouse, run_tag: str, table: str, count: int) -> list[str]:
    """Return the names of the first ``count`` backups of a run tag and table."""
    rows = TargetRows(warehouse, SCHEMAS, table, WINDOW, run_tag)
    names: list[str] = []
    for _ in range(count):
        names.append(backup_table(rows, names).name)
    return names


@given(warehouses, run_tags, tables, st.integers(1, 12))
def test_every_backup_of_a_run_tag_and_table_is_accepted(warehouse, run_tag, table, count):
    for name in names_of(warehouse, run_tag, table, count):
        text = f"replay_backup.{name}"
        assert str(logged_backup(text, run_tag, table, warehouse, SCHEMAS)) == text


@given(warehouses, run_tags, tables, st.data())
def test_every_other_name_is_refused(warehouse, run_tag, table, data):
    """Also names that differ only a little from those that are accepted."""
    own = names_of(warehouse, run_tag, table, 12)
    schema = data.draw(st.sampled_from(["replay_backup", "physical", "Replay_Backup", ""]))
    name = data.draw(
        st.one_of(
            st.text(max_size=140),
            st.sampled_from(own),
            st.sampled_from(own).map(str.upper),
            st.builds(
                str.__add__,
                st.sampled_from(own),
                st.sampled_from(["__2", "__1", "__0", "__02", "__ 2", "__²", "\n", " ", "_2", "x"]),
            ),
            st.sampled_from(own).map(lambda name: name[:-1]),
            st.sampled_from(own).map(lambda name: f"{name}.login"),
        )
    )
    text = f"{schema}.{name}"
    if schema == "replay_backup" and name in own:
        logged_backup(text, run_tag, table, warehouse, SCHEMAS)
    else:
        with pytest.raises(WarehouseError, match="neither read nor dropped"):
            logged_backup(text, run_tag, table, warehouse, SCHEMAS)


@given(warehouses, run_tags, run_tags, tables)
def test_a_backup_of_another_run_tag_is_refused(warehouse, run_tag, other, table):
    own, foreign = (names_of(warehouse, tag, table, 12) for tag in (run_tag, other))
    for name in set(foreign) - set(own):
        with pytest.raises(WarehouseError):
            logged_backup(f"replay_backup.{name}", run_tag, table, warehouse, SCHEMAS)


def replace_login(harness: WarehouseHarness) -> None:
    harness.create_table()
    harness.create_table("secret")
    harness.load_table(harness.write_files(*NEW))


def name_as_backup(harness: WarehouseHarness, name: str) -> str:
    """Let the replay log name another table as the backup; return that table."""
    table = name.format(harness=harness)
    harness.execute(f'UPDATE {harness.control}.replay SET "backup" = %s', table)
    return table


FOREIGN = [
    "{harness.schema}.secret",
    "{harness.schema}.login",
    "{harness.control}.replay",
    "{harness.backups}.other__login",
    "{harness.backups}.tag__login__x",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_an_undo_refuses_a_table_that_is_not_a_backup_of_the_load(on_redshift, redshift, name):
    harness = on_redshift
    replace_login(harness)
    foreign = name_as_backup(harness, name)
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)
    redshift.clear_faults()
    (outcome,) = undo_tables(
        harness.warehouse,
        loads,
        harness.settings,
        guards=GUARDS,
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert isinstance(outcome, LoadFailed)
    assert (
        f"the replay log names {foreign} as the backup of run tag tag, but its backup would be "
        f"{harness.backups}.tag__login: {foreign} is neither read nor dropped" in outcome.reason
    )
    schema, _, table = foreign.partition(".")
    if foreign != f"{harness.control}.replay":
        assert not any(f'FROM "{schema}"."{table}"' in sql for sql in redshift.statements)
    assert harness.rows() == REPLACED


@pytest.mark.parametrize("name", FOREIGN)
def test_a_prune_refuses_a_table_that_is_not_a_backup_of_the_load(harness, name):
    replace_login(harness)
    foreign = name_as_backup(harness, name)
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with Session(harness.warehouse.connection_info) as session:
        history = LoadHistory(replay_log_rows(session, harness.control))
        assert existing_backups(session, harness.warehouse, harness.schemas, history) == {}
        assert backups_before(session, harness.warehouse, harness.schemas, later) == ()
        with pytest.raises(WarehouseError, match="neither read nor dropped"):
            check_backup_names(session, harness.warehouse, harness.schemas, ["tag"])
        check_backup_names(session, harness.warehouse, harness.schemas, ["other"])
        listed = BackupInfo("tag", "login", foreign, 2, None, later)
        with pytest.raises(WarehouseError, match="neither read nor dropped"):
            drop(session, harness.warehouse, harness.schemas, listed)
    assert harness.rows() == REPLACED
    assert harness.rows("secret") == list(OLD)


def test_a_view_with_the_name_of_a_dropped_backup_is_not_read(harness, behind_redshift):
    """Its functions would run with the rights of the user who undoes the load."""
    replace_login(harness)
    (load,) = read_log(harness)
    for statement in (
        f"DROP TABLE {load.backup}",
        f"CREATE FUNCTION {harness.schema}.hostile() RETURNS timestamp LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'hostile code runs'; END $$",
        f"CREATE VIEW {load.backup} AS SELECT {harness.schema}.hostile() AS time FROM "
        f"{harness.schema}.login",
    ):
        behind_redshift(statement)
    outcome = undo_with_force(harness, load)
    assert isinstance(outcome, LoadFailed)
    assert "no longer exists" in outcome.reason


def test_a_backup_is_dropped_in_the_transaction_that_locks_its_table(on_redshift, redshift):
    """So an undo that has found the backup can still read it."""
    replace_login(on_redshift)
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with Session(on_redshift.warehouse.connection_info) as session:
        (backup,) = backups_before(session, on_redshift.warehouse, on_redshift.schemas, later)
        redshift.clear_faults()
        drop(session, on_redshift.warehouse, on_redshift.schemas, backup)
    begin = redshift.statements.index("BEGIN")
    assert redshift.statements[begin:] == [
        "BEGIN",
        f'LOCK TABLE "{on_redshift.control}"."replay_lock_login"',
        f'DROP TABLE "{on_redshift.backups}"."tag__login"',
        "COMMIT",
    ]


def test_a_load_can_be_undone_after_backups_were_disabled(harness):
    replace_login(harness)
    disabled = harness.settings.model_copy(update={"backup": False})
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)
    (outcome,) = undo_tables(
        harness.warehouse,
        loads,
        disabled,
        guards=GUARDS,
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert isinstance(outcome, UndoSucceeded), outcome
    assert harness.rows() == list(OLD)


def test_an_undo_does_not_restore_rows_that_were_added_to_the_backup_outside_its_window(
    harness, behind_redshift
):
    replace_login(harness)
    behind_redshift(f"UPDATE {harness.backups}.tag__login SET time = '2001-01-01' WHERE n = 2")
    (load,) = read_log(harness)
    outcome = undo_with_force(harness, load)
    assert isinstance(outcome, LoadFailed)
    assert "should have 2 rows afterwards, but would have 1: check the trigg" in outcome.reason
    assert harness.rows() == REPLACED


FIRST_HALF = Window.parse("2017-11-04 13:00:00", "2017-11-04 13:29:59")
SECOND_HALF = Window.parse("2017-11-04 13:30:00", "2017-11-04 14:00:00")
REPLACED_BY_HALVES = [
    ("2017-11-04 12:59:59", "early", 1),
    ("2017-11-04 13:10:00", "first", 5),
    ("2017-11-04 13:50:00", "secnd", 6),
    ("2017-11-04 14:00:01", "late", 4),
]


def load_halves_with_a_prune_between(harness: WarehouseHarness) -> list[ReplayLogRow]:
    """Replace both halves of the window, each with one old row; return their rows in the log."""
    harness.create_table()
    first = harness.write_files(b'"2017-11-04 13:10:00"\t"first"\t"5"')
    second = harness.write_files(b'"2017-11-04 13:50:00"\t"secnd"\t"6"')
    harness.load_table(first, window=FIRST_HALF)
    with Session(harness.warehouse.connection_info) as session:
        later = datetime.now(timezone.utc) + timedelta(days=1)
        (backup,) = backups_before(session, harness.warehouse, harness.schemas, later)
        drop(session, harness.warehouse, harness.schemas, backup)
    harness.load_table(second, window=SECOND_HALF, guards=LoadGuards(force=True))
    return read_log(harness)


def read_log(harness: WarehouseHarness) -> list[ReplayLogRow]:
    with Session(harness.warehouse.connection_info) as session:
        return list(replay_log_rows(session, harness.control))


def undo_with_force(harness: WarehouseHarness, load: ReplayLogRow):
    (outcome,) = undo_tables(
        harness.warehouse,
        [load],
        harness.settings,
        guards=LoadGuards(force=True),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    return outcome


def test_a_load_whose_backup_was_dropped_never_gets_the_rows_of_another_load(harness):
    first, second = load_halves_with_a_prune_between(harness)
    assert first.backup != second.backup
    outcome = undo_with_force(harness, first)
    assert isinstance(outcome, LoadFailed)
    assert "no longer exists" in outcome.reason
    assert harness.rows() == REPLACED_BY_HALVES
    assert isinstance(undo_with_force(harness, second), UndoSucceeded)
    assert harness.rows().count(OLD[2]) == 1


def test_a_name_that_an_older_version_used_twice_is_the_backup_of_the_newest_load(
    harness, behind_redshift
):
    """Older versions gave a new backup the name of one that was dropped."""
    _, second = load_halves_with_a_prune_between(harness)
    behind_redshift(f"ALTER TABLE {second.backup} RENAME TO tag__login")
    name_as_backup(harness, f"{harness.backups}.tag__login")
    first, second = read_log(harness)
    with Session(harness.warehouse.connection_info) as session:
        existing = existing_backups(
            session, harness.warehouse, harness.schemas, LoadHistory([first, second])
        )
        assert list(existing) == [second]
        assert backups_before(session, harness.warehouse, harness.schemas, second.at) == ()
    outcome = undo_with_force(harness, first)
    assert isinstance(outcome, LoadFailed)
    assert "no longer exists: the table with this name has the rows that tag " in outcome.reason
    assert harness.rows() == REPLACED_BY_HALVES
    assert isinstance(undo_with_force(harness, second), UndoSucceeded)
