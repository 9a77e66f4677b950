"""The transformers ``int``, ``bigint`` and ``float``."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

from spade_spark.gocompat.json import Number, Value
from spade_spark.gocompat.strconv import format_float, parse_float, parse_integer
from spade_spark.lookups.base import Lookups
from spade_spark.transform.transformers.base import (
    ArrowType,
    ConversionError,
    Converter,
    FieldType,
    Inference,
    TransformerSpec,
    ValueCodegen,
    ValueKind,
    constant,
)

INT_BITS: Final = 32
BIGINT_BITS: Final = 64
SAFE_DIGITS_32: Final = 9
SAFE_DIGITS_64: Final = 18
"""Every integer of this many decimal digits fits 32 or 64 bits."""


def integer(value: Value, bits: int = BIGINT_BITS) -> int:
    """Return the integer of a number or string, within ``bits`` signed bits.

    Raises:
        ConversionError: It is not an integer, or is out of range.
    """
    digits = value.text if isinstance(value, Number) else value
    if not isinstance(digits, str):
        raise ConversionError("neither number nor string")
    try:
        return parse_integer(digits, bits)
    except ValueError as error:
        raise ConversionError(str(error)) from None


def to_integer(bits: int) -> Converter:
    """Return the converter of ``int`` (32 bits) or ``bigint`` (64 bits)."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return str(integer(value, bits))

    return convert


def to_float(value: Value, _: tuple[Value, ...]) -> str:
    """Convert to a ``float``; NaN becomes the empty text."""
    if isinstance(value, Number):
        number = float(value.text)
    elif isinstance(value, str):
        number = _parse(value)
    else:
        raise ConversionError("neither number nor string")
    if math.isinf(number):
        raise ConversionError("infinite")
    return "" if math.isnan(number) else format_float(number)


def _parse(text: str) -> float:
    try:
        return parse_float(text)
    except ValueError as error:
        raise ConversionError(str(error)) from None


def _integer_converter(bits: int, _lookups: Lookups, _parameter: str) -> Converter:
    return to_integer(bits)


def _integer_codegen(field: FieldType, bits: int, digits: int, server_time: str) -> ValueCodegen:
    end = 2 ** (bits - 1)
    return ValueCodegen(
        field,
        typed="f'{{{value}}}'",
        any_type=(
            f"f'{{{{x}}}}' if type(x := {{value}}) is int and {-end} <= x < {end}"
            f" else coerce_integer({{convert}}, {digits}, x)"
        ),
        server_time=server_time,
    )


_NUMBERS: Final = (ValueKind.INT, ValueKind.BIGINT, ValueKind.FLOAT, ValueKind.HUGE)
_INT: Final = (ValueKind.INT, ValueKind.INT_TEXT)
_BIGINT: Final = (*_INT, ValueKind.BIGINT, ValueKind.BIGINT_TEXT)
_FLOAT: Final = (*_BIGINT, ValueKind.FLOAT, ValueKind.FLOAT_TEXT)

SPECS: Final = (
    TransformerSpec(
        name="int",
        converter=partial(_integer_converter, INT_BITS),
        accepted_sql_types=r"integer|bigint|numeric.*",
        sql_type="INTEGER",
        arrow_type=ArrowType.INT32,
        codegen=_integer_codegen(FieldType.INT32, INT_BITS, SAFE_DIGITS_32, "text32"),
        inference=Inference(kinds=_INT, requires=_NUMBERS),
        examples=("0", "-7", "2147483647", "-2147483648", '"42"'),
    ),
    TransformerSpec(
        name="bigint",
        converter=partial(_integer_converter, BIGINT_BITS),
        accepted_sql_types=r"bigint|numeric.*",
        sql_type="BIGINT",
        arrow_type=ArrowType.INT64,
        codegen=_integer_codegen(FieldType.INT64, BIGINT_BITS, SAFE_DIGITS_64, "text"),
        inference=Inference(kinds=_BIGINT, requires=_NUMBERS),
        examples=("0", "9223372036854775807", "-9223372036854775808", '"42"'),
    ),
    TransformerSpec(
        name="float",
        converter=constant(to_float),
        accepted_sql_types=r"double precision|real|numeric.*",
        sql_type="DOUBLE PRECISION",
        arrow_type=ArrowType.DOUBLE,
        codegen=ValueCodegen(
            FieldType.FLOAT,
            typed="float_text({value})",
            any_type="coerce_float({convert}, {value})",
            batch="float_texts([{value} for p in properties])",
            as_time=True,
            server_time="text",
        ),
        inference=Inference(kinds=_FLOAT, requires=_NUMBERS),
        examples=("0.5", "-7", "1e22", '"0x1p4"'),
    ),
)
