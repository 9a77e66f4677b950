"""RFC 3339 times and Unix seconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.rfc3339 import CYCLE_SECONDS, rfc3339_seconds, unix_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.5Z", -1),
        ("2018-06-15T12:00:00.123456789012-07:00", 1529089200),
        ("2018-06-15T12:00:00,5Z", 1529064000),
        ("2018-06-15T9:00:00Z", 1529053200),
        ("2018-06-15T12:00:.5Z", 1529064000),
        ("2018-06-15T12:00:00+-1:00", 1529067600),
        ("0000-02-29T00:00:00Z", unix_seconds((400, 2, 29), (0, 0, 0)) - CYCLE_SECONDS),
    ],
)
def test_unix_seconds_of_a_time(text, seconds):
    assert rfc3339_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2018-06-15",
        "2018-06-15T12:00:00",
        "2018-06-15t12:00:00Z",
        "2018-06-15T12:00:00z",
        "2018-06-15 12:00:00Z",
        "2018-06-15T12:00:00+0700",
        "2018-06-15T12:00:00.Z",
        "2018-06-15T12:00:60Z",
        "2018-06-15T24:00:00Z",
        "2018-02-29T00:00:00Z",
        "2018-06-15T12:00:00Z\n",
        "\u0662018-06-15T12:00:00Z",
    ],
)
def test_strings_that_are_not_times(text):
    with pytest.raises(ValueError, match=r"time|day"):
        rfc3339_seconds(text)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_any_time_has_the_right_unix_seconds(wall, offset):
    aware = wall.replace(tzinfo=timezone(timedelta(minutes=offset)))
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert rfc3339_seconds(aware.isoformat()) == (aware - epoch) // timedelta(seconds=1)
