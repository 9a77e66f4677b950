"""Go's ``time.Parse`` with any layout; Blueprint's layouts are Go layouts.

A layout is the reference time Mon Jan 2 15:04:05 MST 2006 in some format. It consists of literal
text and elements (see :mod:`~spade_spark.gocompat.time_layout_fields`). Spaces in the literal text
match one or more spaces, or the end of the text. Other literal text must match exactly.

Python's ``strptime`` has other directives and other rules. As in Go, layout and text are parsed as
bytes.

Reference: https://github.com/golang/go/blob/go1.19/src/time/format.go (``Parse``,
``nextStdChunk``).
"""

from __future__ import annotations

from calendar import isleap
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from spade_spark.gocompat.rfc3339 import CYCLE_YEARS
from spade_spark.gocompat.time_layout_fields import (
    ELEMENT,
    Fields,
    Reader,
    TimeParseError,
    reader_of,
)

_NOON: Final = 12


@dataclass(frozen=True, slots=True)
class TimeLayout:
    """A parsed layout.

    Attributes:
        steps: The literal text before each element, and the reader of the element.
        tail: The literal text after the last element.
    """

    steps: tuple[tuple[bytes, Reader], ...]
    tail: bytes

    @classmethod
    def parse(cls, layout: str) -> TimeLayout:
        """Parse a layout; any text is valid."""
        rest = layout.encode("utf-8", "replace")
        steps = []
        while element := ELEMENT.search(rest):
            literal, name, rest = rest[: element.start()], element[0], rest[element.end() :]
            steps.append((literal, reader_of(name, rest)))
        return cls(tuple(steps), rest)

    def read(self, text: str) -> Fields:
        """Parse a time; month and day default to 1.

        Raises:
            TimeParseError: ``text`` does not match the layout.
        """
        rest = text.encode("utf-8", "replace")
        fields = Fields()
        for literal, reader in self.steps:
            rest = reader(fields, _skip(literal, rest))
        if _skip(self.tail, rest):
            raise TimeParseError("extra text")
        if fields.pm and fields.hour < _NOON:
            fields.hour += _NOON
        elif fields.am and fields.hour == _NOON:
            fields.hour = 0
        _complete_date(fields)
        return fields


def _skip(literal: bytes, text: bytes) -> bytes:
    """Match the literal text of a layout and return the rest of ``text``."""
    while literal:
        if literal.startswith(b" "):
            if text and not text.startswith(b" "):
                raise TimeParseError("no space where the layout has one")
            literal, text = literal.lstrip(b" "), text.lstrip(b" ")
        elif text[:1] == literal[:1]:
            literal, text = literal[1:], text[1:]
        else:
            raise TimeParseError("text differs from the layout")
    return text


def _complete_date(fields: Fields) -> None:
    """Set a missing month and day, and check that the day exists."""
    leap = isleap(fields.year)
    if fields.year_day >= 0:
        if not 1 <= fields.year_day <= 365 + leap:
            raise TimeParseError("day of the year out of range")
        day = date(fields.year or CYCLE_YEARS, 1, 1) + timedelta(fields.year_day - 1)
        if fields.month not in (-1, day.month) or fields.day not in (-1, day.day):
            raise TimeParseError("the day of the year does not match the date")
        fields.month, fields.day = day.month, day.day
        return
    fields.month = 1 if fields.month < 0 else fields.month
    fields.day = 1 if fields.day < 0 else fields.day
    try:
        date(fields.year or CYCLE_YEARS, fields.month, fields.day)
    except ValueError as error:
        raise TimeParseError(str(error)) from None
