"""A run that was loaded before is passed over where its load stands, and refused where not."""

from __future__ import annotations

import pytest

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
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


def undo(harness: WarehouseHarness, run_tag: str) -> None:
    with Session(harness.warehouse.connection_info) as session:
        rows = [row for row in replay_log_rows(session, harness.control) if row.run_tag == run_tag]
    undo_tables(
        harness.warehouse,
        rows[-1:],
        harness.settings,
        rules=GUARDS,
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )


@pytest.fixture
def harness(on_postgres):
    on_postgres.create_table()
    return on_postgres


@pytest.fixture
def files(harness):
    """The files of a run that was loaded."""
    loaded = harness.write_files(*NEW)
    harness.load_table(loaded)
    return loaded


def test_a_load_that_stands_is_not_repeated(harness, files):
    harness.skip_load(files)
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1


def test_a_part_of_what_was_loaded_was_loaded(harness, files):
    harness.skip_load(files, window=Window.parse("2017-11-04 13:30:00", "2017-11-04 14:00:00"))


def test_a_load_that_was_undone_is_not_repeated_unasked_and_no_success(harness, files):
    undo(harness, "tag")
    told = harness.fail_to_load(files)
    assert "login was not modified: run tag tag was already loaded, at " in told.reason
    assert "but was undone at" in told.reason
    assert "use --force to load it again" in told.reason
    assert harness.rows() == list(OLD)


def test_an_undo_that_was_undone_leaves_the_load_standing(harness, files):
    undo(harness, "tag")
    undo(harness, "undo-tag")
    harness.skip_load(files)
    assert harness.rows() == REPLACED


def test_a_window_that_was_replaced_since_is_told_with_who_did_it(harness, files):
    harness.load_table(harness.write_files(*NEW), run_tag="later")
    assert "its window was replaced later, by later (" in harness.fail_to_load(files).reason
    assert [row[0] for row in harness.replay_log()] == ["later", "tag"]


def test_rows_that_were_added_from_the_runs_own_quarantine_end_no_load(harness, files):
    added = harness.write_files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    harness.load_table(added, run_tag="tag.quarantine", add_to="tag")
    harness.skip_load(files)
    harness.skip_load(added, run_tag="tag.quarantine", add_to="tag")
    assert len(harness.rows()) == len(REPLACED) + 1


def test_a_larger_window_than_was_loaded_is_refused(harness, files):
    wider = Window(WINDOW.start, Window.parse("2017-11-04 14:00:00", "2017-11-04 14:00:01").end)
    reason = harness.fail_to_load(files, window=wider).reason
    assert f"but only for {WINDOW}, not for all of {wider}" in reason
    assert harness.rows() == REPLACED


def test_other_files_under_the_same_run_tag_are_refused(harness, files):
    other = harness.write_files(*NEW)
    assert "from other files than the run has now" in harness.fail_to_load(other).reason
    harness.load_table(other, rules=LoadGuards(force=True))
    harness.skip_load(other)
