"""Convert properties of any type to the texts of columns, for generated code.

A text is escaped as in a row, without the surrounding quotes. :data:`MISSING` is the text of a
column that cannot be filled.
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
"""Separates two values of a row. Rows are built without their first and last quote."""

MISSING: Final = "\0"
"""The text of a column that cannot be filled. No finished row contains this character."""

MISSING_FLOAT: Final = math.nan
"""The default of a missing float. JSON cannot encode NaN."""

MISSING_TIME: Final = 2.0**62
"""The default of a missing time. Compare it by identity, because a client may send this number. It
is out of the range of a timestamp and has no fraction, so it needs no branch in time arithmetic."""

BOOLEANS: Final = {True: "true", False: "false", MISSING: MISSING}
"""The texts of a ``bool`` column."""

FRACTIONS: Final = tuple(
    f".{thousandths:03}".rstrip("0").rstrip(".") for thousandths in range(1000)
)
"""The texts of the milliseconds 0 to 999 in a timestamp."""

_encode: Final = msgspec.json.Encoder().encode
_INT64_END: Final = 2**63


class TextCache(Protocol):
    """A cache of texts."""

    def __getitem__(self, key: Any, /) -> str: ...


def text_or_missing(convert: Converter, value: Any, *supporting: str) -> str:
    """Return the text of a column, or :data:`MISSING` if the conversion fails."""
    if value is MISSING or MISSING in supporting:
        return MISSING
    try:
        return escaped(convert(value, supporting))
    except ConversionError:
        return MISSING


def float_text(number: float) -> str:
    """Return the text of a ``float`` column."""
    return MISSING if number is MISSING_TIME or math.isnan(number) else format_float(number)


def float_texts(numbers: list[float]) -> list[str]:
    """Return the texts of many floats; takes a quarter of the time of :func:`float_text`.

    JSON has the same shortest digits. It differs only in exponents and negative zeros.
    """
    encoded = _encode(numbers)
    if b"e" in encoded or b"-0.0" in encoded:
        return [float_text(number) for number in numbers]
    texts = f"{encoded[1:-1].decode()},".replace(".0,", ",").replace("null", MISSING).split(",")
    texts.pop()
    return texts


def is_plain(text: str) -> bool:
    """Return whether the ASCII characters of ``text`` need no escape, or it is :data:`MISSING`."""
    return '"' not in text and "\\" not in text and (text.isprintable() or text == MISSING)


def escaped(text: str) -> str:
    """Escape ``text`` unless it is :data:`MISSING`; fast if there is nothing to escape."""
    return text if text.isascii() and is_plain(text) else escape(text)


def coerce_string(value: Any) -> str:
    """Return ``value`` if it is a string, else :data:`MISSING`."""
    return value if type(value) is str else MISSING


def coerce_text(cache: TextCache, value: Any) -> str:
    """Return the text of a column that accepts strings."""
    text: str = cache[coerce_string(value)]
    return text


_BOOLEANS: Final = {b"true": "true", b"false": "false", b"1": "true", b"0": "false"}


def coerce_bool(value: Any) -> str:
    """Return the text of a ``bool`` column from raw JSON."""
    return MISSING if value is MISSING else _BOOLEANS.get(bytes(value), MISSING)


def coerce_number(convert: Converter, value: Any, *supporting: str) -> str:
    """Return the text of a column that accepts numbers and perhaps strings.

    The converter receives the shortest text of a number, not the one sent.
    """
    value_type = type(value)
    if value_type is int or value_type is float:
        return text_or_missing(convert, Number(repr(value)), *supporting)
    return text_or_missing(convert, value, *supporting) if value_type is str else MISSING


def coerce_integer(convert: Converter, safe_digits: int, value: Any, *supporting: str) -> str:
    """Return the text of a column that accepts integers.

    Args:
        convert: The converter of the column.
        safe_digits: Every integer of this many decimal digits fits the column.
        value: The property.
        supporting: The supporting properties.
    """
    if type(value) is str and value.isdigit() and value.isascii():
        if len(value) <= safe_digits and value[0] != "0":
            return value
    elif value is MISSING or value is None:
        return MISSING
    return coerce_number(convert, value, *supporting)


def coerce_float(convert: Converter, value: Any) -> str:
    """Return the text of a ``float`` column."""
    return format_float(value) if type(value) is float else coerce_number(convert, value)


def coerce_time(clock: TextCache, value: Any) -> str:
    """Return the text of a timestamp column from Unix seconds."""
    if type(value) is not float and type(value) is not int:
        return MISSING
    second = int(value)
    if not EARLIEST <= second <= LATEST:
        return MISSING
    return f"{clock[second]}{FRACTIONS[int((value - second) * 1e3)]}"


def coerce_user_id(convert: Converter, user_ids: TextCache, value: Any, login: Any) -> str:
    """Return the text of a ``userIDWithMapping`` column; ``user_ids`` caches ids by login."""
    if type(value) is int and -_INT64_END <= value < _INT64_END:
        return f"{value}"
    text = coerce_integer(convert, SAFE_DIGITS_64, value, "") if type(value) is str else MISSING
    return text if text is not MISSING else coerce_text(user_ids, login)
