"""Parsing TSV rows into typed columns preserves the values."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.quote import quote, unquote_row
from spade_spark.gocompat.strconv import format_float
from spade_spark.writers.arrow_rows import RowReader
from spade_spark.writers.arrow_types import TIME

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text('"\\\t\n\r\x00é')


def read(types, *rows):
    schema = pa.schema([pa.field(f"c{number}", type_) for number, type_ in enumerate(types)])
    text = "".join("\t".join(map(quote, row)) + "\n" for row in rows)
    return RowReader(schema).read(text.encode())


def column(type_, *texts):
    return read([type_], *[[text] for text in texts]).column(0)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=6))
def test_texts_are_unquoted_and_empty_ones_are_null(rows):
    table = read([pa.string()] * 3, *rows)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        tuple(text or None for text in row) for row in rows
    ]
    quoted = ["\t".join(map(quote, row)) for row in rows]
    assert [tuple(unquote_row(row)) for row in quoted] == rows


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_doubles_are_exact(numbers):
    texts = [format_float(number) for number in numbers]
    assert column(pa.float64(), *texts).to_pylist() == [float(text) for text in texts]


@pytest.mark.parametrize(("type_", "bits"), [(pa.int32(), 31), (pa.int64(), 63)])
def test_integers_cover_their_range(type_, bits):
    values = [-(1 << bits), -1, 0, (1 << bits) - 1]
    assert column(type_, *map(str, values), "").to_pylist() == [*values, None]


def test_booleans_and_nulls():
    assert column(pa.bool_(), "true", "false", "").to_pylist() == [True, False, None]


def test_times_keep_their_milliseconds():
    texts = ("2017-11-03 10:00:00", "2017-11-05 01:30:00.5", "2386-05-23 16:00:00.099", "")
    assert [str(time) if time else "" for time in column(TIME, *texts).to_pylist()] == [
        "2017-11-03 10:00:00",
        "2017-11-05 01:30:00.500000",
        "2386-05-23 16:00:00.099000",
        "",
    ]


def test_years_outside_the_range_of_datetime_are_exact():
    """The time zone can move a time of year 0 or 9999 to the year before or after."""
    texts = ("-0001-12-31 23:59:59", "0000-01-01 00:00:00", "10000-01-01 00:00:00.5", "")
    day = 86_400_000
    assert column(TIME, *texts).cast(pa.int64()).to_pylist() == [
        -719_528 * day - 1000,
        -719_528 * day,
        2_932_897 * day + 500,
        None,
    ]


def test_a_value_of_the_wrong_type_is_an_error():
    with pytest.raises(pa.ArrowInvalid):
        column(pa.int32(), "2147483648")


def test_column_names_can_be_empty_and_repeated():
    schema = pa.schema([pa.field("", pa.string()), pa.field("", pa.int32())])
    rows = RowReader(schema).read(b'"a"\t"1"\n')
    assert [column.to_pylist() for column in rows.columns] == [["a"], [1]]
