"""Durations as Go writes them, which is how Blueprint publishes them."""

from __future__ import annotations

import re
from typing import Final

# Go, time.ParseDuration: a sign, then decimal numbers with a unit each, or a bare 0.
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)", re.ASCII)
_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,  # U+03BC, the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_MOST_SECONDS: Final = 2**63 / 1e9  # what a count of nanoseconds in 64 bits can hold


def parse_duration(text: str) -> float:
    """The seconds of a duration such as ``1s``, ``300ms``, ``1h15m30.5s`` or ``0``.

    Raises:
        ValueError: It is no duration of Go's.
    """
    if not _WHOLE.fullmatch(text):
        msg = f'{text!r} is no duration: write one such as "1s" or "300ms"'
        raise ValueError(msg)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds >= _MOST_SECONDS:
        msg = f"{text!r} is too long a duration"
        raise ValueError(msg)
    return -seconds if text.startswith("-") else seconds
