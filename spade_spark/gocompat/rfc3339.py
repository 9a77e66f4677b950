"""Civil dates and Unix seconds, for the years 0 to 9999 (``datetime`` begins with year 1)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

CYCLE_YEARS: Final = 400
CYCLE_SECONDS: Final = 146_097 * 86_400
"""The calendar repeats itself after 400 years, weekdays and leap years alike."""

_EPOCH: Final = date(1970, 1, 1).toordinal()

# The hour may have one digit, seconds may be missing before a fraction, which may follow a comma,
# and an offset may be any two digits, or a sign and one: each is an accident of the reader that
# wrote the first rows.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d|(?=[.,]\d))(?:[.,]\d+)?"
    r"(?:Z|([+-])(\d\d|[+-]\d):(\d\d|[+-]\d))",
    re.ASCII,
)


def unix_seconds(day: tuple[int, int, int], clock: tuple[int, int, int]) -> int:
    """Seconds from 1970 to a UTC time.

    Args:
        day: Year, month and day.
        clock: Hour, minute and second.

    Raises:
        ValueError: There is no such day.
    """
    year, month, day_of_month = day
    hour, minute, second = clock
    cycles = 0 if year else 1
    days = date(year + cycles * CYCLE_YEARS, month, day_of_month).toordinal() - _EPOCH
    return days * 86_400 + hour * 3600 + minute * 60 + second - cycles * CYCLE_SECONDS


def rfc3339_seconds(text: str) -> int:
    """The whole Unix seconds of an RFC 3339 time; before 1970 they round down.

    Raises:
        ValueError: It is no such time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"no RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = (int(digits or "0") for digits in match.groups()[:6])
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - a clock's
        raise ValueError(f"no such time of day: {text!r}")
    seconds = unix_seconds((year, month, day), (hour, minute, second))
    sign, hours, minutes = match.groups()[6:]
    if sign is None:
        return seconds
    offset = int(hours) * 3600 + int(minutes) * 60
    return seconds - offset if sign == "+" else seconds + offset
