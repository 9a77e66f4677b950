"""The elements of a time's layout, each a reader of what stands in its place in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# The first alternative that matches at the leftmost place is the element that Go finds there.
ELEMENT = re.compile(
    rb"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm"
    rb"|[-Z]07(?:0000|:00:00|00|:00)?|[.,](?:0+|9+)(?![0-9])"
)
_MONTHS: Final = tuple(
    b"January February March April May June July August September October November December".split()
)
_WEEKDAYS: Final = tuple(b"Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
_FRACTION = re.compile(rb"[.,]([0-9]+)")
_SIGNED_FRACTION = re.compile(rb"[.,]([+]?[0-9]*|-0*)")  # as long as the layout's, at least
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


class TimeParseError(ValueError):
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
    morning: bool = False
    evening: bool = False
    zoned: bool = False
    """Whether the text gives its offset, so that its wall clock is its own."""
    zone_name: bytes = b""


Reader = Callable[[Fields, bytes], bytes]
"""Takes an element from the front of a text into the fields and gives the rest."""


def reader_of(name: bytes, following: bytes) -> Reader:
    """The reader of the element ``name``, behind which the layout says ``following``."""
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


def _take(text: bytes, least: int, most: int) -> tuple[int, bytes]:
    """A number of so many digits from the front of ``text``."""
    digits = 0
    while digits < most and text[digits : digits + 1].isdigit():
        digits += 1
    if digits < least:
        raise TimeParseError("no number")
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
            raise TimeParseError(f"{field} out of range")
        setattr(fields, field, value)
        return rest

    return read


def _short_year(fields: Fields, text: bytes) -> bytes:
    # A sign and one digit pass, too.
    if not re.match(rb"[0-9]{2}|[+-][0-9]", text):
        raise TimeParseError("no year")
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
        raise TimeParseError("no such name")

    return read


def _half(morning: bytes, evening: bytes) -> Reader:
    def read(fields: Fields, text: bytes) -> bytes:
        if text[:2] not in (morning, evening):
            raise TimeParseError("neither morning nor evening")
        fields.morning |= text[:2] == morning
        fields.evening |= text[:2] == evening
        return text[2:]

    return read


def _second(*, fixed: bool, fraction_follows: bool) -> Reader:
    """A reader of seconds, and of a fraction that the layout does not mention.

    Before such a fraction the seconds may be missing, an accident of history.
    """
    whole = _number("second", 2 if fixed else 1, 0, 59)

    def read(fields: Fields, text: bytes) -> bytes:
        if fraction_follows:
            return whole(fields, text)
        fields.second = 0
        rest = text if _FRACTION.match(text) else whole(fields, text)
        return _fraction(fields, rest, most=None)

    return read


def _exact_fraction(length: int) -> Reader:
    """A reader of a fraction with as many digits as the layout has, ``length`` with the point."""

    def read(fields: Fields, text: bytes) -> bytes:
        fraction = _SIGNED_FRACTION.fullmatch(text[: min(length, 10)])
        if fraction is None or len(text) < length:
            raise TimeParseError("no fraction")
        fields.nanosecond = _nanoseconds(fraction[1])
        return text[length:]

    return read


def _fraction(fields: Fields, text: bytes, most: int | None = 9) -> bytes:
    """Reads a fraction of up to ``most`` digits, if there is one."""
    fraction = _FRACTION.match(text if most is None else text[: most + 1])
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
            raise TimeParseError("no offset")
        fields.zoned = True
        return text[offset.end() :]

    return read


def _zone_name(fields: Fields, text: bytes) -> bytes:
    if text.startswith(b"UTC"):
        fields.zoned = True
        return text[3:]
    name = _ZONE_NAME.match(text)
    if name is None or len(text) < 3:  # noqa: PLR2004 - even where an offset stands for a name
        raise TimeParseError("no zone")
    fields.zone_name = name[0]
    return text[name.end() :]


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
