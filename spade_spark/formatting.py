"""Format counts, sizes and durations for messages and reports."""

from __future__ import annotations

from datetime import timedelta

_TIME_UNITS = {"days": 86_400, "h": 3600, "min": 60}


def pluralize(number: int, noun: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_size(size: float) -> str:
    """Format a number of bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_age(age: timedelta) -> str:
    """``12 s``, ``43 min``, ``5 h``, ``3 days``."""
    seconds = int(age.total_seconds())
    for unit, size in _TIME_UNITS.items():
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
