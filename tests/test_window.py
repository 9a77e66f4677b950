"""The window: how START and END of the command line are read."""

from datetime import timedelta

import pytest

from spade_spark.errors import UsageError
from spade_spark.window import Window


def test_both_ends_are_pacific_time():
    window = Window.parse("2017-11-03 10:00:00", "2017-11-03 12:30:00")
    assert window.first.isoformat() == "2017-11-03T17:00:00+00:00"
    assert window.last.isoformat() == "2017-11-03T19:30:00+00:00"
    assert str(window) == "2017-11-03 10:00:00 to 2017-11-03 12:30:00 Pacific"


def test_a_time_that_exists_twice_is_refused_with_both_readings():
    with pytest.raises(UsageError) as refused:
        Window.parse("2017-11-05 01:30:00", "2017-11-05 03:00:00")
    assert str(refused.value) == (
        "START 2017-11-05 01:30:00 exists twice in Pacific time (the clocks change); "
        "write one of: 2017-11-05 01:30:00-0700 or 2017-11-05 01:30:00-0800"
    )


def test_a_time_that_does_not_exist_is_refused_with_both_readings():
    with pytest.raises(UsageError) as refused:
        Window.parse("2017-03-12 00:00:00", "2017-03-12 02:30:00")
    assert str(refused.value) == (
        "END 2017-03-12 02:30:00 does not exist in Pacific time (the clocks change); "
        "write one of: 2017-03-12 03:30:00-0700 or 2017-03-12 01:30:00-0800"
    )


def test_an_offset_selects_the_reading():
    window = Window.parse("2017-11-05 01:30:00-0800", "2017-11-05 03:00:00")
    assert window.start.isoformat() == "2017-11-05T01:30:00-08:00"


def test_a_window_that_starts_in_the_repeated_hour_reads_both_passes():
    """SQL cannot tell the passes apart and deletes the rows of both, so both are read."""
    window = Window.parse("2017-11-05 01:30:00-0800", "2017-11-05 03:00:00")
    assert window.first.isoformat() == "2017-11-05T08:30:00+00:00"


@pytest.mark.parametrize("end", ["2017-11-03 10:00:00", "2017-11-03 09:59:59"])
def test_an_end_that_is_not_after_start_is_refused(end):
    with pytest.raises(UsageError, match="END must be after START"):
        Window.parse("2017-11-03 10:00:00", end)


def test_an_end_that_is_after_start_but_not_on_the_wall_clock_is_refused():
    with pytest.raises(UsageError, match="widen the window"):
        Window.parse("2017-11-05 01:30:00-0700", "2017-11-05 01:15:00-0800")


@pytest.mark.parametrize(
    "text", ["2017-11-03", "yesterday", "2017-13-03 10:00:00", "\uff12017-11-03 10:00:00"]
)
def test_a_time_in_another_format_is_refused(text):
    with pytest.raises(UsageError, match="START"):
        Window.parse(text, "2017-11-03 10:00:00")


def test_the_days_to_list_include_the_margin():
    window = Window.parse("2017-11-03 16:30:00", "2017-11-03 16:45:00")
    assert window.utc_days(timedelta(hours=1)) == ("20171103", "20171104")
