"""Durations in Go's format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("300ms", 0.3),
        ("1h15m30.5s", 4530.5),
        ("-1.5h", -5400),
        ("+5s", 5),
        (".5s", 0.5),
        ("1.s", 1),
        ("0", 0),
        ("-0", 0),
        ("2us", 2e-6),
        ("2\u00b5s", 2e-6),
        ("2\u03bcs", 2e-6),
        ("7ns", 7e-9),
        ("1s1s", 2),
    ],
)
def test_durations_that_go_accepts(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", "s", ".s", "1d", "1 s", " 1s", "1s ", "1S", "--1s", "1e3s", "+", "\u0661s", "1s\n"],
)
def test_strings_that_go_rejects(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_duration_that_overflows_64_bit_nanoseconds_is_rejected():
    with pytest.raises(ValueError, match="too long"):
        parse_duration("2562048h")


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours, minutes, seconds):
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
