"""Times in a layout that is written with the reference date, Mon Jan 2 15:04:05 MST 2006.

The rules are those of Go's ``time.Parse`` (version 1.19, ``src/time/format.go``), which is what
Blueprint's layouts were written for: ``strptime`` has other directives, and accepts and refuses
other texts. Both sides are bytes here, as they are there.

A layout is literal text with elements in it (see
:mod:`~spade_spark.gocompat.time_layout_fields`). A run of spaces in the literal text takes any
number of spaces, none at the text's end; all else must occur as it is.
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
    """A layout, read once.

    Attributes:
        steps: Each element's reader with the literal text before it.
        tail: The literal text behind the last element.
    """

    steps: tuple[tuple[bytes, Reader], ...]
    tail: bytes

    @classmethod
    def parse(cls, layout: str) -> TimeLayout:
        """Reads a layout; any text is one."""
        rest = layout.encode("utf-8", "replace")
        steps = []
        while element := ELEMENT.search(rest):
            literal, name, rest = rest[: element.start()], element[0], rest[element.end() :]
            steps.append((literal, reader_of(name, rest)))
        return cls(tuple(steps), rest)

    def read(self, text: str) -> Fields:
        """The time that ``text`` is in this layout, month and day filled in.

        Raises:
            TimeParseError: It is none.
        """
        rest = text.encode("utf-8", "replace")
        fields = Fields()
        for literal, reader in self.steps:
            rest = reader(fields, _skip(literal, rest))
        if _skip(self.tail, rest):
            raise TimeParseError("extra text")
        if fields.evening and fields.hour < _NOON:
            fields.hour += _NOON
        elif fields.morning and fields.hour == _NOON:
            fields.hour = 0
        _settle_date(fields)
        return fields


def _skip(literal: bytes, text: bytes) -> bytes:
    """What is left of ``text`` behind the literal text of a layout."""
    while literal:
        if literal.startswith(b" "):
            if text and not text.startswith(b" "):
                raise TimeParseError("no space")
            literal, text = literal.lstrip(b" "), text.lstrip(b" ")
        elif text[:1] == literal[:1]:
            literal, text = literal[1:], text[1:]
        else:
            raise TimeParseError("other text")
    return text


def _settle_date(fields: Fields) -> None:
    """Fills in month and day, and checks that there is such a day."""
    leap = isleap(fields.year)
    if fields.year_day >= 0:
        if not 1 <= fields.year_day <= 365 + leap:
            raise TimeParseError("day of the year out of range")
        found = date(fields.year or CYCLE_YEARS, 1, 1) + timedelta(fields.year_day - 1)
        if fields.month not in (-1, found.month) or fields.day not in (-1, found.day):
            raise TimeParseError("the day of the year is another than the day")
        fields.month, fields.day = found.month, found.day
        return
    fields.month = 1 if fields.month < 0 else fields.month
    fields.day = 1 if fields.day < 0 else fields.day
    try:
        date(fields.year or CYCLE_YEARS, fields.month, fields.day)
    except ValueError as error:
        raise TimeParseError(str(error)) from None
