"""Go's ``strconv.ParseInt`` (base 10), ``ParseFloat`` and ``FormatFloat`` (``f``, precision -1).

Python's ``int`` and ``float`` accept more (spaces, digits of all scripts, underscores in integers)
and less (hexadecimal floats), so the text is checked first. Unlike Go, :func:`parse_float` rejects
``inf`` and :func:`format_float` writes 0 for magnitudes below :data:`SMALLEST`, as the live
processor does.

Reference: https://github.com/golang/go/tree/go1.19/src/strconv (``atoi.go``, ``atof.go``,
``ftoa.go``).
"""

from __future__ import annotations

import math
import re
from typing import Final

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS: Final = 19  # of a 64-bit integer; int() rejects thousands of digits


def parse_integer(text: str, bits: int) -> int:
    """Parse an integer (``[+-]?[0-9]+``) of up to ``bits`` signed bits (at most 64).

    Raises:
        ValueError: It is not an integer, or is out of range.
    """
    if not _INTEGER.fullmatch(text):
        raise ValueError("not an integer")
    digits = text.lstrip("+-").lstrip("0")
    magnitude = int(digits or "0") if len(digits) <= _MAX_DIGITS else 1 << bits
    number = -magnitude if text[0] == "-" else magnitude
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ValueError(f"out of range for {bits} bits")
    return number


SMALLEST: Final = 1e-299
"""Smaller magnitudes are formatted as 0."""

# A single underscore is valid between digits, and between a base prefix and a digit.
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_HEX_DIGITS = "[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*"
_DECIMAL = re.compile(
    rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"
)
_HEXADECIMAL = re.compile(
    rf"[+-]?0[xX](?:_?{_HEX_DIGITS}(?:\.(?:{_HEX_DIGITS})?)?|\.{_HEX_DIGITS})[pP][+-]?{_DIGITS}"
)


def parse_float(text: str) -> float:
    """Return the nearest double; infinity if the number is too large.

    Raises:
        ValueError: ``text`` is not a number, or is ``inf``.
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
    """Return the shortest decimal that parses to ``number``, without an exponent."""
    if abs(number) < SMALLEST:
        return "0"
    shortest = repr(number)
    if shortest[-1] != "0" and "e" not in shortest:
        return shortest
    mantissa, _, exponent = shortest.partition("e")
    whole, _, fraction = mantissa.removesuffix(".0").partition(".")
    if not exponent:
        return f"{whole}.{fraction}" if fraction else whole
    sign = "-" if whole.startswith("-") else ""
    digits = whole.removeprefix("-") + fraction
    point = len(digits) - len(fraction) + int(exponent)
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + digits.ljust(point, "0")
