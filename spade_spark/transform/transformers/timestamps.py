"""The transformers ``f@timestamp@unix``, ``f@timestamp@unix-utc`` and ``f@timestamp@LAYOUT``.

The text is ``YYYY-MM-DD HH:MM:SS`` with up to three digits of a fraction, without a time zone.
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
"""Unix seconds outside this range are an error (they may be milliseconds)."""

# UTC offsets of zone names, which a layout calls MST. A time with another name is not converted.
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
_FIRST_OFFSET_CHANGE: Final = -60_000_000_000  # before this, the offset is constant
_DATETIME_LIMIT: Final = 250_000_000_000  # close to the maximum of ``datetime``


def to_unix_time(zone: tzinfo) -> Converter:
    """Return the converter of Unix seconds to the wall clock of ``zone``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        if not isinstance(value, Number):
            raise ConversionError("not a number")
        return unix_time(float(value.text), zone)

    return convert


def unix_time(seconds: float, zone: tzinfo) -> str:
    """Return the wall clock of ``zone`` at a Unix time.

    Raises:
        ConversionError: Out of range.
    """
    if not EARLIEST <= seconds < LATEST + 1:
        raise ConversionError("out of range")
    second = int(seconds)
    # Truncated twice, not rounded, as in the live processor: .1 becomes .099, because no double of
    # this size has exactly this fraction.
    nanoseconds = int((seconds - second) * 1e9)
    wall = datetime.fromtimestamp(second, zone)
    return f"{wall:%Y-%m-%d %H:%M:%S}{_fraction(nanoseconds)}"


def _fraction(nanoseconds: int) -> str:
    """Return a fraction truncated to milliseconds; empty if it is zero."""
    return f".{nanoseconds // 1_000_000:03}".rstrip("0").rstrip(".")


def to_layout_time(layout: TimeLayout) -> Converter:
    """Return the converter of strings in ``layout``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        try:
            return _format(layout.read(text(value)))
        except TimeParseError as error:
            raise ConversionError(str(error)) from None

    return convert


def _format(fields: Fields) -> str:
    """Return a time on its own wall clock, or on the Pacific wall clock if it has no zone."""
    day = (fields.year, fields.month, fields.day)
    wall = unix_seconds(day, (fields.hour, fields.minute, fields.second))
    if fields.zoned:
        local = wall
    elif fields.zone_name:
        local = _in_named_zone(wall, fields.zone_name.decode())
    else:
        # As in Go, the offset is looked up as if the wall clock were UTC, and again at the result.
        # A time that daylight saving time skips thus moves back by an hour.
        local = _on_pacific_clock(wall - _pacific_offset(wall - _pacific_offset(wall)))
    return f"{_date_and_time(local)}{_fraction(fields.nanosecond)}"


def _in_named_zone(wall: int, name: str) -> int:
    """Convert a wall clock in the zone ``name`` as Go does; both are Unix seconds."""
    if name in _PACIFIC_NAMES:
        return _on_pacific_clock(wall - _PACIFIC_NAMES[name])
    # Go takes a time with the zone GMT+3 as GMT and adds the offset.
    return wall + 3600 * int(name.removeprefix("GMT") or "0") if name.startswith("GMT") else wall


def _on_pacific_clock(instant: int) -> int:
    return instant + _pacific_offset(instant)


def _pacific_offset(instant: int) -> int:
    """Return the UTC offset of the Pacific zone in seconds at a Unix time."""
    if instant < _DATETIME_LIMIT:
        in_range = max(instant, _FIRST_OFFSET_CHANGE)
    else:
        in_range = instant - CYCLE_SECONDS
    offset = (_EPOCH + timedelta(seconds=in_range)).astimezone(PACIFIC).utcoffset()
    assert offset is not None  # the zone is set
    return int(offset.total_seconds())


def _date_and_time(wall: int) -> str:
    """Format a wall clock, given as Unix seconds, of any year."""
    cycles, seconds = divmod(wall, CYCLE_SECONDS)
    time_in_cycle = _EPOCH + timedelta(seconds=seconds)
    year = time_in_cycle.year + cycles * CYCLE_YEARS
    return f"{year:0{4 if year >= 0 else 5}}{time_in_cycle:-%m-%d %H:%M:%S}"


def _unix_converter(zone: tzinfo, _lookups: Lookups, _parameter: str) -> Converter:
    return to_unix_time(zone)


def _layout_converter(_lookups: Lookups, parameter: str) -> Converter:
    return to_layout_time(TimeLayout.parse(parameter))


def _unix_codegen(clock: str) -> ValueCodegen:
    """Return the code for Unix seconds; ``clock`` is the name of the clock in generated code.

    The fraction is truncated to milliseconds directly. The result is the same as with nanoseconds
    in between: times are at least 2**29, so the fraction of a double has at most 23 bits, and
    neither product is rounded.
    """
    return ValueCodegen(
        FieldType.TIME,
        typed=(
            f"(known_{clock}.get(s := int(x := {{value}})) or fill_{clock}(s))"
            " + fractions[int((x - s) * 1e3)]"
        ),
        any_type=f"coerce_time({clock}, {{value}})",
        server_time=clock,
    )


_SQL_TYPES: Final = r"timestamp.*"
_SQL_TYPE: Final = "TIMESTAMP"
_UNIX_EXAMPLES: Final = ("1509706800", "1509706800.25")

SPECS: Final = (
    TransformerSpec(
        name="f@timestamp@unix",
        converter=partial(_unix_converter, PACIFIC),
        accepted_sql_types=_SQL_TYPES,
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
        accepted_sql_types=_SQL_TYPES,
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
        accepted_sql_types=_SQL_TYPES,
        sql_type=_SQL_TYPE,
        arrow_type=ArrowType.TIMESTAMP,
        codegen=CACHED_TEXT,
        inference=None,
        examples=('"2017-11-03 10:00:00"', '"2017-11-03 10:00:00.5"'),
        example_parameter="2006-01-02 15:04:05",
        clock=LAYOUT_CLOCK,
    ),
)
