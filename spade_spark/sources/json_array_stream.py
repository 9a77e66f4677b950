"""Splits a JSON array that arrives in pieces into the texts of its elements.

An element is the text between the brackets and commas of the array. It is not validated here; like
a line of a log, it is decoded later. Memory use is limited by the longest element. Each byte is
scanned at most twice, regardless of the piece size.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final

_SPACE: Final = b" \t\r\n"
_BACKSLASH: Final = b"\\"

_TOKEN: Final = re.compile(rb'[\[\]{},"]')
"""Characters that affect the nesting depth or end an element."""

_IN_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*){0,1000}', re.DOTALL)
"""The repetition is bounded because each repetition uses the stack of the regex engine."""


class JsonArrayError(ValueError):
    """The text is not a JSON array, or is incomplete."""


class ArraySplitter:
    """Splits one array, piece by piece."""

    def __init__(self) -> None:
        self._depth = 0
        self._closed = False
        self._has_elements = False
        self._in_string = False
        self._escaped = False  # whether the last piece ended with a backslash
        self._pending: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the elements that end in ``piece``, without surrounding white space.

        Raises:
            JsonArrayError: The text is not an array, or has other data after it.
        """
        at = 0
        if not self._depth and not self._closed:
            at = self._open(piece)
        if self._depth:
            at = yield from self._split(piece, at)
        if self._closed and piece[at:].strip(_SPACE):
            raise JsonArrayError("it has other data after the JSON array")

    def finish(self) -> None:
        """Check after the last piece that the array is complete.

        Raises:
            JsonArrayError: The array is incomplete.
        """
        if not self._closed:
            raise JsonArrayError("its JSON array is incomplete" if self._depth else "it is empty")

    def _open(self, piece: bytes) -> int:
        """Return the index after the opening bracket; the length of ``piece`` if it has none."""
        at = len(piece) - len(piece.lstrip(_SPACE))
        if at == len(piece):
            return at
        if piece[at : at + 1] != b"[":
            raise JsonArrayError("it is not a JSON array")
        self._depth = 1
        return at + 1

    def _split(self, piece: bytes, at: int) -> Generator[bytes, None, int]:
        """Yield the elements that end in ``piece[at:]``; return the index after the array."""
        start = at
        while not self._closed:
            if self._in_string:
                at = self._skip_string(piece, at)
            token = None if self._in_string else _TOKEN.search(piece, at)
            if token is None:
                self._pending.append(piece[start:])
                return len(piece)
            at = token.end()
            is_record = token[0] == b"{" and self._depth == 1
            if is_record and (end := _end_of_plain_object(piece, at)):
                at = end
            elif self._ends_element(token[0]):
                yield from self._element(piece[start : token.start()])
                start = at
        return at

    def _ends_element(self, token: bytes) -> bool:
        if token == b'"':
            self._in_string = True
        elif token in b"[{":
            self._depth += 1
        elif token in b"]}":
            self._depth -= 1
            self._closed = not self._depth
            if self._closed and token == b"}":
                raise JsonArrayError("its JSON array ends with a brace")
            return self._closed
        return token == b"," and self._depth == 1

    def _element(self, text: bytes) -> Iterator[bytes]:
        """Yield the element that ends with ``text``; nothing if the array is empty."""
        element = b"".join((*self._pending, text)).strip(_SPACE)
        self._pending.clear()
        if element or self._has_elements or not self._closed:
            self._has_elements = True
            yield element

    def _skip_string(self, piece: bytes, at: int) -> int:
        """Return the index after the string at ``at``; the length of ``piece`` if it continues."""
        if self._escaped and at < len(piece):
            self._escaped = False
            at += 1
        while True:
            match = _IN_STRING.match(piece, at)
            assert match is not None  # the pattern matches the empty text
            at = match.end()
            stop = piece[at : at + 2]
            if stop.startswith(b'"'):
                self._in_string = False
                return at + 1
            if len(stop) < 2:  # noqa: PLR2004 - a backslash and the next character
                self._escaped = stop == _BACKSLASH
                return len(piece)


def _end_of_plain_object(piece: bytes, at: int) -> int:
    """Return the index after the object that starts before ``at``; 0 if it may not be plain.

    A plain object has no escapes and no brackets. Nearly all records are plain; skipping them takes
    a tenth of the time of scanning their strings.
    """
    end = piece.find(b"}", at)
    if end < 0:
        return 0
    inside = piece[at:end]
    if _BACKSLASH in inside or b"{" in inside or b"[" in inside or b"]" in inside:
        return 0
    return 0 if inside.count(b'"') % 2 else end + 1
