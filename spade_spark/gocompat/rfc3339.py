"""Go's ``time.Parse(time.RFC3339, …)`` and ``Time.Unix``, for the years 0 to 9999.

Go 1.19 accepts more than RFC 3339: an hour of one digit, a fraction without seconds, a comma before
the fraction, and offsets of any two digits or of a sign and a digit. Python's
``datetime.fromisoformat`` differs, and does not accept the year 0.

Reference: https://github.com/golang/go/blob/go1.19/src/time/format.go (``Parse``).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

CYCLE_YEARS: Final = 400
CYCLE_SECONDS: Final = 146_097 * 86_400
"""The calendar repeats after 400 years, including weekdays and leap years."""

_EPOCH: Final = date(1970, 1, 1).toordinal()

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d|(?=[.,]\d))(?:[.,]\d+)?"
    r"(?:Z|([+-])(\d\d|[+-]\d):(\d\d|[+-]\d))",
    re.ASCII,
)


def unix_seconds(day: tuple[int, int, int], clock: tuple[int, int, int]) -> int:
    """Return the Unix seconds of a UTC time.

    Args:
        day: Year, month and day.
        clock: Hour, minute and second.

    Raises:
        ValueError: The day does not exist.
    """
    year, month, day_of_month = day
    hour, minute, second = clock
    cycles = 0 if year else 1
    days = date(year + cycles * CYCLE_YEARS, month, day_of_month).toordinal() - _EPOCH
    return days * 86_400 + hour * 3600 + minute * 60 + second - cycles * CYCLE_SECONDS


def rfc3339_seconds(text: str) -> int:
    """Return the Unix seconds of an RFC 3339 time, rounded down.

    Raises:
        ValueError: It is not a valid time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = (int(digits or "0") for digits in match.groups()[:6])
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - limits of a clock
        raise ValueError(f"time of day out of range: {text!r}")
    seconds = unix_seconds((year, month, day), (hour, minute, second))
    sign, hours, minutes = match.groups()[6:]
    if sign is None:
        return seconds
    offset = int(hours) * 3600 + int(minutes) * 60
    return seconds - offset if sign == "+" else seconds + offset
