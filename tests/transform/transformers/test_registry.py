"""Tests of every transformer in the registry, including future ones."""

import gzip
import json
import pickle
from datetime import datetime, timezone

import pyarrow.parquet as pq
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import InputError
from spade_spark.gocompat.json import JsonArray, JsonContainer, JsonObject, read
from spade_spark.gocompat.quote import quote
from spade_spark.lake.ddl import Catalog
from spade_spark.lake.snapshot import LakeColumn, Snapshot
from spade_spark.schema_inference.profile import EventProfile
from spade_spark.schema_inference.proposal import propose
from spade_spark.transform.codegen import generated_source, row_functions
from spade_spark.transform.reference import ReferenceTransform
from spade_spark.transform.transformers.base import ArrowType, ConversionError, ValueKind
from spade_spark.transform.transformers.registry import TRANSFORMERS
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.preflight import TableStatus
from spade_spark.workflows.preview import column_differences
from spade_spark.writers.arrow_types import arrow_schema, arrow_type
from spade_spark.writers.parquet import convert
from tests.fuzz.compare import differing_lines, reference
from tests.support import edge_logs
from tests.transform.transformers.harness import LOOKUPS, table_of, texts_of

BLUEPRINT = (
    *("int", "bigint", "float", "varchar", "bool", "userIDWithMapping"),
    *("ipCity", "ipCountry", "ipRegion", "ipAsn", "ipAsnInteger"),
    *("f@timestamp@unix", "f@timestamp@unix-utc", "f@timestamp@2006", "f@timestamp@"),
)
UNKNOWN = ("", "Int", "varchar2", "f@timestamp", "f@time@unix", "ipTimezone")
JSON_OF_KIND = {
    ValueKind.BOOL: "true",
    ValueKind.INT: "-7",
    ValueKind.BIGINT: "2147483648",
    ValueKind.FLOAT: "2.5",
    ValueKind.TEXT: '"text"',
    ValueKind.INT_TEXT: '"42"',
    ValueKind.BIGINT_TEXT: '"9223372036854775807"',
    ValueKind.FLOAT_TEXT: '"2.5e-3"',
    ValueKind.NESTED: "[1]",
    ValueKind.HUGE: "1e400",
}
PUBLISHED = datetime(2026, 1, 1, tzinfo=timezone.utc)
each_spec = pytest.mark.parametrize("spec", TRANSFORMERS.specs, ids=lambda spec: spec.name)


def accepts(spec, value):
    """Return whether the transformer accepts a JSON value."""
    (column,) = table_of(spec).columns
    read_value = read(value)
    sent = JsonContainer.ARRAY if isinstance(read_value, JsonObject | JsonArray) else read_value
    try:
        TRANSFORMERS.converter(column, LOOKUPS)(sent, (None,))
    except ConversionError:
        return False
    return True


@pytest.mark.parametrize("name", BLUEPRINT)
def test_the_transformers_of_blueprint_are_known(name):
    assert TRANSFORMERS.knows(name)
    assert callable(TRANSFORMERS.converter(Column("in", "out", name), LOOKUPS))


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize(
    "use",
    [
        lambda table: TRANSFORMERS.converter(table.columns[0], LOOKUPS),
        lambda table: ReferenceTransform({"play": table}, LOOKUPS),
        row_functions,
        generated_source,
        lambda table: arrow_type(table.columns[0].transformer),
        arrow_schema,
        lambda table: list(column_differences(table, state_of(table, "timestamp"))),
    ],
    ids=["converter", "reference", "functions", "source", "arrow type", "arrow schema", "plan"],
)
def test_an_unknown_transformer_is_an_error_that_names_it_and_the_known_ones(name, use):
    assert not TRANSFORMERS.knows(name)
    with pytest.raises(InputError, match=r"unknown transformer '.*known are .*f@timestamp@<par"):
        use(Table("play", 1, (Column("in", "out", name),)))


def test_a_layout_is_the_parameter_of_a_transformer():
    layout = TRANSFORMERS.spec("f@timestamp@2006-01-02")
    assert layout is TRANSFORMERS.spec("f@timestamp@15:04")
    assert layout.parameter("f@timestamp@2006-01-02") == "2006-01-02"
    assert TRANSFORMERS.spec("f@timestamp@unix") is not layout


def test_names_are_unique():
    assert len({spec.name for spec in TRANSFORMERS.specs}) == len(TRANSFORMERS.specs)


def test_the_registry_survives_pickling():
    """Spark sends it to executors pickled."""
    received = pickle.loads(pickle.dumps(TRANSFORMERS))
    assert [spec.name for spec in received.specs] == [spec.name for spec in TRANSFORMERS.specs]


@each_spec
def test_the_reference_path_converts_the_examples(spec):
    assert spec.examples
    assert all(texts_of(spec))


@each_spec
def test_the_fast_path_returns_the_same_rows(spec):
    """For accepted values and for values of all kinds, several times each."""
    values = [*spec.examples, *JSON_OF_KIND.values(), "null", '""', '"\\n"', '"caf\u00e9"']
    lines = [
        edge_logs.envelope(f'{{"event":"play","properties":{{"p":{value}}}}}') for value in values
    ] * 5
    schema = {"play": table_of(spec)}
    assert differing_lines(lines, schema, LOOKUPS) == []
    assert len(reference(lines, schema, LOOKUPS).rows["play"]) == len(lines)


@each_spec
def test_code_is_generated_if_the_specification_has_templates(spec):
    assert bool(row_functions(table_of(spec))) == (spec.codegen is not None)


def state_of(table, *types):
    """Return the status of a warehouse table with columns of these types."""
    columns = tuple(
        WarehouseColumn(column.outbound, type_, not_null=False)
        for column, type_ in zip(table.columns, types, strict=True)
    )
    return TableStatus(table.name, table.version, columns, columns, ())


@each_spec
def test_the_plan_names_a_column_of_another_type(spec):
    (difference,) = column_differences(table_of(spec), state_of(table_of(spec), "date"))
    assert difference == f"c is date, Blueprint has {spec.example_name}"


@each_spec
def test_parquet_holds_the_examples_in_the_declared_type(spec, tmp_path):
    rows = tmp_path / "rows.gz"
    rows.write_bytes(gzip.compress("".join(quote(t) + "\n" for t in texts_of(spec)).encode()))
    (file,) = convert(rows, table_of(spec), tmp_path, "time", 1 << 20)
    read_back = pq.read_table(file.path)
    assert str(read_back.schema.field("c").type) == spec.arrow_type.value
    assert read_back.column("c").null_count == 0
    assert len(read_back) == len(spec.examples)


@each_spec
def test_only_timestamps_have_a_clock_in_parquet(spec):
    clocks = json.loads(arrow_schema(table_of(spec)).metadata[b"spade.timestamps"])
    assert clocks == ({"c": spec.clock} if spec.arrow_type is ArrowType.TIMESTAMP else {})
    assert bool(spec.clock) == (spec.arrow_type is ArrowType.TIMESTAMP)


@pytest.mark.parametrize("dialect", ["athena", "spectrum"])
@pytest.mark.parametrize("type_", ArrowType)
def test_every_arrow_type_has_a_type_in_the_ddl_of_a_lake(type_, dialect):
    current = Snapshot("play", 1, PUBLISHED, (LakeColumn("c", type_.value),))
    assert Catalog(dialect, "s3://lake/").statements(None, current, [])


@pytest.mark.parametrize("dialect", ["athena", "spectrum"])
def test_another_type_is_an_error_that_names_it(dialect):
    current = Snapshot("play", 1, PUBLISHED, (LakeColumn("c", "duration[s]"),))
    with pytest.raises(
        InputError, match=r"column c has the type duration\[s\], which has no equivalent"
    ):
        Catalog(dialect, "s3://lake/").statements(None, current, [])


@each_spec
def test_the_transformer_accepts_the_kinds_of_its_inference(spec):
    kinds = spec.inference.kinds if spec.inference else ()
    assert [kind for kind in kinds if not accepts(spec, JSON_OF_KIND[kind])] == []


@each_spec
def test_schema_inference_proposes_it_or_another_that_accepts_its_examples(spec):
    if spec.inference is None or spec.inference.names:
        return
    profile = EventProfile()
    for example in spec.examples:
        profile.add(f'{{"x": {example}}}')
    (proposed,) = propose("play", profile).properties
    assert proposed.column
    proposed_spec = TRANSFORMERS.spec(proposed.column.transformer)
    assert all(accepts(proposed_spec, example) for example in spec.examples)
    assert proposed.notes in {(), ("all are integers as text: int or bigint takes them too",)}
