"""After a large replacement: which statements are worth running, and ANALYZE after the commit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from spade_spark.runs.load_results import TableLoaded, UndoSucceeded
from spade_spark.warehouse import maintenance
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.information_schema import TableStatistics
from spade_spark.warehouse.maintenance import (
    RowChanges,
    is_analyze_due,
    is_vacuum_due,
    maintain,
)
from spade_spark.warehouse.sql import Sql
from spade_spark.warehouse.target_rows import schemas_from_settings
from tests.warehouse.harness import NEW, WarehouseHarness

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("changed", "statistics", "due"),
    [
        (RowChanges(MILLION, MILLION), TableStatistics(20 * MILLION), True),
        (RowChanges(MILLION, MILLION), TableStatistics(21 * MILLION), False),
        (RowChanges(MILLION, MILLION), TableStatistics(100 * MILLION, stats_off=10), True),
        (RowChanges(MILLION, MILLION), None, True),
        (RowChanges(40_000, 59_999), TableStatistics(100, stats_off=100), False),
        (RowChanges(40_000, 59_999), None, False),
    ],
)
def test_analyze_is_advised_from_10_percent_of_changed_rows(changed, statistics, due):
    assert is_analyze_due(changed, statistics) is due


@pytest.mark.parametrize(
    ("changed", "statistics", "due"),
    [
        (RowChanges(MILLION, 0), TableStatistics(20 * MILLION), True),
        (RowChanges(MILLION, 9 * MILLION), TableStatistics(21 * MILLION), False),
        (RowChanges(MILLION, 0), TableStatistics(100 * MILLION, deleted=5 * MILLION), True),
        (RowChanges(MILLION, 0), None, True),
        (RowChanges(99_999, MILLION), TableStatistics(100), False),
        (RowChanges(0, MILLION), None, False),
    ],
)
def test_vacuum_is_advised_from_the_share_of_deleted_rows_that_vacuum_leaves(
    changed, statistics, due
):
    assert is_vacuum_due(changed, statistics, 0.05) is due


@pytest.fixture
def every_change_is_large(monkeypatch):
    monkeypatch.setattr(maintenance, "MIN_CHANGED_ROWS", 1)


def load(harness: WarehouseHarness) -> TableLoaded:
    harness.create_table("login")
    return harness.load_table(harness.write_files(*NEW))


def maintain_table(harness, *outcomes, run_analyze=False):
    schemas = schemas_from_settings(harness.settings)
    return maintain(harness.warehouse, schemas, outcomes, run_analyze=run_analyze)


@pytest.mark.usefixtures("every_change_is_large")
def test_the_advised_statements_can_be_pasted(harness):
    (advice,) = maintain_table(harness, load(harness))
    table = f'"{harness.schema}"."login"'
    vacuum = "VACUUM DELETE ONLY" if harness.warehouse.name == "Redshift" else "VACUUM"
    assert advice.advised == (f"ANALYZE {table}", f"{vacuum} {table}")
    with Session(harness.warehouse.connection_info) as session:
        for statement in advice.advised:
            session.run(Sql(statement))


def test_a_small_change_needs_no_advice(harness):
    assert maintain_table(harness, load(harness)) == ()


@pytest.mark.usefixtures("every_change_is_large")
def test_the_reason_has_the_size_of_the_table_where_it_is_known(on_postgres, on_redshift):
    (advice,) = maintain_table(on_redshift, load(on_redshift))
    assert advice.reason == "2 rows deleted and 2 inserted, of 4 rows"
    loaded = load(on_postgres)
    (advice,) = maintain_table(on_postgres, loaded)
    assert advice.reason == "2 rows deleted and 2 inserted; the table's size is not known"
    on_postgres.execute(f"ANALYZE {on_postgres.schema}.login")
    (advice,) = maintain_table(on_postgres, loaded)
    assert advice.reason == "2 rows deleted and 2 inserted, of 4 rows"


@pytest.mark.usefixtures("every_change_is_large")
def test_the_statistics_of_all_tables_are_read_by_one_query(on_redshift, redshift):
    loaded = load(on_redshift)
    others = [replace(loaded, table=name) for name in ("chat", "Logout")]
    before = len(redshift.statements)
    assert len(maintain_table(on_redshift, loaded, *others)) == 3
    queries = [sql for sql in redshift.statements[before:] if "svv_table_info" in sql]
    assert len(queries) == 1


@pytest.mark.usefixtures("every_change_is_large")
def test_without_access_to_the_statistics_the_rows_of_the_window_decide(on_redshift, redshift):
    loaded = load(on_redshift)
    redshift.inject("svv_table_info", sqlstate="42501", message="permission denied", detail="")
    (advice,) = maintain_table(on_redshift, loaded)
    assert advice.reason == "2 rows deleted and 2 inserted; the table's size is not known"
    assert len(advice.advised) == 2


@pytest.mark.usefixtures("every_change_is_large")
def test_the_undone_loads_of_one_table_are_added_up(harness):
    load(harness)
    undone = UndoSucceeded("login", "", deleted=2, inserted=3, backup="", seconds=0)
    (advice,) = maintain_table(harness, undone, undone)
    assert advice.reason.startswith("4 rows deleted and 6 inserted")


def test_analyze_runs_for_each_changed_table_outside_a_transaction(on_redshift, redshift):
    loaded = load(on_redshift)
    before = len(redshift.statements)
    (result,) = maintain_table(on_redshift, loaded, run_analyze=True)
    assert (result.analyzed, result.warning, result.advised) == (True, "", ())
    statements = redshift.statements[before:]
    assert [sql for sql in statements if sql.startswith("ANALYZE")] == [
        f'ANALYZE "{on_redshift.schema}"."login"'
    ]
    assert not any(sql.startswith("BEGIN") for sql in statements)


@pytest.mark.usefixtures("every_change_is_large")
def test_a_failed_analyze_is_a_warning_and_stays_advised(on_redshift, redshift):
    loaded = load(on_redshift)
    redshift.inject("^ANALYZE", sqlstate="42501", message="must be owner of login", detail="")
    (result,) = maintain_table(on_redshift, loaded, run_analyze=True)
    assert result.analyzed is False
    assert "must be owner of login" in result.warning
    assert result.advised[0].startswith("ANALYZE ")


def test_a_lost_connection_during_analyze_is_a_warning(on_redshift, redshift):
    loaded = load(on_redshift)
    redshift.inject("^ANALYZE", "drop_before")
    (result,) = maintain_table(on_redshift, loaded, run_analyze=True)
    assert result.analyzed is False
    assert result.warning


def test_an_analyze_that_postgresql_skips_for_lack_of_privileges_is_a_warning(on_postgres):
    """PostgreSQL answers with a warning and not with an error."""
    loaded = load(on_postgres)
    user = f"loader_{on_postgres.id}"
    on_postgres.execute(f"CREATE ROLE {user} LOGIN")
    on_postgres.execute(f"GRANT USAGE ON SCHEMA {on_postgres.schema} TO {user}")
    url = on_postgres.url.replace("postgres://postgres@", f"postgres://{user}@")
    settings = on_postgres.settings.model_copy(update={"url": SecretStr(url)})
    warehouse = open_warehouse(settings, on_postgres.s3)
    (result,) = maintain(warehouse, schemas_from_settings(settings), [loaded], run_analyze=True)
    assert result.analyzed is False
    assert "login" in result.warning
