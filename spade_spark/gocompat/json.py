"""The JSON syntax of Go's ``encoding/json``, read one level at a time and without loss.

It behaves like ``Unmarshal`` into ``json.RawMessage`` and ``json.Number``: at most 10,000 levels of
nesting, U+FFFD for invalid UTF-8 and lone surrogates, and member names compared without regard to
case (:func:`casefold_ascii`). Unlike Go's maps, an object keeps its repeated members.

Python's :mod:`json` differs: it converts numbers (``1e400`` and 5,000 digits must remain text), it
recurses, it has no positions of values (untracked events keep their encoding), and it accepts
``NaN`` and ``Infinity``. This module uses only its string scanner, which is strict and fast.

Texts come from :func:`decode_utf8_lossless`: each invalid byte is one character until its string is
read, and then becomes one U+FFFD.

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
    """A number as text; each transformer parses it in its own way."""

    text: str


class JsonContainer(Enum):
    """Stands for a list or an object inside a value; its content is not read."""

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
    """The elements of a list, in order."""

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
    """Replace every lone surrogate, from an invalid byte or from an escape, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def casefold_ascii(name: str) -> str:
    """Fold the case of a member's name for comparison with an ASCII name.

    Simple case folding maps two other letters to ASCII: U+017F (long s) and U+212A (Kelvin sign),
    which ``lower`` maps too.
    """
    return name.replace("\u017f", "s").lower()


def read(text: str) -> JsonObject | JsonArray | Value:
    """Read ``text`` one level deep: a scalar, or the members or elements of an object or list.

    All of the text is validated, including deeper levels.

    Raises:
        JsonError: It is not valid JSON, or text follows the value.
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
        raise JsonError(f"text follows the value, at {end}")
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
    """Return the elements of the list at ``start`` and the index after it."""
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
    """Return the value at ``at``, which is inside an object or a list, and the index after it."""
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
    """Return the index after the list or object at ``at``; validate it without recursion."""
    closers: list[str] = []
    while True:  # a value must begin at `at`
        first = text[at : at + 1]
        if first in _CLOSER:
            closers.append(_CLOSER[first])
            if 1 + len(closers) > MAX_DEPTH:
                raise JsonError(f"more than {MAX_DEPTH} nested brackets")
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
    assert match is not None  # it matches the empty text
    return match.end()
