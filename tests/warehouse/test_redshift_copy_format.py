"""The conversion of COPY's input, compared with another implementation of the documentation."""

from __future__ import annotations

import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spade_spark.warehouse import redshift_copy_format
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.redshift_copy_format import (
    BlockConverter,
    CopyValueError,
    RowConverter,
    blocks,
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


NUMBERED = [*COLUMNS[:2], WarehouseColumn("n", "integer", not_null=False), COLUMNS[2]]
FIXED = [WarehouseColumn("f", "character(3)", not_null=True), COLUMNS[0]]
NASTY = [*b"\"'\\\t\r\n\0 N\1\2\3\4", 0xFF, 0xED]
PIECE = st.sampled_from(
    [bytes([byte]) for byte in NASTY] + ["é".encode(), b"abcd", b'\\"', b'"\t"']
)
REGULAR = st.sampled_from([b"", b"a", b"ab", b"abc", rb"\"", rb"\\", rb"\n", "é".encode()])


def rows_of(count):
    regular = st.lists(REGULAR, min_size=count, max_size=count)
    nasty = st.lists(st.lists(PIECE, max_size=3).map(b"".join), min_size=1, max_size=count + 1)
    quoted = (regular | regular | nasty).map(
        lambda values: b"\t".join(b'"' + value + b'"' for value in values)
    )
    return st.lists(quoted | st.lists(PIECE, max_size=6).map(b"".join), max_size=12)


@st.composite
def tables(draw):
    columns = draw(st.sampled_from([COLUMNS, NUMBERED, FIXED]))
    data = b"\n".join(draw(rows_of(len(columns)))) + draw(st.sampled_from([b"", b"\n", b"\\\n"]))
    return columns, data


def converted_by_row(columns, data):
    converter = RowConverter(columns)
    converted: list[bytes] = []
    try:
        converted.extend(map(converter.convert, records(io.BytesIO(data))))
    except CopyValueError as refused:
        return len(converted), refused.args
    return b"".join(converted), converter.truncated


def converted_by_block(columns, data):
    converter = BlockConverter(columns)
    try:
        converted = b"".join(map(converter.convert, blocks(io.BytesIO(data))))
    except CopyValueError as refused:
        return converter.rows, refused.args
    assert converter.rows == converted.count(b"\n")
    return converted, converter.truncated


@given(tables(), st.integers(1, 40))
@settings(max_examples=1500)
@example((COLUMNS, b'"a"\t"b"\t"c"\n"a\\\n"b"\t"c"\t"d"\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"c"\n\n"a"\t"b"\t"c"\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"c"\n"1234567"\t" "\t"c "\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"c"\n"a"\t"b"\t""\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"\xff"\n"12345"\t"b"\t"c"\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"c"\n"a"\t"\xc3\\\xa9"\t"c"\n"\\\\\\"x"\t"\\N"\t"c"\n'), 1000)
@example((COLUMNS, b'"a"\t"b"\t"c"\nx"a"\t"b"\t"c"\n"a"\t"b"\t"c"'), 1000)
@example((COLUMNS, b'"a"\t"b"\n"a"\t"b"\t"c"\t"d"\n'), 1000)
def test_blocks_are_converted_exactly_like_their_rows(table, size):
    columns, data = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redshift_copy_format, "BLOCK_BYTES", size)
        assert converted_by_block(columns, data) == converted_by_row(columns, data)


def test_a_block_of_regular_rows_is_not_converted_row_by_row(monkeypatch):
    def refuse(self, row):
        raise AssertionError(row)

    monkeypatch.setattr(RowConverter, "convert", refuse)
    rows = [b'"a"\t""\t"c"\n', b'"\\"\\\\"\t"\\x7f\\n"\t"d"\n', '"é"\t"日本"\t"z"\n'.encode()]
    assert BlockConverter(COLUMNS).convert(b"".join(rows)) == (
        'a\t\\N\tc\n"\\\\\tx7fn\td\né\t日本\tz\n'.encode()
    )
