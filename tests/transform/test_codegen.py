"""Generated code, and that names in it are safe."""

import ast

import msgspec
import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.lookups.base import Lookups
from spade_spark.transform.codegen import compile_events, generated_source
from spade_spark.transform.codegen_runtime import RowCaches
from spade_spark.transform.fast_path_support import UnsupportedTableError
from spade_spark.transform.transformers.registry import TRANSFORMERS
from tests.fuzz.generators import PROPERTIES, FixedGeo, FixedUserIds

LOOKUPS = Lookups(FixedGeo(), FixedUserIds())


def table(*columns, name="play"):
    return Table(name, 3, columns)


def test_comments_name_the_table_the_columns_and_their_transformers():
    code = generated_source(
        table(Column("minutes", "minutes_logged", "int"), Column("x", "city", "ipCity"))
    )
    assert "def typed(event, record, timestamp, geo):" in code
    assert "def any_type(event, record, timestamp, geo):" in code
    assert "# 'play', version 3" in code
    assert "# 'minutes_logged' ('int')" in code
    assert "p.minutes" in code
    assert "# 'city' ('ipCity')" in code


def test_adjacent_geo_columns_of_an_address_have_one_text():
    columns = [Column("ip", name, name) for name in ("ipCity", "ipCountry", "ipAsn")]
    code = generated_source(table(*columns))
    _, _, typed = code.partition("def typed(")
    assert typed.count("geo_by_address[p.ip]") == 1
    assert "'ipCity' ('ipCity'), 'ipCountry' ('ipCountry'), 'ipAsn' ('ipAsn')" in code


def test_tables_with_any_names_have_code_that_compiles():
    for name in PROPERTIES:
        for spec in TRANSFORMERS.specs:
            column = Column(name, f"{name}'\"\\\n{{", spec.example_name, supporting=("login",))
            code = generated_source(table(column, name=name))
            names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
            assert all(name.isidentifier() for name in names)


def test_names_cannot_inject_code():
    malicious = "x\n    raise SystemExit  # ''' \"\"\" {p}"
    code = generated_source(table(Column(malicious, malicious, "varchar"), name=malicious))
    tree = ast.parse(code)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]


def test_a_table_that_needs_a_property_as_two_types_has_no_typed_function():
    code = generated_source(table(Column("x", "a", "int"), Column("x", "b", "varchar")))
    assert "def typed" not in code
    assert "def any_type" in code


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ((), "it has no columns"),
        (
            (Column("user_agent", "a", "int"),),
            "'a' ('int'): the fast path reads user_agent as a string only",
        ),
        (
            (Column("x", "x", "int"), Column("ip", "a", "bool")),
            "'a' ('bool'): the fast path reads ip as a string only",
        ),
        (
            (Column("x\ufffd", "a", "int"),),
            "'a' ('int'): a property's name contains U+FFFD, which may also be invalid UTF-8",
        ),
        (
            (Column("id", "a", "userIDWithMapping", supporting=("x", "y")),),
            "'a' ('userIDWithMapping'): it has 2 supporting columns instead of one",
        ),
        (
            (Column("id", "a", "userIDWithMapping", supporting=("ip",)),),
            "'a' ('userIDWithMapping'): it reads ip, which the server sets",
        ),
        (
            (Column("y", "y", "int"), Column("x", "a", "bool"), Column("x", "b\n", "int")),
            "columns need the property 'x' as different types: 'a' ('bool'), 'b\\n' ('int')",
        ),
        (
            (Column("client_time", "a", "bool"), Column("client_time", "b", "int")),
            "columns need the property 'client_time' as different types: 'a' ('bool'), 'b' ('int')",
        ),
    ],
)
def test_a_table_without_generated_code_has_a_reason(columns, reason):
    with pytest.raises(UnsupportedTableError) as raised:
        compile_events(table(*columns), RowCaches(LOOKUPS))
    assert str(raised.value) == reason
    assert generated_source(table(*columns)) == f"# 'play' uses the reference path: {reason}\n"


def test_struct_fields_are_in_the_order_in_which_clients_send_them():
    columns = [Column(name, name, "varchar") for name in "abcd"]
    event = compile_events(table(*columns), RowCaches(LOOKUPS), order=("d", "b"))["typed"]
    (properties,) = (field.type for field in msgspec.structs.fields(event))
    names = [field.encode_name for field in msgspec.structs.fields(properties)]
    assert names.index("d") < names.index("b")
    assert sorted(names) == list("abcd")
