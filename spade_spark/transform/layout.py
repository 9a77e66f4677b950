"""Times in a layout that is written with the reference date, Mon Jan 2 15:04:05 MST 2006.

The rules are those of Go's ``time.Parse`` (version 1.19, ``src/time/format.go``), which is what
Blueprint's layouts were written for: ``strptime`` has other directives, and accepts and refuses
other texts. Both sides are bytes here, as they are there.

A layout is literal text with elements in it. A run of spaces in the literal text takes any number
of spaces, none at the text's end; all else must occur as it is.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from spade_spark.edge.instants import CYCLE_YEARS

# The first alternative that matches at the leftmost place is the element that Go finds there.
_ELEMENT = re.compile(
    rb"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm"
    rb"|[-Z]07(?:0000|:00:00|00|:00)?|[.,](?:0+|9+)(?![0-9])"
)
_MONTHS: Final = tuple(
    b"January February March April May June July August September October November December".split()
)
_WEEKDAYS: Final = tuple(b"Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
_FRACTION = re.compile(rb"[.,]([0-9]+)")
_SIGNED_FRACTION = re.compile(rb"[.,]([+]?[0-9]+|-0+)")
_ZONE_NAME = re.compile(
    rb"ChST|MeST|GMT(?:[+-]0*(?:2[0-3]|1[0-9]|[0-9])(?![0-9]))?|[+-]0*(?:2[0-3]|1[0-9]|[0-9])(?![0-9])"
    rb"|(?:[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3})(?![A-Z])"
)
# How an offset is spelt for what follows `-` or `Z` in the layout. Its parts may be a sign and a
# digit, and are not bounded.
_PART: Final = rb"([0-9]{2}|[+-][0-9])"
_OFFSETS: Final = {
    b"07": re.compile(rb"([+-])" + _PART),
    b"0700": re.compile(rb"([+-])" + _PART * 2),
    b"07:00": re.compile(rb"([+-])" + _PART + rb":" + _PART),
    b"070000": re.compile(rb"([+-])" + _PART * 3),
    b"07:00:00": re.compile(rb"([+-])" + _PART + rb":" + _PART + rb":" + _PART),
}


class NoMatch(ValueError):
    """A text that is not in the layout, or a time that there is not."""


@dataclass(slots=True)
class Fields:
    """What the elements of a layout have read so far, and then the whole; -1 is nothing yet."""

    year: int = 0
    month: int = -1
    day: int = -1
    year_day: int = -1
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    half: bytes = b""
    zoned: bool = False
    """Whether the text gives its offset, so that its wall clock is its own."""
    zone_name: bytes = b""


Reader = Callable[[Fields, bytes], bytes]
"""Takes an element from the front of a text into the fields and gives the rest."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout, read once.

    Attributes:
        steps: Each element's reader with the literal text before it.
        tail: The literal text behind the last element.
    """

    steps: tuple[tuple[bytes, Reader], ...]
    tail: bytes

    @classmethod
    def parse(cls, layout: str) -> Layout:
        """Reads a layout; any text is one."""
        rest = layout.encode("utf-8", "replace")
        steps = []
        while element := _ELEMENT.search(rest):
            literal, name, rest = rest[: element.start()], element[0], rest[element.end() :]
            steps.append((literal, _reader(name, rest)))
        return cls(tuple(steps), rest)

    def read(self, text: str) -> Fields:
        """The time that ``text`` is in this layout, month and day filled in.

        Raises:
            NoMatch: It is none.
        """
        rest = text.encode("utf-8", "replace")
        fields = Fields()
        for literal, reader in self.steps:
            rest = reader(fields, _skip(literal, rest))
        if _skip(self.tail, rest):
            raise NoMatch("extra text")
        if fields.half == b"PM" and fields.hour < 12:  # noqa: PLR2004 - noon
            fields.hour += 12
        elif fields.half == b"AM" and fields.hour == 12:  # noqa: PLR2004 - noon
            fields.hour = 0
        _settle_date(fields)
        return fields


def _reader(name: bytes, following: bytes) -> Reader:
    """The reader of the element ``name``, behind which the layout says ``following``."""
    if name in _READERS:
        return _READERS[name]
    if name in (b"5", b"05"):
        after = _ELEMENT.search(following)
        fraction_follows = after is not None and after[0][:1] in b".,"
        return _second(fixed=name == b"05", fraction_follows=fraction_follows)
    if name[:1] in b".,":
        return _fraction if name[1:2] == b"9" else _exact_fraction(len(name))
    zulu = name[:1] == b"Z" and len(name) < len(b"Z070000")
    return _offset(_OFFSETS[name[1:]], zulu=zulu)


def _skip(literal: bytes, text: bytes) -> bytes:
    """What is left of ``text`` behind the literal text of a layout."""
    while literal:
        if literal.startswith(b" "):
            if text and not text.startswith(b" "):
                raise NoMatch("no space")
            literal, text = literal.lstrip(b" "), text.lstrip(b" ")
        elif text[:1] == literal[:1]:
            literal, text = literal[1:], text[1:]
        else:
            raise NoMatch("other text")
    return text


def _take(text: bytes, least: int, most: int) -> tuple[int, bytes]:
    """A number of so many digits from the front of ``text``."""
    digits = 0
    while digits < most and text[digits : digits + 1].isdigit():
        digits += 1
    if digits < least:
        raise NoMatch("no number")
    return int(text[:digits]), text[digits:]


def _number(
    field: str, least: int, lowest: int, highest: int, *, spaces: int = 0, most: int = 2
) -> Reader:
    """A reader of a number into ``field``, which up to so many spaces may precede."""

    def read(fields: Fields, text: bytes) -> bytes:
        for _ in range(spaces):
            text = text.removeprefix(b" ")
        value, rest = _take(text, least, most)
        if not lowest <= value <= highest:
            raise NoMatch(f"{field} out of range")
        setattr(fields, field, value)
        return rest

    return read


def _short_year(fields: Fields, text: bytes) -> bytes:
    # A sign and one digit pass, too.
    if not re.match(rb"[0-9]{2}|[+-][0-9]", text):
        raise NoMatch("no year")
    year = int(text[:2])
    fields.year = year + (1900 if year >= 69 else 2000)  # noqa: PLR2004 - Unix time begins
    return text[2:]


def _word(words: tuple[bytes, ...], field: str = "", length: int | None = None) -> Reader:
    """A reader of one of ``words`` (or their first letters), in any case."""

    def read(fields: Fields, text: bytes) -> bytes:
        for number, word in enumerate(words, 1):
            wanted = word[:length].lower()
            if text[: len(wanted)].lower() == wanted:
                if field:
                    setattr(fields, field, number)
                return text[len(wanted) :]
        raise NoMatch("no such name")

    return read


def _half(morning: bytes, evening: bytes) -> Reader:
    def read(fields: Fields, text: bytes) -> bytes:
        if text[:2] not in (morning, evening):
            raise NoMatch("neither morning nor evening")
        fields.half = text[:2].upper()
        return text[2:]

    return read


def _second(*, fixed: bool, fraction_follows: bool) -> Reader:
    """A reader of seconds, and of a fraction that the layout does not mention."""
    whole = _number("second", 2 if fixed else 1, 0, 59)

    def read(fields: Fields, text: bytes) -> bytes:
        rest = whole(fields, text)
        fraction = None if fraction_follows else _FRACTION.match(rest)
        if fraction is None:
            return rest
        fields.nanosecond = _nanoseconds(fraction[1])
        return rest[fraction.end() :]

    return read


def _exact_fraction(length: int) -> Reader:
    """A reader of a fraction with as many digits as the layout has, ``length`` with the point."""

    def read(fields: Fields, text: bytes) -> bytes:
        fraction = _SIGNED_FRACTION.fullmatch(text[: min(length, 10)])
        if fraction is None or len(text) < length:
            raise NoMatch("no fraction")
        fields.nanosecond = _nanoseconds(fraction[1])
        return text[length:]

    return read


def _fraction(fields: Fields, text: bytes) -> bytes:
    """Reads a fraction of up to nine digits, if there is one."""
    fraction = _FRACTION.match(text[:10])
    if fraction is None:
        return text
    fields.nanosecond = _nanoseconds(fraction[1])
    return text[fraction.end() :]


def _nanoseconds(digits: bytes) -> int:
    significant = digits[:9]
    return int(significant + b"0" * (9 - len(significant)))


def _offset(spelling: re.Pattern[bytes], *, zulu: bool) -> Reader:
    """A reader of a zone's offset, or where the layout has it so, of a ``Z``."""

    def read(fields: Fields, text: bytes) -> bytes:
        if zulu and text.startswith(b"Z"):
            fields.zoned = True
            return text[1:]
        offset = spelling.match(text)
        if offset is None:
            raise NoMatch("no offset")
        fields.zoned = True
        return text[offset.end() :]

    return read


def _zone_name(fields: Fields, text: bytes) -> bytes:
    if text.startswith(b"UTC"):
        fields.zoned = True
        return text[3:]
    name = _ZONE_NAME.match(text)
    if name is None or len(text) < 3:  # noqa: PLR2004 - even where an offset stands for a name
        raise NoMatch("no zone")
    fields.zone_name = name[0]
    return text[name.end() :]


def _settle_date(fields: Fields) -> None:
    """Fills in month and day, and checks that there is such a day."""
    leap = isleap(fields.year)
    if fields.year_day >= 0:
        if not 1 <= fields.year_day <= 365 + leap:
            raise NoMatch("day of the year out of range")
        found = date(fields.year or CYCLE_YEARS, 1, 1) + timedelta(fields.year_day - 1)
        if fields.month not in (-1, found.month) or fields.day not in (-1, found.day):
            raise NoMatch("the day of the year is another than the day")
        fields.month, fields.day = found.month, found.day
        return
    fields.month = 1 if fields.month < 0 else fields.month
    fields.day = 1 if fields.day < 0 else fields.day
    try:
        date(fields.year or CYCLE_YEARS, fields.month, fields.day)
    except ValueError as error:
        raise NoMatch(str(error)) from None


_READERS: Final[dict[bytes, Reader]] = {
    b"2006": _number("year", 4, 0, 9999, most=4),
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
    b"__2": _number("year_day", 1, 0, 999, spaces=2, most=3),
    b"002": _number("year_day", 3, 0, 999, most=3),
    b"15": _number("hour", 1, 0, 23),
    b"3": _number("hour", 1, 0, 12),
    b"03": _number("hour", 2, 0, 12),
    b"4": _number("minute", 1, 0, 59),
    b"04": _number("minute", 2, 0, 59),
    b"PM": _half(b"AM", b"PM"),
    b"pm": _half(b"am", b"pm"),
    b"MST": _zone_name,
}
