"""Quoted values."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.quote import PRINTABLE_RANGES, escape, quote, unquote_row

ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))")
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def unquoted(quoted):
    def unescaped(match):
        digits = match[1] or match[2] or match[3]
        return chr(int(digits, 16)) if digits else ESCAPES.get(match[4], match[4])

    return ESCAPE.sub(unescaped, quoted[1:-1])


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("plain 'text'", "\"plain 'text'\""),
        ('a"b\\c', r'"a\"b\\c"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\0\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("\x80\u0085\u00a0\u00ad", r'"\u0080\u0085\u00a0\u00ad"'),
        ("\u2028\u3000\ufeff\ue000", r'"\u2028\u3000\ufeff\ue000"'),
        ("\U000e0001\U0010ffff", r'"\U000e0001\U0010ffff"'),
        ("é日本😀\ufffd e\u0301", '"é日本😀\ufffd e\u0301"'),
    ],
)
def test_escaped_characters(text, quoted):
    assert quote(text) == quoted


def test_characters_of_later_unicode_versions_are_not_printable():
    """U+1FAD6 came with 13.0, U+1F979 with 14.0."""
    assert escape("\U0001fad6\U0001f979") == "\U0001fad6\\U0001f979"


@given(ANY_TEXT)
def test_quoting_is_reversible(text):
    assert unquoted(quote(text)) == text


@given(st.lists(ANY_TEXT))
def test_the_values_of_a_row_can_be_read_back(texts):
    assert unquote_row("\t".join(map(quote, texts))) == texts


@given(ANY_TEXT)
def test_a_quoted_value_is_one_field_of_one_line(text):
    inside = escape(text)
    assert len(inside.splitlines()) <= 1
    assert "\t" not in inside
    assert inside.replace(r"\\", "").replace(r"\"", "").count('"') == 0


def test_the_printable_ranges_are_those_of_unicode():
    """All ranges are printable, and other printable characters were assigned in later versions."""
    ranges = [
        range(int(first, 16), int(last or first, 16) + 1)
        for first, _, last in (span.partition("-") for span in PRINTABLE_RANGES.split())
    ]
    printable = {code for span in ranges for code in span}
    of_unicode = {
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LMNPS" or code == ord(" ")
    }
    assert printable <= of_unicode
    later = of_unicode - printable
    assert len(later) <= (0 if unicodedata.unidata_version == "13.0.0" else 20_000)
    assert min(later, default=sys.maxunicode) > 0x300
