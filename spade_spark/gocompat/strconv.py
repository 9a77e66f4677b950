"""Decimal integers of so many bits, and nothing else that ``int()`` would take."""

from __future__ import annotations

import re
from typing import Final

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS: Final = 19  # of 64 bits; int() refuses thousands of digits altogether


def parse_integer(text: str, bits: int) -> int:
    """The integer that ``text`` spells (``[+-]?[0-9]+``), within so many signed bits (64 at most).

    Raises:
        ValueError: It spells none (spaces, underscores, digits of other scripts, a fraction), or
            one that is out of range.
    """
    if not _INTEGER.fullmatch(text):
        raise ValueError("no integer")
    digits = text.lstrip("+-").lstrip("0")
    magnitude = int(digits or "0") if len(digits) <= _MAX_DIGITS else 1 << bits
    number = -magnitude if text[0] == "-" else magnitude
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ValueError(f"out of the range of {bits} bits")
    return number
