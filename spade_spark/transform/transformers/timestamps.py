"""``f@timestamp@unix``, ``f@timestamp@unix-utc`` and ``f@timestamp@LAYOUT``.

All give ``YYYY-MM-DD HH:MM:SS`` and up to three digits of a fraction, as the wall clock of a zone
shows them, which the text does not name.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import Final

from spade_spark.gocompat.json import Number, Value
from spade_spark.gocompat.rfc3339 import CYCLE_SECONDS, CYCLE_YEARS, unix_seconds
from spade_spark.gocompat.time_layout import TimeLayout
from spade_spark.gocompat.time_layout_fields import Fields, TimeParseError
from spade_spark.lookups.base import Lookups
from spade_spark.transform.transformers.base import (
    CACHED_TEXT,
    ArrowType,
    ConversionError,
    Converter,
    FieldType,
    Inference,
    TransformerSpec,
    ValueCodegen,
    ValueTrait,
    text,
)
from spade_spark.window import PACIFIC

UTC: Final = timezone.utc
EARLIEST: Final = 1_000_000_000
LATEST: Final = 13_140_000_000
"""Whole Unix seconds outside these are taken for a mistake (milliseconds, say)."""

# What a layout's MST may read; any other name stands for the text's own wall clock.
_PACIFIC_NAMES: Final = {
    "LMT": -28_378,
    "PST": -28_800,
    "PDT": -25_200,
    "PWT": -25_200,
    "PPT": -25_200,
}
PACIFIC_CLOCK: Final = "America/Los_Angeles wall clock, without a zone"
UTC_CLOCK: Final = "UTC, without a zone"
LAYOUT_CLOCK: Final = (
    "America/Los_Angeles wall clock, without a zone; where the event's text named a zone, that "
    "text's own wall clock"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AGO: Final = -60_000_000_000  # the zone's offset was the same in all the years before
_FAR_OFF: Final = 250_000_000_000  # ``datetime`` ends soon after; the zone's rules go on


def to_unix_time(zone: tzinfo) -> Converter:
    """The converter of a number of Unix seconds to the wall clock of ``zone``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        if not isinstance(value, Number):
            raise ConversionError("no number")
        return unix_time(float(value.text), zone)

    return convert


def unix_time(seconds: float, zone: tzinfo) -> str:
    """The wall clock of ``zone`` at so many Unix seconds.

    Raises:
        ConversionError: Out of range.
    """
    if not EARLIEST <= seconds < LATEST + 1:
        raise ConversionError("out of range")
    whole = int(seconds)
    # Cut twice, not rounded: .1 of these seconds, which no double has, prints as .099.
    nanoseconds = int((seconds - whole) * 1e9)
    wall = datetime.fromtimestamp(whole, zone)
    return f"{wall:%Y-%m-%d %H:%M:%S}{_fraction(nanoseconds)}"


def _fraction(nanoseconds: int) -> str:
    """A fraction of a second cut to three digits; nothing where they are zeros."""
    return f".{nanoseconds // 1_000_000:03}".rstrip("0").rstrip(".")


def to_layout_time(layout: TimeLayout) -> Converter:
    """The converter of a string in ``layout``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        try:
            return _written(layout.read(text(value)))
        except TimeParseError as error:
            raise ConversionError(str(error)) from None

    return convert


def _written(fields: Fields) -> str:
    """The time of ``fields`` on its own wall clock, or on the Pacific one if it has no zone."""
    day = (fields.year, fields.month, fields.day)
    wall = unix_seconds(day, (fields.hour, fields.minute, fields.second))
    if fields.zoned:
        shown = wall
    elif fields.zone_name:
        shown = _in_named_zone(wall, fields.zone_name.decode())
    else:
        # The offset is looked up as if the wall clock were UTC, then at what that gives: so a
        # time that the spring change leaves out moves back an hour.
        shown = _on_pacific_clock(wall - _pacific_offset(wall - _pacific_offset(wall)))
    return f"{_date_and_time(shown)}{_fraction(fields.nanosecond)}"


def _in_named_zone(wall: int, name: str) -> int:
    """What is shown of a wall clock in the zone ``name``; both as if they were Unix seconds."""
    if name in _PACIFIC_NAMES:
        return _on_pacific_clock(wall - _PACIFIC_NAMES[name])
    # History took the clock before GMT+3 for one in GMT.
    return wall + 3600 * int(name.removeprefix("GMT") or "0") if name.startswith("GMT") else wall


def _on_pacific_clock(instant: int) -> int:
    return instant + _pacific_offset(instant)


def _pacific_offset(instant: int) -> int:
    """Seconds that the Pacific zone is ahead of UTC (fewer than none) at Unix seconds."""
    known = max(instant, _LONG_AGO) if instant < _FAR_OFF else instant - CYCLE_SECONDS
    moment = (_EPOCH + timedelta(seconds=known)).astimezone(PACIFIC)
    offset = moment.utcoffset()
    assert offset is not None  # the zone is set
    return int(offset.total_seconds())


def _date_and_time(shown: int) -> str:
    """A wall clock, in any year."""
    cycles, seconds = divmod(shown, CYCLE_SECONDS)
    moment = _EPOCH + timedelta(seconds=seconds)
    year = moment.year + cycles * CYCLE_YEARS
    return f"{year:0{4 if year >= 0 else 5}}{moment:-%m-%d %H:%M:%S}"


def _unix_converter(zone: tzinfo, _lookups: Lookups, _parameter: str) -> Converter:
    return to_unix_time(zone)


def _layout_converter(_lookups: Lookups, parameter: str) -> Converter:
    return to_layout_time(TimeLayout.parse(parameter))


def _unix_codegen(clock: str) -> ValueCodegen:
    """The code for Unix seconds on a clock, by the name that generated code knows it by.

    The fraction is cut to milliseconds. Cut to nanoseconds first it would be the same: the fraction
    of a double from 2**29 on, which times are, has at most 23 bits, and neither product is rounded.
    """
    return ValueCodegen(
        FieldType.TIME,
        typed=(
            f"(known_{clock}.get(s := int(x := {{value}})) or fill_{clock}(s))"
            " + fractions[int((x - s) * 1e3)]"
        ),
        any_type=f"any_time({clock}, {{value}})",
        server_time=clock,
    )


_SQL_TYPES: Final = r"timestamp.*"
_SQL_TYPE: Final = "TIMESTAMP"
_UNIX_EXAMPLES: Final = ("1509706800", "1509706800.25")

SPECS: Final = (
    TransformerSpec(
        name="f@timestamp@unix",
        converter=partial(_unix_converter, PACIFIC),
        sql_types=_SQL_TYPES,
        sql_type=_SQL_TYPE,
        arrow_type=ArrowType.TIMESTAMP,
        codegen=_unix_codegen("pacific"),
        inference=Inference(traits=(ValueTrait.UNIX_TIME,), names=("time", "client_time")),
        examples=_UNIX_EXAMPLES,
        clock=PACIFIC_CLOCK,
    ),
    TransformerSpec(
        name="f@timestamp@unix-utc",
        converter=partial(_unix_converter, UTC),
        sql_types=_SQL_TYPES,
        sql_type=_SQL_TYPE,
        arrow_type=ArrowType.TIMESTAMP,
        codegen=_unix_codegen("utc"),
        inference=None,
        examples=_UNIX_EXAMPLES,
        clock=UTC_CLOCK,
    ),
    TransformerSpec(
        name="f@timestamp@",
        converter=_layout_converter,
        sql_types=_SQL_TYPES,
        sql_type=_SQL_TYPE,
        arrow_type=ArrowType.TIMESTAMP,
        codegen=CACHED_TEXT,
        inference=None,
        examples=('"2017-11-03 10:00:00"', '"2017-11-03 10:00:00.5"'),
        example_parameter="2006-01-02 15:04:05",
        clock=LAYOUT_CLOCK,
    ),
)
