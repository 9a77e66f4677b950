"""The timestamp transformers, for Unix seconds and for strings in a layout."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.json import JsonContainer, Number
from spade_spark.gocompat.time_layout import TimeLayout
from spade_spark.transform.transformers.base import ConversionError
from spade_spark.transform.transformers.timestamps import UTC, to_layout_time, to_unix_time
from spade_spark.window import PACIFIC

WRITTEN = re.compile(r"-?[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?")
SQL = "2006-01-02 15:04:05"
RFC3339 = "2006-01-02T15:04:05Z07:00"
WALLS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001


def read(layout, text):
    try:
        return to_layout_time(TimeLayout.parse(layout))(text, ())
    except ConversionError:
        return None


@pytest.mark.parametrize(
    ("sent", "pacific", "utc"),
    [
        ("1000000000", "2001-09-08 18:46:40", "2001-09-09 01:46:40"),
        ("13140000000.5", "2386-05-23 01:00:00.5", "2386-05-23 08:00:00.5"),
        ("1500000000.1", "2017-07-13 19:40:00.099", "2017-07-14 02:40:00.099"),
        ("1500000000.001", "2017-07-13 19:40:00", "2017-07-14 02:40:00"),
        ("15e8", "2017-07-13 19:40:00", "2017-07-14 02:40:00"),
        ("1489312799", "2017-03-12 01:59:59", "2017-03-12 09:59:59"),
        ("1489312800", "2017-03-12 03:00:00", "2017-03-12 10:00:00"),
        ("1509870600", "2017-11-05 01:30:00", "2017-11-05 08:30:00"),
        ("1509874200", "2017-11-05 01:30:00", "2017-11-05 09:30:00"),
    ],
)
def test_unix_seconds_on_two_clocks(sent, pacific, utc):
    assert to_unix_time(PACIFIC)(Number(sent), ()) == pacific
    assert to_unix_time(UTC)(Number(sent), ()) == utc


@pytest.mark.parametrize(
    "value",
    [
        Number("999999999.999"),
        Number("13140000001"),
        Number("1500000000000"),
        Number("-1500000000"),
        Number("1e400"),
        "1500000000",
        True,
        None,
        JsonContainer.ARRAY,
    ],
)
def test_values_that_are_not_unix_times(value):
    with pytest.raises(ConversionError):
        to_unix_time(UTC)(value, ())


@given(st.integers(1_000_000_000, 13_140_000_000))
def test_unix_seconds_can_be_parsed_back(seconds):
    text = to_unix_time(UTC)(Number(str(seconds)), ())
    wall = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    assert wall.timestamp() == seconds


@pytest.mark.parametrize(
    ("layout", "text", "written"),
    [
        (SQL, "2017-11-18 01:02:03", "2017-11-18 01:02:03"),
        (SQL, "2017-11-18 1:02:03.9999", "2017-11-18 01:02:03.999"),
        (SQL, "2017-11-18    01:02:03,5", "2017-11-18 01:02:03.5"),
        (SQL, "2017-11-18 01:02:.5", "2017-11-18 01:02:00.5"),
        (SQL, "2017-03-12 02:30:00", "2017-03-12 01:30:00"),
        (SQL, "2017-11-05 01:30:00", "2017-11-05 01:30:00"),
        (SQL, "1883-11-18 12:04:00", "1883-11-18 12:04:00"),
        (SQL, "0000-02-29 00:00:00", "0000-02-29 00:00:00"),
        (RFC3339, "2017-03-12T02:30:00-08:00", "2017-03-12 02:30:00"),
        (RFC3339, "2017-11-18T01:02:03.123456789Z", "2017-11-18 01:02:03.123"),
        ("Jan _2 2006 3:04:05.000 pm", "feb  3 2017 12:04:05.250 am", "2017-02-03 00:04:05.25"),
        ("January 2, 2006", "MAY 31, 2017", "2017-05-31 00:00:00"),
        ("Monday 02-Jan-06", "sunday 01-feb-69", "1969-02-01 00:00:00"),
        ("2006-002", "2016-060", "2016-02-29 00:00:00"),
        ("2006 __2", "2017   1", "2017-01-01 00:00:00"),
        ("20060102150405", "20171118010203", "2017-11-18 01:02:03"),
        ("2006-01-02 15:04 MST", "2017-07-01 12:00 PST", "2017-07-01 13:00:00"),
        ("2006-01-02 15:04 MST", "2017-07-01 12:00 CEST", "2017-07-01 12:00:00"),
        ("2006-01-02 15:04 MST", "2017-07-01 12:00 GMT+2", "2017-07-01 14:00:00"),
        ("2006-01-02 15:04 MST", "2017-07-01 12:00 UTC", "2017-07-01 12:00:00"),
        ("2006_2006", "2017_2018", "2018-01-01 00:00:00"),
        ("15h04", "9h30", "0000-01-01 09:30:00"),
        ("", "", "0000-01-01 00:00:00"),
    ],
)
def test_strings_in_a_layout(layout, text, written):
    assert read(layout, text) == written


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (SQL, ""),
        (SQL, "2017-11-18"),
        (SQL, "2017-11-18 01:02:03 "),
        (SQL, "2017-11-18 01:02:03."),
        (SQL, "2017-11-8 01:02:03"),
        (SQL, "2017-02-29 01:02:03"),
        (SQL, "2017-11-18 24:00:00"),
        (SQL, "2017-11-18 01:02:60"),
        (SQL, "2017-11-18T01:02:03"),
        (SQL, "2017-11-18\u00a001:02:03"),
        (SQL, "\u0662017-11-18 01:02:03"),
        (RFC3339, "2017-11-18T01:02:03"),
        (RFC3339, "2017-11-18T01:02:03z"),
        (RFC3339, "2017-11-18T01:02:03+0530"),
        ("3:04 PM", "13:04 PM"),
        ("3:04 PM", "3:04 pm"),
        ("Jan 2", "Janu 2"),
        ("2006-002", "2017-366"),
        ("2006-01-002", "2017-02-001"),
        ("15:04:05.000", "01:02:03.25"),
        ("15:04 MST", "01:02 pst"),
        ("15:04 MST", "01:02 +5"),
        ("Z07", "Z0"),
    ],
)
def test_strings_that_are_not_in_the_layout(layout, text):
    assert read(layout, text) is None


@given(WALLS)
def test_a_wall_clock_is_unchanged_unless_daylight_saving_time_skips_it(wall):
    wall = wall.replace(microsecond=0)
    shown = read(SQL, wall.isoformat(" "))
    skipped = wall.replace(tzinfo=PACIFIC).astimezone(timezone.utc).astimezone(PACIFIC)
    if skipped.replace(tzinfo=None) == wall:
        assert shown == wall.isoformat(" ")
    else:
        assert shown < wall.isoformat(" ")


@given(WALLS, st.integers(-1439, 1439))
def test_a_time_with_an_offset_keeps_its_wall_clock(wall, minutes):
    aware = wall.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert read(RFC3339, aware.isoformat()) == aware.replace(tzinfo=None).isoformat(" ")


@given(st.text("2006-01-02T15:04:05 JanMonPMZ7.9_", max_size=30), st.text(max_size=30))
def test_any_string_is_a_layout_and_any_other_is_parsed_or_rejected(layout, text):
    for written in (read(layout, text), read(layout, layout)):
        assert written is None or WRITTEN.fullmatch(written)
