"""The conversion of COPY's input, compared with another implementation of the documentation."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.redshift_copy_format import (
    CopyValueError,
    RowConverter,
    records,
    valid_utf8,
)
from tests.support.redshift.copy import copy_text
from tests.support.redshift.values import (
    LoadError,
    Options,
    TargetColumn,
    convert,
    split_records,
)

COLUMNS = [
    WarehouseColumn("a", "character varying(4)", not_null=False),
    WarehouseColumn("b", "character varying", not_null=False),
    WarehouseColumn("c", "character varying(3)", not_null=True),
]
TARGETS = [TargetColumn(column.name, column.type, column.not_null) for column in COLUMNS]
OPTIONS = Options(
    delimiter=b"\t",
    removequotes=True,
    escape=True,
    truncatecolumns=True,
    roundec=True,
    fillrecord=True,
    emptyasnull=True,
    acceptinvchars=b"?",
    trimblanks=True,
)
PIECES = st.sampled_from(
    [
        b'"',
        b"'",
        b"\\",
        b"\t",
        b" ",
        b"N",
        b"a",
        b"\r",
        "é".encode(),
        "😀".encode(),
        b"\xff",
        b"\xed",
    ]
)
ROWS = st.lists(PIECES, max_size=14).map(b"".join)
QUOTED = st.lists(st.lists(PIECES, max_size=4).map(b"".join), min_size=2, max_size=4).map(
    lambda values: b"\t".join(b'"' + value + b'"' for value in values)
)


@given(ROWS | QUOTED)
@settings(max_examples=800)
@example(b'"a"\t"b"\t"c"')
@example(b"a\tb\tc\\")
@example(b"\\N\t\\\\N\t'x'")
def test_both_implementations_agree_on_any_row(row):
    converter = RowConverter(COLUMNS)
    try:
        expected: bytes | str = copy_text([convert(row, TARGETS, OPTIONS)])
    except LoadError as error:
        expected = error.reason
    try:
        found: bytes | str = converter.convert(row)
    except CopyValueError as refused:
        found = refused.reason.partition(":")[0]
    assert found == expected


@given(st.lists(st.sampled_from([b"a", b"\\", b"\n"])).map(b"".join))
def test_both_implementations_agree_on_row_boundaries(data):
    lines = data.splitlines(keepends=True)
    assert list(records(lines)) == split_records(data, OPTIONS)


@given(st.binary())
def test_each_invalid_byte_becomes_one_question_mark(data):
    good = valid_utf8(data)
    assert len(good) == len(data)
    good.decode()
    assert valid_utf8(good) == good


@pytest.mark.parametrize(
    ("row", "converted"),
    [
        (b'"x"\t"y"\t"z"', b"x\ty\tz\n"),
        (b'"\xc3\xa9\xc3\xa9\xc3\xa9"\t""\t"z"', b"\xc3\xa9\xc3\xa9\t\\N\tz\n"),
        (b'"a\\"b"\t"c\\\\d"\t"\\n"', b'a"b\tc\\\\d\tn\n'),
        (b'"1234   "\t"  "\t"abcd"', b"1234\t\tabc\n"),
        (b'"a\tb"\t"c"\t"d"', b"a\\tb\tc\td\n"),
        (b'"tab\there"\t"\r"\tz', b"tab\\t\t\\r\tz\n"),
    ],
)
def test_rows_are_converted_to_copys_text_format(row, converted):
    assert RowConverter(COLUMNS).convert(row) == converted
