"""`int`, `bigint` and `float`."""

from __future__ import annotations

import math
import string
import struct
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spade_spark.gocompat.json import JsonContainer, Number
from spade_spark.gocompat.strconv import SMALLEST, format_float, parse_float
from spade_spark.transform.transformers.base import ConversionError
from spade_spark.transform.transformers.numbers import to_float, to_integer

INT, BIGINT = to_integer(32), to_integer(64)
DOUBLES = st.integers(0, 2**64 - 1).map(
    lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]
)


def converted(convert, value):
    try:
        return convert(value, ())
    except ConversionError:
        return None


@pytest.mark.parametrize("encode", [Number, str], ids=["number", "string"])
@pytest.mark.parametrize(
    ("sent", "int_text", "bigint_text"),
    [
        ("0", "0", "0"),
        ("-0", "0", "0"),
        ("2147483647", "2147483647", "2147483647"),
        ("2147483648", None, "2147483648"),
        ("-2147483648", "-2147483648", "-2147483648"),
        ("-2147483649", None, "-2147483649"),
        ("9223372036854775807", None, "9223372036854775807"),
        ("9223372036854775808", None, None),
        ("-9223372036854775808", None, "-9223372036854775808"),
        ("-9223372036854775809", None, None),
        ("9" * 5000, None, None),
        ("1.0", None, None),
        ("1e0", None, None),
    ],
)
def test_integers_from_numbers_and_strings(encode, sent, int_text, bigint_text):
    assert converted(INT, encode(sent)) == int_text
    assert converted(BIGINT, encode(sent)) == bigint_text


@pytest.mark.parametrize(
    ("sent", "integer"),
    [
        ("+5", "5"),
        ("007", "7"),
        ("-" + "0" * 5000 + "7", "-7"),
        ("", None),
        ("-", None),
        ("+-1", None),
        (" 5", None),
        ("5\n", None),
        ("1_000", None),
        ("0x10", None),
        ("\uff15", None),
        ("\u00b2", None),
    ],
)
def test_integers_from_strings_only(sent, integer):
    assert converted(BIGINT, sent) == integer


@pytest.mark.parametrize("convert", [INT, BIGINT, to_float])
@pytest.mark.parametrize("value", [None, True, False, JsonContainer.ARRAY, JsonContainer.OBJECT])
def test_other_types_are_not_numbers(convert, value):
    assert converted(convert, value) is None


@given(st.text(string.digits + "+-_ .eE\u0661\n", max_size=25))
def test_a_string_is_an_integer_if_it_has_only_a_sign_and_digits(sent):
    digits = sent[1:] if sent[:1] in ("+", "-") else sent
    valid = digits != "" and set(digits) <= set(string.digits)
    expected = int(sent) if valid else None
    if expected is not None and not -(2**63) <= expected < 2**63:
        expected = None
    assert converted(BIGINT, sent) == (None if expected is None else str(expected))


def test_a_long_string_of_zeros_is_rejected_in_linear_time():
    assert converted(BIGINT, "0" * 200_000 + "x") is None
    assert converted(to_float, "0" * 200_000 + "x") is None
    assert converted(to_float, "0_" * 200_000) is None


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("1.50", "1.5"),
        ("42.0", "42"),
        ("-0.0", "0"),
        ("1e21", "1000000000000000000000"),
        ("1e-7", "0.0000001"),
        ("-1.5e-5", "-0.000015"),
        ("9223372036854775807", "9223372036854775807".replace("5807", "6000")),
        ("1e400", None),
        ("-1e400", None),
        ("1e-400", "0"),
        ("9.99e-300", "0"),
        ("-9.99e-300", "0"),
    ],
)
def test_floats_from_numbers_and_strings(sent, text):
    assert converted(to_float, Number(sent)) == text
    assert converted(to_float, sent) == text


def test_the_smallest_magnitude_that_is_not_zero():
    assert converted(to_float, Number("1e-299")) == "0." + "0" * 298 + "1"
    assert converted(to_float, Number("-1e-299")) == "-0." + "0" * 298 + "1"


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (".5", 0.5),
        ("5.", 5),
        ("+5", 5),
        ("1_0.0_1", 10.01),
        ("1e1_0", 1e10),
        ("0x1p-2", 0.25),
        ("0X.8P1", 1),
        ("-0x_1_0.p0", -16),
        ("0x1p1024", math.inf),
        ("0x1p-2000", 0),
        ("0x0p99999999999999999999", 0),
        ("1e99999999999999999999", math.inf),
    ],
)
def test_floats_from_strings_only(sent, number):
    assert parse_float(sent) == number


@pytest.mark.parametrize("sent", ["nan", "NaN", "NAN"])
def test_nan_is_empty_without_an_error(sent):
    assert converted(to_float, sent) == ""


@pytest.mark.parametrize(
    "sent",
    [
        *("", ".", "+", "e5", "1e", "1e+", " 1", "1 ", "1\n", "abc", "1,5", "\uff15", "+nan"),
        *("inf", "-Inf", "infinity", "0x1", "0x", "0xp1", "0x1.8", "0x1pa", "0b1", "0o7"),
        *("_1", "1_", "1__0", "1_.5", "1._5", "1_e5", "1e_5", "1e5_", "0x1_p1", "0x1._8p0"),
    ],
)
def test_values_that_are_not_floats(sent):
    with pytest.raises(ConversionError):
        to_float(sent, ())


@given(DOUBLES)
@example(5e-324)
@example(1.7976931348623157e308)
@example(123456789012345680.0)
@example(1e16)
@example(1e22)
@example(9007199254740993.0)
def test_a_formatted_float_has_the_digits_of_its_repr_and_parses_back(number):
    if math.isnan(number) or math.isinf(number):
        return
    text = format_float(number)
    assert set(text) <= set("-.0123456789")
    if abs(number) < SMALLEST:
        assert text == "0"
        return
    assert float(text) == number
    assert Decimal(text) == Decimal(repr(number))
    assert not (text.endswith("0") and "." in text)
    assert not text.endswith(".")


@given(DOUBLES.filter(math.isfinite))
def test_hexadecimal_floats_are_parsed(number):
    assert parse_float(number.hex()) == number
