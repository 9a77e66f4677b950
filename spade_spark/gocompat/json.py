"""The JSON syntax of Go's ``encoding/json``, read one level at a time and without loss.

It behaves like ``Unmarshal`` into ``json.RawMessage`` and ``json.Number``: at most 10,000 levels of
nesting, U+FFFD for invalid UTF-8 and lone surrogates, and case-insensitive member names
(:func:`casefold_ascii`). Unlike Go's maps, an object keeps duplicate members.

Python's :mod:`json` differs: it converts numbers (``1e400`` and 5,000 digits must remain text), it
recurses, it does not report the positions of values (needed to keep the encoding of untracked
events), and it accepts ``NaN`` and ``Infinity``. This module uses only its string scanner, which is
strict and fast.

Decode input with :func:`decode_utf8_lossless`. Each invalid byte of a string becomes one U+FFFD.

Reference: https://github.com/golang/go/tree/go1.19/src/encoding/json (``scanner.go``,
``decode.go``, ``fold.go``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined] # in no stub, in all versions
from typing import Final, NamedTuple

MAX_DEPTH: Final = 10_000
"""The maximum nesting depth, as in Go (``maxNestingDepth``)."""


class JsonError(ValueError):
    """The text is not valid JSON."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as text, which each transformer parses in its own way."""

    text: str


class JsonContainer(Enum):
    """A nested array or object, whose content is not read."""

    ARRAY = "["
    OBJECT = "{"


Value = str | Number | bool | JsonContainer | None


class JsonItem(NamedTuple):
    """A value and its position in the text (``text[start:end]``)."""

    value: Value
    start: int
    end: int


class JsonObject(tuple[tuple[str, JsonItem], ...]):
    """The members of an object, in order, with duplicates."""

    __slots__ = ()


class JsonArray(tuple[JsonItem, ...]):
    """The elements of an array, in order."""

    __slots__ = ()


_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_CLOSER: Final = {"{": "}", "[": "]"}


def decode_utf8_lossless(data: bytes) -> str:
    """Decode ``data``; each byte that is not valid UTF-8 becomes one lone surrogate."""
    return data.decode("utf-8", "surrogateescape")


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate, from an invalid byte or an escape, with U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def casefold_ascii(name: str) -> str:
    """Fold the case of a member's name for comparison with an ASCII name.

    Two non-ASCII letters fold to ASCII: U+017F (long s) and U+212A (Kelvin sign). ``lower`` handles
    only the second.
    """
    return name.replace("\u017f", "s").lower()


def read(text: str) -> JsonObject | JsonArray | Value:
    """Read ``text`` one level deep: a scalar, the members of an object or the elements of an array.

    Deeper levels are only validated.

    Raises:
        JsonError: The text is not valid JSON.
    """
    start = _skip_space(text, 0)
    first = text[start : start + 1]
    result: JsonObject | JsonArray | Value
    if first == "{":
        result, end = _members(text, start)
    elif first == "[":
        result, end = _elements(text, start)
    else:
        result, end = _scalar(text, start)
    if _skip_space(text, end) != len(text):
        raise JsonError(f"extra text after the value, at {end}")
    return result


def end_of_string(text: str, start: int) -> int:
    """Return the index after the string at ``start``.

    Raises:
        JsonError: The string is not valid.
    """
    return _string(text, start)[1]


def _members(text: str, start: int) -> tuple[JsonObject, int]:
    """Return the members of the object at ``start`` and the index after it."""
    members: list[tuple[str, JsonItem]] = []
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "}":
        return JsonObject(), at + 1
    while True:
        name, at = _name(text, at)
        value, end = _value(text, at)
        members.append((name, JsonItem(value, at, end)))
        at = _skip_space(text, end)
        if text[at : at + 1] == "}":
            return JsonObject(members), at + 1
        at = _after_comma(text, at)


def _elements(text: str, start: int) -> tuple[JsonArray, int]:
    """Return the elements of the array at ``start`` and the index after it."""
    elements: list[JsonItem] = []
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "]":
        return JsonArray(), at + 1
    while True:
        value, end = _value(text, at)
        elements.append(JsonItem(value, at, end))
        at = _skip_space(text, end)
        if text[at : at + 1] == "]":
            return JsonArray(elements), at + 1
        at = _after_comma(text, at)


def _value(text: str, at: int) -> tuple[Value, int]:
    """Return the nested value at ``at`` and the index after it."""
    first = text[at : at + 1]
    if first in _CLOSER:
        return JsonContainer(first), _end_of_nested(text, at)
    return _scalar(text, at)


def _scalar(text: str, at: int) -> tuple[str | Number | bool | None, int]:
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first in _LITERALS:
        literal, value = _LITERALS[first]
        if not text.startswith(literal, at):
            raise JsonError(f"no value at {at}")
        return value, at + len(literal)
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
    """Return the name of a member and the index of its value."""
    if text[at : at + 1] != '"':
        raise JsonError(f"no member name at {at}")
    name, at = _string(text, at)
    at = _skip_space(text, at)
    if text[at : at + 1] != ":":
        raise JsonError(f"no colon at {at}")
    return name, _skip_space(text, at + 1)


def _end_of_nested(text: str, at: int) -> int:
    """Validate the array or object at ``at`` without recursion and return the index after it."""
    closers: list[str] = []
    while True:  # each iteration begins at a value
        first = text[at : at + 1]
        if first in _CLOSER:
            closers.append(_CLOSER[first])
            if 1 + len(closers) > MAX_DEPTH:
                raise JsonError(f"more than {MAX_DEPTH} levels of nesting")
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
    if text[at : at + 1] > " ":  # the usual case
        return at
    match = _SPACE.match(text, at)
    assert match is not None  # it matches the empty string
    return match.end()
