"""Counts, sizes and durations as people read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.formatting import format_age, format_size, pluralize


def test_pluralize_adds_an_s_except_for_one():
    assert pluralize(0, "table") == "0 tables"
    assert pluralize(1, "table") == "1 table"
    assert pluralize(2000, "table") == "2,000 tables"


@given(st.integers(0, 10**15))
def test_formatted_sizes_are_short(size):
    assert len(format_size(size)) <= 9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (2e5, "2 days")],
)
def test_an_age_has_one_unit(seconds, text):
    assert format_age(timedelta(seconds=seconds)) == text
