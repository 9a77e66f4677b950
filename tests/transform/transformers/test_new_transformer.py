"""A new transformer needs only a specification (see "Add a transformer" in CONTRIBUTING.md)."""

import gzip
import pickle
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spade_spark.blueprint.schema import read_tables
from spade_spark.lake.ddl import Catalog
from spade_spark.lake.snapshot import LakeColumn, Snapshot
from spade_spark.lookups.base import Lookups
from spade_spark.schema_inference.profile import EventProfile
from spade_spark.schema_inference.proposal import propose
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.codegen import generated_source
from spade_spark.transform.reference import ReferenceTransform
from spade_spark.transform.transformers.base import (
    CACHED_TEXT,
    ArrowType,
    ConversionError,
    Inference,
    TransformerSpec,
    ValueKind,
    constant,
    text,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.preflight import TableStatus
from spade_spark.workflows.preview import column_differences
from spade_spark.writers.arrow_types import arrow_schema
from spade_spark.writers.parquet import convert
from tests.fuzz.generators import FixedGeo, FixedUserIds
from tests.support import edge_logs

LOOKUPS = Lookups(FixedGeo(), FixedUserIds())


def to_color(value, _):
    """An HTML color as a number."""
    digits = text(value).removeprefix("#")
    try:
        return str(int(digits, 16))
    except ValueError:
        raise ConversionError("not a color") from None


COLOR = TransformerSpec(
    name="htmlColor",
    converter=constant(to_color),
    accepted_sql_types=r"integer|bigint",
    sql_type="INTEGER",
    arrow_type=ArrowType.INT32,
    codegen=CACHED_TEXT,
    inference=Inference(kinds=(ValueKind.TEXT,), requires=(ValueKind.TEXT,)),
    examples=('"#00ff00"',),
)
CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"
SCHEMAS = edge_logs.schemas(edge_logs.table("paint", edge_logs.column("color", "htmlColor")))
LINES = [
    edge_logs.record("paint", {"color": "#0000ff"}),
    edge_logs.record("paint", {"color": "blue"}),
    edge_logs.record("paint", {"color": 255}),
    edge_logs.record("paint", {"color": "#ff0000"}),
]
ROWS = b'"255"\n""\n""\n"16711680"\n'


@pytest.fixture(params=[CACHED_TEXT, None], ids=["generated code", "reference path only"])
def registry(request):
    """The registry with a new transformer, as a task on an executor receives it."""
    spec = replace(COLOR, codegen=request.param)
    return pickle.loads(pickle.dumps(TRANSFORMERS.with_spec(spec)))


@pytest.fixture
def table(registry):
    return read_tables(SCHEMAS, registry.knows).tables["paint"]


def test_the_reference_path_converts_it(table, registry):
    transform = ReferenceTransform({"paint": table}, LOOKUPS, registry=registry)
    results = [result for line in LINES for result in transform.line(line) or ()]
    assert "".join(f"{result.row}\n" for result in results).encode() == ROWS


def test_the_fast_path_converts_it(table, registry):
    transform = ChunkTransform({"paint": table}, LOOKUPS, registry=registry)
    transform.feed(b"\n".join(LINES))
    text = transform.drain().rows["paint"].text
    assert sorted(text.splitlines()) == sorted(ROWS.splitlines())
    is_generated = registry.spec("htmlColor").codegen is not None
    assert ("cache_htmlColor" in generated_source(table, registry)) == is_generated
    assert ("uses the reference path" in generated_source(table, registry)) != is_generated


def test_the_plan_checks_the_type_of_its_column(table, registry):
    def differences(type_):
        columns = (WarehouseColumn("color", type_, not_null=False),)
        state = TableStatus("paint", 1, columns, columns, ())
        return list(column_differences(table, state, registry))

    assert differences("integer") == []
    assert differences("text") == ["color is text, Blueprint has htmlColor"]


def test_parquet_and_the_catalog_of_the_lake_have_its_type(table, registry, tmp_path):
    (tmp_path / "rows.gz").write_bytes(gzip.compress(ROWS))
    (file,) = convert(tmp_path / "rows.gz", table, tmp_path, "time", 1 << 20, registry=registry)
    assert pq.read_table(file.path).column("color").to_pylist() == [255, None, None, 16711680]
    columns = tuple(
        LakeColumn(field.name, str(field.type)) for field in arrow_schema(table, registry)
    )
    current = Snapshot("paint", 1, datetime(2026, 1, 1, tzinfo=timezone.utc), columns)
    create, *_ = Catalog("athena", "s3://lake/").statements(None, current, [])
    assert "`color` int\n" in create


def test_schema_inference_proposes_it(registry):
    profile = EventProfile()
    profile.add('{"color": "#0000ff"}')
    (proposed,) = propose("paint", profile, registry).properties
    assert proposed.column
    assert (proposed.column.transformer, proposed.column.options) == ("htmlColor", "")


def test_adding_a_transformer_does_not_modify_the_registry(registry):
    assert registry.knows("htmlColor")
    assert not TRANSFORMERS.knows("htmlColor")
    assert read_tables(SCHEMAS, TRANSFORMERS.knows).tables == {}


def test_a_specification_replaces_one_of_the_same_name():
    changed = TRANSFORMERS.with_spec(replace(TRANSFORMERS.spec("int"), sql_type="SMALLINT"))
    assert changed.spec("int").sql_type == "SMALLINT"
    assert len(changed.specs) == len(TRANSFORMERS.specs)


def test_the_recipe_in_contributing_shows_the_specification_of_this_test():
    recipe = CONTRIBUTING.read_text("utf-8").partition("### Add a transformer\n")[2]
    code = recipe.partition("```python\n")[2].partition("```")[0]
    assert "TransformerSpec(" in code
    assert code in Path(__file__).read_text("utf-8")
