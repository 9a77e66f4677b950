"""Reading the replay log."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.load_history import replay_log_rows
from tests.warehouse.harness import NEW, WINDOW


def test_each_load_is_a_row_with_its_window_and_time(harness):
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    with Session(harness.warehouse.connection_info) as session:
        (row,) = replay_log_rows(session, harness.control)
    assert (row.run_tag, row.table, row.deleted, row.inserted) == ("tag", "login", 2, 2)
    assert (row.start, row.end) == (WINDOW.wall_start, WINDOW.wall_end)
    assert abs(row.at - datetime.now(timezone.utc)) < timedelta(minutes=5)


def test_a_warehouse_without_a_replay_log_has_no_loads(harness):
    with Session(harness.warehouse.connection_info) as session:
        assert replay_log_rows(session, harness.control) == ()
        assert replay_log_rows(session, "no_such_schema") == ()
