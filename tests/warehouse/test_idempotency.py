"""A run that was loaded before is passed over where its load stands, and refused where not."""

from __future__ import annotations

import pytest

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.window import Window
from tests.warehouse.harness import NEW, OLD, QUICK, REPLACED, RULES, WINDOW, Lab, no_lock


def undo(lab: Lab, run_tag: str) -> None:
    with Session(lab.warehouse.connection_info) as session:
        rows = [row for row in replay_log_rows(session, lab.control) if row.run_tag == run_tag]
    undo_tables(
        lab.warehouse, rows[-1:], lab.settings, rules=RULES, verify_lock=no_lock, retries=QUICK
    )


@pytest.fixture
def lab(on_postgres):
    on_postgres.table()
    return on_postgres


@pytest.fixture
def files(lab):
    """The files of a run that was loaded."""
    loaded = lab.files(*NEW)
    lab.loaded(loaded)
    return loaded


def test_a_load_that_stands_is_not_repeated(lab, files):
    lab.passed(files)
    assert lab.rows() == REPLACED
    assert len(lab.ledger()) == 1


def test_a_part_of_what_was_loaded_was_loaded(lab, files):
    lab.passed(files, window=Window.parse("2017-11-04 13:30:00", "2017-11-04 14:00:00"))


def test_a_load_that_was_undone_is_not_repeated_unasked_and_no_success(lab, files):
    undo(lab, "tag")
    told = lab.refused(files)
    assert "login has run tag tag already, loaded at " in told.reason
    assert "but that was undone at" in told.reason
    assert "use --force to load it again" in told.reason
    assert lab.rows() == list(OLD)


def test_an_undo_that_was_undone_leaves_the_load_standing(lab, files):
    undo(lab, "tag")
    undo(lab, "undo-tag")
    lab.passed(files)
    assert lab.rows() == REPLACED


def test_a_window_that_was_replaced_since_is_told_with_who_did_it(lab, files):
    lab.loaded(lab.files(*NEW), run_tag="later")
    assert "its window was replaced since, by later (" in lab.refused(files).reason
    assert [row[0] for row in lab.ledger()] == ["later", "tag"]


def test_rows_that_were_added_from_the_runs_own_quarantine_end_no_load(lab, files):
    added = lab.files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    lab.loaded(added, run_tag="tag.quarantine", add_to="tag")
    lab.passed(files)
    lab.passed(added, run_tag="tag.quarantine", add_to="tag")
    assert len(lab.rows()) == len(REPLACED) + 1


def test_a_larger_window_than_was_loaded_is_refused(lab, files):
    wider = Window(WINDOW.start, Window.parse("2017-11-04 14:00:00", "2017-11-04 14:00:01").end)
    assert "alone, not for all of" in lab.refused(files, window=wider).reason
    assert lab.rows() == REPLACED


def test_other_files_under_the_same_run_tag_are_refused(lab, files):
    other = lab.files(*NEW)
    assert "from other files than the run has now" in lab.refused(other).reason
    lab.loaded(other, rules=LoadGuards(force=True))
    lab.passed(other)
