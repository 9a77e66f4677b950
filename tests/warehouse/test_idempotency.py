"""A run that is already loaded is skipped if that load is in effect, and rejected if not."""

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
        guards=GUARDS,
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )


@pytest.fixture
def harness(on_postgres):
    on_postgres.create_table()
    return on_postgres


@pytest.fixture
def files(harness):
    """The files of a loaded run."""
    loaded = harness.write_files(*NEW)
    harness.load_table(loaded)
    return loaded


def test_a_load_in_effect_is_not_repeated(harness, files):
    harness.skip_load(files)
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1


def test_a_part_of_a_loaded_window_is_skipped(harness, files):
    harness.skip_load(files, window=Window.parse("2017-11-04 13:30:00", "2017-11-04 14:00:00"))


def test_a_load_that_was_undone_is_not_repeated_without_force(harness, files):
    undo(harness, "tag")
    failure = harness.fail_to_load(files)
    assert "login was not modified: run tag tag was already loaded, at " in failure.reason
    assert "but was undone at" in failure.reason
    assert "use --force to load it again" in failure.reason
    assert harness.rows() == list(OLD)


def test_a_load_is_in_effect_again_after_its_undo_was_undone(harness, files):
    undo(harness, "tag")
    undo(harness, "undo-tag")
    harness.skip_load(files)
    assert harness.rows() == REPLACED


def test_a_window_that_was_replaced_later_is_reported_with_the_later_run(harness, files):
    harness.load_table(harness.write_files(*NEW), run_tag="later")
    assert "its window was replaced later, by later (" in harness.fail_to_load(files).reason
    assert [row[0] for row in harness.replay_log()] == ["later", "tag"]


def test_adding_rows_from_the_runs_own_quarantine_leaves_the_load_in_effect(harness, files):
    added = harness.write_files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    harness.load_table(added, run_tag="tag.quarantine", add_to="tag")
    harness.skip_load(files)
    harness.skip_load(added, run_tag="tag.quarantine", add_to="tag")
    assert len(harness.rows()) == len(REPLACED) + 1


def test_rows_are_not_added_to_a_run_that_is_not_loaded(harness, files):
    added = harness.write_files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    reason = harness.fail_to_load(added, run_tag="other.quarantine", add_to="other").reason
    assert "rows can only be added to those of run tag other, which was not loaded" in reason
    assert "load it first, with --skip-transform --runtag other" in reason
    undo(harness, "tag")
    reason = harness.fail_to_load(added, run_tag="tag.quarantine", add_to="tag").reason
    assert "rows can only be added to those of run tag tag, which was undone at" in reason
    assert "to restore them first: spade-spark undo undo-tag" in reason
    assert harness.rows() == list(OLD)


def test_a_larger_window_than_was_loaded_is_rejected(harness, files):
    wider = Window(WINDOW.start, Window.parse("2017-11-04 14:00:00", "2017-11-04 14:00:01").end)
    reason = harness.fail_to_load(files, window=wider).reason
    assert f"but only for {WINDOW}, not for all of {wider}" in reason
    assert harness.rows() == REPLACED


def test_other_files_under_the_same_run_tag_are_rejected(harness, files):
    other = harness.write_files(*NEW)
    assert "from other files than the run has now" in harness.fail_to_load(other).reason
    harness.load_table(other, guards=LoadGuards(force=True))
    harness.skip_load(other)
