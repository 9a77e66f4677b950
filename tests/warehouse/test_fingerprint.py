"""The fingerprint in the replay log is that of the target, also if it comes from staged rows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from spade_spark.warehouse import information_schema
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.warehouse.target_rows import TargetRows, read_fingerprint
from tests.warehouse.harness import (
    COLUMNS,
    FAST_RETRIES,
    NEW,
    OLD,
    REPLACED,
    WINDOW,
    WarehouseHarness,
    no_lock,
)

TYPES = {
    "time": "timestamp",
    "text": "varchar(5)",
    "longest": "varchar(65535)",
    "small": "smallint",
    "n": "bigint",
    "price": "numeric(6,2)",
    "ratio": "double precision",
    "single": "real",
    "yes": "boolean",
    "day": "date",
}
ROWS = (
    b'"2017-11-04 13:00:01.123456"\t"1234567"\t"x"\t"-7"\t"9223372036854775807"\t"1.005"\t"0.1"\t'
    b'"0.1"\t"true"\t"2017-01-02"',
    '"2017-11-04 13:00:02"\t"12😀"\t"😀"\t"0"\t"0"\t"-0.005"\t"1e300"\t"1e-30"\t"0"\t""'.encode(),
    b'"2017-11-04 13:00:03"\t""\t""\t""\t""\t""\t""\t""\t""\t""',
    '"2017-11-04 13:00:04"\t"ééé"\t"  "\t"1"\t"1"\t"1"\t"-0"\t"-0"\t"1"\t"1970-01-01"'.encode(),
    b'"2017-11-04 13:00:05"\t"12345   "\t"a b "\t"1"\t"1"\t"1"\t"1"\t"1"\t"1"\t"2017-01-02"',
)


@dataclass
class Clock:
    """Stands in for the module ``time``."""

    now: float = 0

    def monotonic(self) -> float:
        return self.now


def logged_and_current(harness: WarehouseHarness) -> tuple[str, str]:
    """Return the latest fingerprint in the replay log, and that of the rows in the target."""
    rows = TargetRows(harness.warehouse, harness.schemas, "login", WINDOW, "tag")
    with Session(harness.warehouse.connection_info) as session:
        columns = information_schema.columns(session, harness.schema, "login")
        logged = replay_log_rows(session, harness.control)[-1].fingerprint
        return logged, read_fingerprint(session, rows.fingerprint(columns))


def hashed_while_locked(statements: list[str]) -> bool:
    """Whether a fingerprint was computed between the first change of the target and COMMIT."""
    start = next(
        number for number, sql in enumerate(statements) if sql.startswith(("DELETE", "INSERT"))
    )
    return any("FNV_HASH" in sql for sql in statements[start : statements.index("COMMIT", start)])


def test_the_fingerprint_of_staged_rows_is_that_of_the_target(on_redshift, redshift):
    """Truncated values, NULL, empty values, the limits of numbers, and columns in another order."""
    harness = on_redshift
    harness.create_table(columns=dict(reversed(TYPES.items())), rows=())
    redshift.clear_faults()
    result = harness.load_table(harness.write_files(*ROWS, columns=tuple(TYPES)))
    assert not hashed_while_locked(redshift.statements)
    assert result.truncated == {"text": 3}
    logged, current = logged_and_current(harness)
    assert logged == current
    assert logged.startswith("5:")


@pytest.mark.parametrize(
    "columns",
    [{**COLUMNS, "id": "char(3)"}, {**COLUMNS, "extra": "integer DEFAULT 7"}],
    ids=["CHAR", "unfilled column"],
)
def test_rows_that_may_change_in_the_target_are_hashed_there(on_redshift, redshift, columns):
    harness = on_redshift
    filled = [name for name in columns if name != "extra"]
    harness.create_table(columns=columns, rows=())
    redshift.clear_faults()
    rows = [row + b'\t"a"' if "id" in columns else row for row in NEW]
    harness.load_table(harness.write_files(*rows, columns=filled))
    assert hashed_while_locked(redshift.statements)
    logged, current = logged_and_current(harness)
    assert logged == current


def test_added_rows_are_hashed_together_with_the_existing_ones(on_redshift, redshift):
    harness = on_redshift
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    redshift.clear_faults()
    added = harness.write_files(b'"2017-11-04 13:40:00"\t"added"\t"40"')
    harness.load_table(added, run_tag="tag.quarantine", add_to="tag")
    assert hashed_while_locked(redshift.statements)
    logged, current = logged_and_current(harness)
    assert logged == current
    assert logged.startswith("3:")


def test_a_column_added_after_the_staging_is_in_the_fingerprint(on_redshift, redshift):
    harness = on_redshift
    harness.create_table()
    harness.create_control_objects("login")

    def add_column() -> None:
        harness.execute(f"ALTER TABLE {harness.schema}.login ADD COLUMN more integer DEFAULT 7")

    redshift.inject("^LOCK TABLE", "call", function=add_column)
    harness.load_table(harness.write_files(*NEW))
    logged, current = logged_and_current(harness)
    assert logged == current


def create_trigger(harness: WarehouseHarness, table: str = "login") -> None:
    """Double each value of ``n`` that is inserted."""
    harness.execute(
        f"CREATE FUNCTION {harness.schema}.double() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.n := NEW.n * 2; RETURN NEW; END'"
    )
    harness.execute(
        f"CREATE TRIGGER double BEFORE INSERT ON {harness.schema}.{table} FOR EACH ROW EXECUTE "
        f"FUNCTION {harness.schema}.double()"
    )


def test_values_that_a_trigger_changes_are_in_the_fingerprint(on_postgres):
    harness = on_postgres
    harness.create_table()
    create_trigger(harness)
    harness.load_table(harness.write_files(*NEW))
    assert [n for _, _, n in harness.rows()] == [1, 40, 60, 4]
    logged, current = logged_and_current(harness)
    assert logged == current


def test_values_that_a_trigger_of_a_partition_changes_are_in_the_fingerprint(on_postgres):
    harness = on_postgres
    harness.create_table(name="part", version=1)
    harness.execute(
        f"CREATE TABLE {harness.schema}.login (time timestamp, name varchar(5), n integer) "
        "PARTITION BY RANGE (time)"
    )
    harness.execute(
        f"ALTER TABLE {harness.schema}.login ATTACH PARTITION {harness.schema}.part "
        "FOR VALUES FROM ('2017-01-01') TO ('2018-01-01')"
    )
    harness.execute(f"INSERT INTO {harness.control}.table_version VALUES ('login', 3, now())")
    create_trigger(harness, "part")
    harness.load_table(harness.write_files(*NEW))
    assert [n for _, _, n in harness.rows()] == [1, 40, 60, 4]
    logged, current = logged_and_current(harness)
    assert logged == current


def test_values_that_a_trigger_created_after_the_staging_changes_are_in_the_fingerprint(
    on_postgres,
):
    harness = on_postgres
    harness.create_table()
    create = iter([create_trigger])

    def create_once() -> None:
        for function in create:
            function(harness)

    harness.load_table(harness.write_files(*NEW), verify_lock=create_once)
    assert [n for _, _, n in harness.rows()] == [1, 40, 60, 4]
    logged, current = logged_and_current(harness)
    assert logged == current


def test_one_query_counts_and_hashes_the_staged_rows(harness, monkeypatch):
    queries = []
    rows = Session.rows

    def record(session, statement):
        queries.append(statement.sql())
        return rows(session, statement)

    monkeypatch.setattr(Session, "rows", record)
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    (counting,) = [sql for sql in queries if sql.startswith("SELECT COUNT") and "_stage_" in sql]
    (hashing,) = [sql for sql in queries if "hash" in sql.lower()]
    assert counting == hashing
    assert harness.execute(f"SELECT COUNT(*) FROM {harness.schema}.login") == [(4,)]
    logged, current = logged_and_current(harness)
    assert logged == current


@pytest.mark.parametrize("column", [{}, {"id": "char(3)"}], ids=["before", "after"])
def test_an_undo_compares_and_logs_the_fingerprint_of_the_target(on_redshift, redshift, column):
    """The fingerprint of the restored rows is computed before or after they are restored."""
    harness = on_redshift
    harness.create_table(
        columns={**COLUMNS, **column}, rows=[(*row, "a")[: 3 + len(column)] for row in OLD]
    )
    rows = [row + b'\t"a"' if column else row for row in NEW]
    harness.load_table(harness.write_files(*rows, columns=(*COLUMNS, *column)))
    assert harness.rows(columns="time, name, n") == REPLACED
    redshift.clear_faults()
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)
    undo_tables(
        harness.warehouse,
        loads,
        harness.settings,
        guards=LoadGuards(),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert harness.rows(columns="time, name, n") == list(OLD)
    assert hashed_while_locked(redshift.statements) == bool(column)
    logged, current = logged_and_current(harness)
    assert logged == current


def test_restored_rows_are_hashed_in_the_target_if_a_type_was_changed(
    on_redshift, redshift, behind_redshift
):
    harness = on_redshift
    harness.create_table()
    harness.load_table(harness.write_files(*NEW))
    behind_redshift(f"ALTER TABLE {harness.schema}.login ALTER n TYPE numeric(6,2)")
    redshift.clear_faults()
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)
    undo_tables(
        harness.warehouse,
        loads,
        harness.settings,
        guards=LoadGuards(force=True),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert harness.rows() == list(OLD)
    assert hashed_while_locked(redshift.statements)
    logged, current = logged_and_current(harness)
    assert logged == current


def test_the_write_lock_is_measured_from_the_delete_to_the_end_of_the_commit(
    on_redshift, redshift, monkeypatch
):
    """A clock that statements set forward. Statements before the DELETE do not count."""
    clock = Clock()
    monkeypatch.setattr("spade_spark.warehouse.window_swap.time", clock)
    harness = on_redshift
    harness.create_table()
    harness.create_control_objects("login")

    def advance(seconds: float):
        def call() -> None:
            clock.now += seconds

        return call

    for statement, skip, seconds in [
        ("^LOCK", 0, 1000),
        ("^CREATE TABLE .*backup", 0, 500),
        ('^DELETE FROM "physical', 0, 1),
        ('^INSERT INTO "physical', 0, 2),
        ("^INSERT INTO .*infra", 0, 4),
        ("^COMMIT", 1, 8),
    ]:
        redshift.inject(statement, "call", function=advance(seconds), skip=skip)
    assert harness.load_table(harness.write_files(*NEW)).write_lock_seconds == 15


def test_a_load_into_postgresql_has_no_write_lock_that_others_wait_for(on_postgres):
    on_postgres.create_table()
    assert on_postgres.load_table(on_postgres.write_files(*NEW)).write_lock_seconds is None
