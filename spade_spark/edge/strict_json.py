"""JSON as RFC 8259 writes it, read one level at a time, with nothing lost that a column may need.

The standard library's reader is not used because it turns numbers into numbers (``1e400`` and
5,000 digits have to survive as text), recurses (a line of brackets is data, not a reason to stop),
and cannot say where in the text a value stands (untracked events are written as they were spelt).
Only its string scanner is, which is strict and written in C.

Texts come from :func:`text_of`, so that a byte that is no UTF-8 is still there as one character
when its string is read, and becomes one U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined] # in no stub, in all versions
from typing import Final, NamedTuple

MAX_DEPTH: Final = 10_000
"""Brackets within brackets; more is no JSON, as in the processor that wrote the first rows."""


class NotJson(ValueError):
    """The text is not the JSON that was asked for."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is spelt: every column reads it in its own way."""

    text: str


class Nested(Enum):
    """What is known of a list or an object inside a value: that it is one."""

    LIST = "["
    OBJECT = "{"


Value = str | Number | bool | Nested | None


class Item(NamedTuple):
    """A value and where in the text it stands (``text[start:end]``)."""

    value: Value
    start: int
    end: int


_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_CLOSER: Final = {"{": "}", "[": "]"}


def text_of(data: bytes) -> str:
    """The text of ``data``, each byte that is no UTF-8 kept as one lone surrogate."""
    return data.decode("utf-8", "surrogateescape")


def scrub(text: str) -> str:
    """``text`` with U+FFFD for every lone surrogate, from a bad byte or from an escape."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def fold(name: str) -> str:
    """A member's name as it is compared where case does not matter.

    Simple case folding reaches ASCII from two letters outside it: U+017F (long s) and U+212A
    (Kelvin sign), the second of which ``lower`` knows.
    """
    return name.replace("\u017f", "s").lower()


def document(text: str) -> Item:
    """The one value that ``text`` is.

    Raises:
        NotJson: Not JSON, or something stands behind it.
    """
    start = _skip_space(text, 0)
    value, end = _value(text, start, depth=0)
    if _skip_space(text, end) != len(text):
        raise NotJson(f"something follows the value, at {end}")
    return Item(value, start, end)


def members(text: str, start: int) -> Iterator[tuple[str, Item]]:
    """The members of the object at ``start``, in order, duplicates too.

    Raises:
        NotJson: Anywhere before the end of the object; what was yielded so far does not count.
    """
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "}":
        return
    while True:
        name, at = _name(text, at)
        value, end = _value(text, at, depth=1)
        yield name, Item(value, at, end)
        at = _skip_space(text, end)
        if text[at : at + 1] == "}":
            return
        at = _after_comma(text, at)


def elements(text: str, start: int) -> Iterator[Item]:
    """The elements of the list at ``start``, in order.

    Raises:
        NotJson: As for :func:`members`.
    """
    at = _skip_space(text, start + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        value, end = _value(text, at, depth=1)
        yield Item(value, at, end)
        at = _skip_space(text, end)
        if text[at : at + 1] == "]":
            return
        at = _after_comma(text, at)


def _value(text: str, at: int, depth: int) -> tuple[Value, int]:
    """The value at ``at`` and the index behind it; ``depth`` brackets stand around it."""
    first = text[at : at + 1]
    if first in _CLOSER:
        return Nested(first), _end_of_nested(text, at, depth)
    return _scalar(text, at)


def _scalar(text: str, at: int) -> tuple[str | Number | bool | None, int]:
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first in _LITERALS:
        word, value = _LITERALS[first]
        if not text.startswith(word, at):
            raise NotJson(f"no value at {at}")
        return value, at + len(word)
    number = _NUMBER.match(text, at)
    if number is None:
        raise NotJson(f"no value at {at}")
    return Number(number[0]), number.end()


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        string, end = scanstring(text, at + 1, True)
    except JSONDecodeError as error:
        raise NotJson(str(error)) from None
    return scrub(string), end


def _name(text: str, at: int) -> tuple[str, int]:
    """A member's name, and the index of its value."""
    if text[at : at + 1] != '"':
        raise NotJson(f"no member's name at {at}")
    name, at = _string(text, at)
    at = _skip_space(text, at)
    if text[at : at + 1] != ":":
        raise NotJson(f"no colon at {at}")
    return name, _skip_space(text, at + 1)


def _end_of_nested(text: str, at: int, depth: int) -> int:
    """The index behind the list or object at ``at``, all of it checked, without recursion."""
    closers: list[str] = []
    while True:  # a value is due at `at`
        first = text[at : at + 1]
        if first in _CLOSER:
            closers.append(_CLOSER[first])
            if depth + len(closers) > MAX_DEPTH:
                raise NotJson(f"more than {MAX_DEPTH} brackets within each other")
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
        raise NotJson(f"no comma at {at}")
    return _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches the empty text
    return match.end()
