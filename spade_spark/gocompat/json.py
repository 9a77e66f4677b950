"""JSON as RFC 8259 writes it, read one level at a time, with nothing lost that a column may need.

The standard library's reader is not used because it turns numbers into numbers (``1e400`` and
5,000 digits have to survive as text), recurses (a line of brackets is data, not a reason to stop),
and cannot say where in the text a value stands (untracked events are written as they were spelt).
Only its string scanner is, which is strict and written in C.

Texts come from :func:`decode_utf8_lossless`, so that a byte that is no UTF-8 is still there as
one character
when its string is read, and becomes one U+FFFD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined] # in no stub, in all versions
from typing import Final, NamedTuple

MAX_DEPTH: Final = 10_000
"""Brackets within brackets; more is no JSON, as in the processor that wrote the first rows."""


class JsonError(ValueError):
    """The text is not the JSON that was asked for."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is spelt: every column reads it in its own way."""

    text: str


class JsonContainer(Enum):
    """What is known of a list or an object inside a value: that it is one."""

    LIST = "["
    OBJECT = "{"


Value = str | Number | bool | JsonContainer | None


class JsonItem(NamedTuple):
    """A value and where in the text it stands (``text[start:end]``)."""

    value: Value
    start: int
    end: int


class JsonObject(tuple[tuple[str, JsonItem], ...]):
    """An object's members, in order, duplicates too."""

    __slots__ = ()


class JsonArray(tuple[JsonItem, ...]):
    """A list's elements, in order."""

    __slots__ = ()


_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_CLOSER: Final = {"{": "}", "[": "]"}


def decode_utf8_lossless(data: bytes) -> str:
    """The text of ``data``, each byte that is no UTF-8 kept as one lone surrogate."""
    return data.decode("utf-8", "surrogateescape")


def replace_surrogates(text: str) -> str:
    """``text`` with U+FFFD for every lone surrogate, from a bad byte or from an escape."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def casefold_ascii(name: str) -> str:
    """A member's name as it is compared where case does not matter.

    Simple case folding reaches ASCII from two letters outside it: U+017F (long s) and U+212A
    (Kelvin sign), the second of which ``lower`` knows.
    """
    return name.replace("\u017f", "s").lower()


def read(text: str) -> JsonObject | JsonArray | Value:
    """What ``text`` is, one level deep: a scalar, or what an object or a list consists of.

    All of the text is checked, what stands deeper too.

    Raises:
        JsonError: It is not JSON, or something stands behind it.
    """
    start = _skip_space(text, 0)
    first = text[start : start + 1]
    whole: JsonObject | JsonArray | Value
    if first == "{":
        whole, end = _members(text, start)
    elif first == "[":
        whole, end = _elements(text, start)
    else:
        whole, end = _scalar(text, start)
    if _skip_space(text, end) != len(text):
        raise JsonError(f"something follows the value, at {end}")
    return whole


def end_of_string(text: str, start: int) -> int:
    """The index behind the string at ``start``.

    Raises:
        JsonError: There is none.
    """
    return _string(text, start)[1]


def _members(text: str, start: int) -> tuple[JsonObject, int]:
    """The members of the object at ``start`` and the index behind it."""
    found: list[tuple[str, JsonItem]] = []
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "}":
        return JsonObject(), at + 1
    while True:
        name, at = _name(text, at)
        value, end = _value(text, at)
        found.append((name, JsonItem(value, at, end)))
        at = _skip_space(text, end)
        if text[at : at + 1] == "}":
            return JsonObject(found), at + 1
        at = _after_comma(text, at)


def _elements(text: str, start: int) -> tuple[JsonArray, int]:
    """The elements of the list at ``start`` and the index behind it."""
    found: list[JsonItem] = []
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "]":
        return JsonArray(), at + 1
    while True:
        value, end = _value(text, at)
        found.append(JsonItem(value, at, end))
        at = _skip_space(text, end)
        if text[at : at + 1] == "]":
            return JsonArray(found), at + 1
        at = _after_comma(text, at)


def _value(text: str, at: int) -> tuple[Value, int]:
    """The value at ``at``, within one pair of brackets, and the index behind it."""
    first = text[at : at + 1]
    if first in _CLOSER:
        return JsonContainer(first), _end_of_nested(text, at)
    return _scalar(text, at)


def _scalar(text: str, at: int) -> tuple[str | Number | bool | None, int]:
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first in _LITERALS:
        word, value = _LITERALS[first]
        if not text.startswith(word, at):
            raise JsonError(f"no value at {at}")
        return value, at + len(word)
    number = _NUMBER.match(text, at)
    if number is None:
        raise JsonError(f"no value at {at}")
    return Number(number[0]), number.end()


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        string, end = scanstring(text, at + 1, True)
    except JSONDecodeError as error:
        raise JsonError(str(error)) from None
    return replace_surrogates(string), end


def _name(text: str, at: int) -> tuple[str, int]:
    """A member's name, and the index of its value."""
    if text[at : at + 1] != '"':
        raise JsonError(f"no member's name at {at}")
    name, at = _string(text, at)
    at = _skip_space(text, at)
    if text[at : at + 1] != ":":
        raise JsonError(f"no colon at {at}")
    return name, _skip_space(text, at + 1)


def _end_of_nested(text: str, at: int) -> int:
    """The index behind the list or object at ``at``, all of it checked, without recursion."""
    closers: list[str] = []
    while True:  # a value is due at `at`
        first = text[at : at + 1]
        if first in _CLOSER:
            closers.append(_CLOSER[first])
            if 1 + len(closers) > MAX_DEPTH:
                raise JsonError(f"more than {MAX_DEPTH} brackets within each other")
            at = _skip_space(text, at + 1)
            if text[at : at + 1] != closers[-1]:
                at = _name(text, at)[1] if first == "{" else at
                continue
        else:
            at = _skip_space(text, _scalar(text, at)[1])
        while text[at : at + 1] == closers[-1]:
            closers.pop()
            if not closers:
                return at + 1
            at = _skip_space(text, at + 1)
        at = _after_comma(text, at)
        if closers[-1] == "}":
            at = _name(text, at)[1]


def _after_comma(text: str, at: int) -> int:
    if text[at : at + 1] != ",":
        raise JsonError(f"no comma at {at}")
    return _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    if text[at : at + 1] > " ":  # as is nearly always so
        return at
    match = _SPACE.match(text, at)
    assert match is not None  # it matches the empty text
    return match.end()
