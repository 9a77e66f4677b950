"""The types of warehouse columns that transformers declare, on a real catalog."""

import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.settings import WarehouseSettings
from spade_spark.transform.transformers.registry import TRANSFORMERS
from spade_spark.warehouse import preflight
from spade_spark.workflows.preview import column_differences
from tests.transform.transformers.harness import texts_of
from tests.warehouse.harness import WINDOW

TIME = Column("time", "time", "f@timestamp@unix")


def run_preflight(harness, table):
    settings = WarehouseSettings.model_validate(harness.settings.model_dump(by_alias=True))
    return preflight.require_preflight(
        harness.warehouse, [table], WINDOW, settings, output=harness.output
    ).tables


def test_a_table_with_the_declared_types_matches_all_transformers(harness):
    columns = [
        Column("p", f"c{number}", spec.example_name, supporting=("login",))
        for number, spec in enumerate(TRANSFORMERS.specs)
    ]
    types = {f"c{number}": spec.sql_type for number, spec in enumerate(TRANSFORMERS.specs)}
    harness.create_table(columns={"time": "TIMESTAMP", **types}, rows=())
    table = Table("login", 3, (TIME, *columns))
    (status,) = run_preflight(harness, table)
    assert list(column_differences(table, status)) == []


@pytest.mark.parametrize("spec", TRANSFORMERS.specs, ids=lambda spec: spec.name)
def test_a_column_of_the_declared_type_accepts_the_example_values(on_postgres, spec):
    on_postgres.execute(f"CREATE TABLE {on_postgres.schema}.t (c {spec.sql_type})")
    for text in texts_of(spec):
        on_postgres.execute(f"INSERT INTO {on_postgres.schema}.t VALUES ('{text}')")
