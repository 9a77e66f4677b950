"""Go's ``time.ParseDuration``, the format of durations in Blueprint.

Unlike Go, this returns seconds as a float, not nanoseconds as an integer.

Reference: https://github.com/golang/go/blob/go1.19/src/time/format.go (``ParseDuration``).
"""

from __future__ import annotations

import re
from typing import Final

# An optional sign, then decimal numbers with a unit each, or a bare 0.
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION: Final = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)", re.ASCII)
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
_MAX_SECONDS: Final = 2**63 / 1e9  # the maximum of 64-bit nanoseconds


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``1s``, ``300ms``, ``1h15m30.5s`` or ``0``.

    Raises:
        ValueError: It is not a duration, or is too long.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f'{text!r} is not a duration: write one such as "1s" or "300ms"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds >= _MAX_SECONDS:
        raise ValueError(f"{text!r} is too long for a duration")
    return -seconds if text.startswith("-") else seconds
