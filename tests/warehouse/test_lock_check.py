"""A load or undo verifies its lock right before it changes a table; a display cannot stop it."""

from __future__ import annotations

import logging

import pytest

from spade_spark.errors import LockLostError
from spade_spark.progress import LoadPhase, LoadProgress
from spade_spark.runs.load_results import LoadFailed, TableLoaded, UndoSucceeded
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
from tests.warehouse.harness import (
    FAST_RETRIES,
    GUARDS,
    NEW,
    OLD,
    REPLACED,
    WarehouseHarness,
    no_lock,
    phases,
)


class RunLock:
    """A lock that another command can take over."""

    def __init__(self) -> None:
        self.is_lost = False

    def lose(self) -> None:
        self.is_lost = True

    def verify(self) -> None:
        if self.is_lost:
            raise LockLostError("the lock of run tag tag was taken over by run tag taker")


def load(harness: WarehouseHarness, **options):
    harness.create_table()
    (outcome,) = harness.load(harness.write_files(*NEW), **options)
    return outcome


def undo(harness: WarehouseHarness, **options):
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)
    options = {"verify_lock": no_lock, "retries": FAST_RETRIES, "guards": GUARDS, **options}
    (outcome,) = undo_tables(harness.warehouse, loads, harness.settings, **options)
    return outcome


def fail_to_display(error: BaseException):
    def display(progress: LoadProgress) -> None:
        raise error

    return display


@pytest.mark.parametrize(
    ("command", "rows", "failed"),
    [(load, list(OLD), LoadPhase.NOT_LOADED), (undo, REPLACED, LoadPhase.NOT_UNDONE)],
    ids=["load", "undo"],
)
def test_a_lost_lock_leaves_the_table_unchanged_and_is_reported(harness, command, rows, failed):
    lock, reported = RunLock(), []

    def lose_when_replacing(progress: LoadProgress) -> None:
        reported.append(progress)
        if progress.phase is LoadPhase.REPLACING:
            lock.lose()

    outcome = command(harness, verify_lock=lock.verify, progress=lose_when_replacing)
    assert isinstance(outcome, LoadFailed), outcome
    assert outcome.reason == (
        "login was not modified: the lock of run tag tag was taken over by run tag taker"
    )
    assert not outcome.unknown
    assert phases(reported)[-2:] == [LoadPhase.REPLACING, failed]
    assert harness.rows() == rows


@pytest.mark.parametrize(("command", "earlier"), [(load, 0), (undo, 1)], ids=["load", "undo"])
def test_a_command_that_lost_its_lock_does_not_wait_for_the_table(
    on_redshift, redshift, command, earlier
):
    lock = RunLock()
    lock.lose()
    outcome = command(on_redshift, verify_lock=lock.verify)
    assert isinstance(outcome, LoadFailed), outcome
    waits = [sql for sql in redshift.statements if sql.startswith("LOCK TABLE")]
    assert len(waits) == earlier


@pytest.mark.parametrize(
    ("command", "rows", "skip"), [(load, list(OLD), 0), (undo, REPLACED, 1)], ids=["load", "undo"]
)
def test_a_lock_lost_while_waiting_for_the_table_leaves_the_table_unchanged(
    on_redshift, redshift, command, rows, skip
):
    """The command that took over locks the table and replaces its rows meanwhile."""
    lock = RunLock()
    redshift.inject("^LOCK TABLE", "call", function=lock.lose, skip=skip)
    outcome = command(on_redshift, verify_lock=lock.verify)
    assert isinstance(outcome, LoadFailed), outcome
    assert "was taken over" in outcome.reason
    sent = redshift.statements
    assert on_redshift.rows() == rows
    assert sent[-2:] == [
        f'LOCK TABLE "{on_redshift.control}"."replay_lock_login"',
        "ROLLBACK",
    ]


@pytest.mark.parametrize(
    ("command", "expected"), [(load, TableLoaded), (undo, UndoSucceeded)], ids=["load", "undo"]
)
@pytest.mark.parametrize("error", [RuntimeError("no terminal"), SystemExit(1)], ids=type)
def test_a_display_that_fails_is_logged_and_changes_nothing(
    harness, caplog, command, expected, error
):
    with caplog.at_level(logging.WARNING):
        outcome = command(harness, progress=fail_to_display(error))
    assert isinstance(outcome, expected), outcome
    assert harness.rows() == (REPLACED if expected is TableLoaded else list(OLD))
    assert f"the progress display failed ({type(error).__name__}: {error})" in caplog.text
