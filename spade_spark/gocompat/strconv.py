"""Numbers as Go's ``strconv`` reads and prints them.

``int()`` and ``float()`` accept more than Go does (spaces, digits of all scripts) and less
(hexadecimal floats), so the text is checked first.
"""

from __future__ import annotations

import math
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


SMALLEST: Final = 1e-299
"""Magnitudes below this print as 0."""


# A single underscore may stand between digits, and between a base prefix and a digit.
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_HEX_DIGITS = "[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*"
_DECIMAL = re.compile(
    rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"
)


_HEXADECIMAL = re.compile(
    rf"[+-]?0[xX](?:_?{_HEX_DIGITS}(?:\.(?:{_HEX_DIGITS})?)?|\.{_HEX_DIGITS})[pP][+-]?{_DIGITS}"
)


def parse_float(text: str) -> float:
    """The double nearest to what ``text`` spells; infinite where that is too large.

    Raises:
        ValueError: ``text`` is not a number, or is infinity.
    """
    if _DECIMAL.fullmatch(text):
        return float(text.replace("_", ""))
    if text.lower() == "nan":
        return math.nan
    if not _HEXADECIMAL.fullmatch(text):
        raise ValueError("not a number")
    try:
        return float.fromhex(text.replace("_", ""))
    except OverflowError:
        return math.inf


def format_float(number: float) -> str:
    """The shortest decimal that reads back as ``number``, written out without an exponent."""
    if abs(number) < SMALLEST:
        return "0"
    spelling = repr(number)
    if spelling[-1] != "0" and "e" not in spelling:
        return spelling
    mantissa, _, exponent = spelling.partition("e")
    whole, _, fraction = mantissa.removesuffix(".0").partition(".")
    if not exponent:
        return f"{whole}.{fraction}" if fraction else whole
    sign = "-" if whole.startswith("-") else ""
    digits = whole.removeprefix("-") + fraction
    point = len(digits) - len(fraction) + int(exponent)
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + digits.ljust(point, "0")
