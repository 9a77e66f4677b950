"""From what was sent to the text of a column, whatever was sent: what generated code calls.

Texts are escaped as in a row, without the quotes around them. :data:`MISSING` stands for a column
that cannot be filled.
"""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

import msgspec

from spade_spark.gocompat.json import Number
from spade_spark.gocompat.quote import escape
from spade_spark.gocompat.strconv import format_float
from spade_spark.transform.transformers.base import ConversionError, Converter
from spade_spark.transform.transformers.numbers import SAFE_DIGITS_64
from spade_spark.transform.transformers.timestamps import EARLIEST, LATEST

SEPARATOR: Final = '"\t"'
"""What stands between two values of a row. Rows are made without their first and last quote."""

MISSING: Final = "\0"
"""Stands for a column that could not be filled; no finished row has this character."""

MISSING_FLOAT: Final = math.nan
"""Stands for a property that was not sent where a float is due. JSON cannot spell it."""

MISSING_TIME: Final = 2.0**62
"""The same where the float is a time; told from that number by identity. It is no time, and has no
fraction, so that it goes through the arithmetic of times."""

BOOLEANS: Final = {True: "true", False: "false", MISSING: MISSING}
"""Texts of a ``bool`` column."""

FRACTIONS: Final = tuple(
    f".{thousandths:03}".rstrip("0").rstrip(".") for thousandths in range(1000)
)
"""Thousandths of a second as a time shows them."""

_encode: Final = msgspec.json.Encoder().encode
_INT64_END: Final = 2**63


class Remembered(Protocol):
    """A memo of texts."""

    def __getitem__(self, key: Any, /) -> str: ...


def text_or_missing(convert: Converter, value: Any, *supporting: str) -> str:
    """The escaped text of a column; :data:`MISSING` where it cannot be filled."""
    if value is MISSING or MISSING in supporting:
        return MISSING
    try:
        return escaped(convert(value, supporting))
    except ConversionError:
        return MISSING


def float_text(number: float) -> str:
    """A float as its column shows it."""
    return MISSING if number is MISSING_TIME or math.isnan(number) else format_float(number)


def float_texts(numbers: list[float]) -> list[str]:
    """As :func:`float_text`, of many at once, in a fourth of the time.

    JSON spells a double by the same shortest digits. Only where it does so with an exponent, or
    spells a negative zero, a column shows another text.
    """
    encoded = _encode(numbers)
    if b"e" in encoded or b"-0.0" in encoded:
        return [float_text(number) for number in numbers]
    texts = f"{encoded[1:-1].decode()},".replace(".0,", ",").replace("null", MISSING).split(",")
    texts.pop()
    return texts


def is_plain(text: str) -> bool:
    """Whether nothing is to be escaped in ``text`` but what is not ASCII, or whether it is missing.

    Quicker than to escape it.
    """
    return '"' not in text and "\\" not in text and (text.isprintable() or text == MISSING)


def escaped(text: str) -> str:
    """As :func:`~spade_spark.gocompat.quote.escape`, quicker where nothing is to be done.

    Leaves :data:`MISSING` as it is.
    """
    return text if text.isascii() and is_plain(text) else escape(text)


def coerce_string(value: Any) -> str:
    """What was sent if it is a string, else :data:`MISSING`."""
    return value if type(value) is str else MISSING


def coerce_text(memo: Remembered, value: Any) -> str:
    """The text of a column that takes a string, whatever was sent."""
    text: str = memo[coerce_string(value)]
    return text


_BOOLEANS: Final = {b"true": "true", b"false": "false", b"1": "true", b"0": "false"}


def coerce_bool(value: Any) -> str:
    """The text of a ``bool`` column from what was sent as it was spelt."""
    return MISSING if value is MISSING else _BOOLEANS.get(bytes(value), MISSING)


def coerce_number(convert: Converter, value: Any, *supporting: str) -> str:
    """The text of a column that takes numbers and perhaps strings, whatever was sent.

    A float may have been spelt in many ways; its converter is given the shortest.
    """
    kind = type(value)
    if kind is int or kind is float:
        return text_or_missing(convert, Number(repr(value)), *supporting)
    return text_or_missing(convert, value, *supporting) if kind is str else MISSING


def coerce_integer(convert: Converter, sure_digits: int, value: Any, *supporting: str) -> str:
    """The text of a column that takes integers, whatever was sent.

    Args:
        convert: The column's converter.
        sure_digits: How many decimal digits it has room for, whichever they are.
        value: What was sent.
        supporting: What the converter is given besides.
    """
    if type(value) is str and value.isdigit() and value.isascii():
        if len(value) <= sure_digits and value[0] != "0":
            return value
    elif value is MISSING or value is None:
        return MISSING
    return coerce_number(convert, value, *supporting)


def coerce_float(convert: Converter, value: Any) -> str:
    """The text of a ``float`` column, whatever was sent."""
    return format_float(value) if type(value) is float else coerce_number(convert, value)


def coerce_time(clock: Remembered, value: Any) -> str:
    """The text of a column of Unix seconds, whatever was sent."""
    if type(value) is not float and type(value) is not int:
        return MISSING
    second = int(value)
    if not EARLIEST <= second <= LATEST:
        return MISSING
    return f"{clock[second]}{FRACTIONS[int((value - second) * 1e3)]}"


def coerce_user_id(convert: Converter, logins: Remembered, value: Any, login: Any) -> str:
    """The text of a ``userIDWithMapping`` column, whatever was sent."""
    if type(value) is int and -_INT64_END <= value < _INT64_END:
        return f"{value}"
    sent = coerce_integer(convert, SAFE_DIGITS_64, value, "") if type(value) is str else MISSING
    return sent if sent is not MISSING else coerce_text(logins, login)
