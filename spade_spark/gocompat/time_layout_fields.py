"""The elements of a Go time layout and their readers.

The deviations from RFC 3339 and ISO 8601 (signs within offsets and fractions, missing seconds) are
those of Go.

Reference: https://github.com/golang/go/blob/go1.19/src/time/format.go (``nextStdChunk``, ``parse``,
``parseTimeZone``, ``parseNanoseconds``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# At the leftmost match, the first alternative that matches is the element that Go finds.
ELEMENT = re.compile(
    rb"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm"
    rb"|[-Z]07(?:0000|:00:00|00|:00)?|[.,](?:0+|9+)(?![0-9])"
)
_MONTHS: Final = tuple(
    b"January February March April May June July August September October November December".split()
)
_WEEKDAYS: Final = tuple(b"Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
_FRACTION = re.compile(rb"[.,]([0-9]+)")
_SIGNED_FRACTION = re.compile(rb"[.,]([+]?[0-9]*|-0*)")
_ZONE_NAME = re.compile(
    rb"ChST|MeST|GMT(?:[+-]0*(?:2[0-3]|1[0-9]|[0-9])(?![0-9]))?|[+-]0*(?:2[0-3]|1[0-9]|[0-9])(?![0-9])"
    rb"|(?:[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3})(?![A-Z])"
)
# Offsets by the text after `-` or `Z` in the layout. A part may be a sign and a digit; its range is
# not checked.
_PART: Final = rb"([0-9]{2}|[+-][0-9])"
_OFFSETS: Final = {
    b"07": re.compile(rb"([+-])" + _PART),
    b"0700": re.compile(rb"([+-])" + _PART * 2),
    b"07:00": re.compile(rb"([+-])" + _PART + rb":" + _PART),
    b"070000": re.compile(rb"([+-])" + _PART * 3),
    b"07:00:00": re.compile(rb"([+-])" + _PART + rb":" + _PART + rb":" + _PART),
}


class TimeParseError(ValueError):
    """The text does not match the layout, or the time does not exist."""


@dataclass(slots=True)
class Fields:
    """The fields of a time; -1 means not set."""

    year: int = 0
    month: int = -1
    day: int = -1
    year_day: int = -1
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    am: bool = False
    pm: bool = False
    zoned: bool = False
    """Whether the text has an offset or ``UTC``."""
    zone_name: bytes = b""


Reader = Callable[[Fields, bytes], bytes]
"""Reads an element at the start of a text into the fields and returns the rest of the text."""


def reader_of(name: bytes, following: bytes) -> Reader:
    """Return the reader of the element ``name``; ``following`` is the rest of the layout."""
    if name in _READERS:
        return _READERS[name]
    if name in (b"5", b"05"):
        after = ELEMENT.search(following)
        fraction_follows = after is not None and after[0][:1] in b".,"
        return _second(fixed=name == b"05", fraction_follows=fraction_follows)
    if name[:1] in b".,":
        return _fraction if name[1:2] == b"9" else _exact_fraction(len(name))
    zulu = name[:1] == b"Z" and len(name) < len(b"Z070000")
    return _offset(_OFFSETS[name[1:]], zulu=zulu)


def _leading_number(text: bytes, min_digits: int, max_digits: int) -> tuple[int, bytes]:
    """Return the number at the start of ``text`` and the rest."""
    digits = 0
    while digits < max_digits and text[digits : digits + 1].isdigit():
        digits += 1
    if digits < min_digits:
        raise TimeParseError("too few digits")
    return int(text[:digits]), text[digits:]


def _number(
    field: str, min_digits: int, low: int, high: int, *, spaces: int = 0, max_digits: int = 2
) -> Reader:
    """Return a reader of a number with up to ``spaces`` spaces before it."""

    def read(fields: Fields, text: bytes) -> bytes:
        for _ in range(spaces):
            text = text.removeprefix(b" ")
        value, rest = _leading_number(text, min_digits, max_digits)
        if not low <= value <= high:
            raise TimeParseError(f"{field} out of range")
        setattr(fields, field, value)
        return rest

    return read


def _short_year(fields: Fields, text: bytes) -> bytes:
    if not re.match(rb"[0-9]{2}|[+-][0-9]", text):  # Go also accepts a sign and one digit
        raise TimeParseError("not a year of two digits")
    year = int(text[:2])
    fields.year = year + (1900 if year >= 69 else 2000)  # noqa: PLR2004 - as in Go
    return text[2:]


def _word(words: tuple[bytes, ...], field: str = "", length: int | None = None) -> Reader:
    """Return a reader of one of ``words`` (or of their first letters), in any case."""

    def read(fields: Fields, text: bytes) -> bytes:
        for number, word in enumerate(words, 1):
            expected = word[:length].lower()
            if text[: len(expected)].lower() == expected:
                if field:
                    setattr(fields, field, number)
                return text[len(expected) :]
        raise TimeParseError("unknown name of a month or weekday")

    return read


def _am_or_pm(am: bytes, pm: bytes) -> Reader:
    def read(fields: Fields, text: bytes) -> bytes:
        if text[:2] not in (am, pm):
            raise TimeParseError("neither AM nor PM")
        fields.am |= text[:2] == am
        fields.pm |= text[:2] == pm
        return text[2:]

    return read


def _second(*, fixed: bool, fraction_follows: bool) -> Reader:
    """Return a reader of seconds, and of a fraction that is not in the layout.

    As in Go, such a fraction may follow without any seconds.
    """
    read_second = _number("second", 2 if fixed else 1, 0, 59)

    def read(fields: Fields, text: bytes) -> bytes:
        if fraction_follows:
            return read_second(fields, text)
        fields.second = 0
        rest = text if _FRACTION.match(text) else read_second(fields, text)
        return _fraction(fields, rest, max_digits=None)

    return read


def _exact_fraction(length: int) -> Reader:
    """Return a reader of a fraction of exactly ``length`` characters, including the point."""

    def read(fields: Fields, text: bytes) -> bytes:
        fraction = _SIGNED_FRACTION.fullmatch(text[: min(length, 10)])
        if fraction is None or len(text) < length:
            raise TimeParseError("not a fraction of the layout's length")
        fields.nanosecond = _nanoseconds(fraction[1])
        return text[length:]

    return read


def _fraction(fields: Fields, text: bytes, max_digits: int | None = 9) -> bytes:
    """Read an optional fraction of up to ``max_digits`` digits."""
    fraction = _FRACTION.match(text if max_digits is None else text[: max_digits + 1])
    if fraction is None:
        return text
    fields.nanosecond = _nanoseconds(fraction[1])
    return text[fraction.end() :]


def _nanoseconds(digits: bytes) -> int:
    significant = digits[:9]
    return int(significant + b"0" * (9 - len(significant)))


def _offset(pattern: re.Pattern[bytes], *, zulu: bool) -> Reader:
    """Return a reader of an offset; with ``zulu`` also of ``Z``."""

    def read(fields: Fields, text: bytes) -> bytes:
        if zulu and text.startswith(b"Z"):
            fields.zoned = True
            return text[1:]
        offset = pattern.match(text)
        if offset is None:
            raise TimeParseError("not an offset")
        fields.zoned = True
        return text[offset.end() :]

    return read


def _zone_name(fields: Fields, text: bytes) -> bytes:
    if text.startswith(b"UTC"):
        fields.zoned = True
        return text[3:]
    name = _ZONE_NAME.match(text)
    if name is None or len(text) < 3:  # noqa: PLR2004 - also if the name is an offset
        raise TimeParseError("not the name of a time zone")
    fields.zone_name = name[0]
    return text[name.end() :]


_READERS: Final[dict[bytes, Reader]] = {
    b"2006": _number("year", 4, 0, 9999, max_digits=4),
    b"06": _short_year,
    b"January": _word(_MONTHS, "month"),
    b"Jan": _word(_MONTHS, "month", 3),
    b"1": _number("month", 1, 1, 12),
    b"01": _number("month", 2, 1, 12),
    b"Monday": _word(_WEEKDAYS),
    b"Mon": _word(_WEEKDAYS, length=3),
    b"2": _number("day", 1, 0, 99),
    b"_2": _number("day", 1, 0, 99, spaces=1),
    b"02": _number("day", 2, 0, 99),
    b"__2": _number("year_day", 1, 0, 999, spaces=2, max_digits=3),
    b"002": _number("year_day", 3, 0, 999, max_digits=3),
    b"15": _number("hour", 1, 0, 23),
    b"3": _number("hour", 1, 0, 12),
    b"03": _number("hour", 2, 0, 12),
    b"4": _number("minute", 1, 0, 59),
    b"04": _number("minute", 2, 0, 59),
    b"PM": _am_or_pm(b"AM", b"PM"),
    b"pm": _am_or_pm(b"am", b"pm"),
    b"MST": _zone_name,
}
