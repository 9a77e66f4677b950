"""A JSON array that comes in pieces to its elements, as they are spelt.

An element is whatever stands between two commas of the array, or a comma and one of its brackets:
whether it is JSON is left to whoever reads it, as it would be with a line. Memory is bounded by the
longest element; each byte is looked at once or twice, however the array is cut.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final

_SPACE: Final = b" \t\r\n"
_BACKSLASH: Final = b"\\"

_TOKEN: Final = re.compile(rb'[\[\]{},"]')
"""What tells where an element ends."""

_IN_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*){0,1000}', re.DOTALL)
"""The repetition is bounded: each round of one is kept on the matcher's stack."""


class JsonArrayError(ValueError):
    """The text is no JSON array, or not a whole one."""


class ArraySplitter:
    """Splits one array, piece by piece."""

    def __init__(self) -> None:
        self._depth = 0
        self._closed = False
        self._found_any = False
        self._in_string = False
        self._escaped = False  # the last piece ended between a backslash and what it escapes
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The elements that end in ``piece``, without the white space around them.

        Raises:
            JsonArrayError: Something else stands before the array, in its place or behind it.
        """
        at = 0
        if not self._depth and not self._closed:
            at = self._open(piece)
        if self._depth:
            at = yield from self._split(piece, at)
        if self._closed and piece[at:].strip(_SPACE):
            raise JsonArrayError("something stands behind its JSON array")

    def finish(self) -> None:
        """Says that there are no more pieces.

        Raises:
            JsonArrayError: The array is not whole.
        """
        if not self._closed:
            raise JsonArrayError("its JSON array does not end" if self._depth else "it is empty")

    def _open(self, piece: bytes) -> int:
        """The index behind the array's bracket, or of the piece's end where it is not there yet."""
        at = len(piece) - len(piece.lstrip(_SPACE))
        if at == len(piece):
            return at
        if piece[at : at + 1] != b"[":
            raise JsonArrayError("it holds no JSON array")
        self._depth = 1
        return at + 1

    def _split(self, piece: bytes, at: int) -> Generator[bytes, None, int]:
        """Yields the elements that end in ``piece[at:]``; returns the index behind the array."""
        start = at
        while not self._closed:
            if self._in_string:
                at = self._skip_string(piece, at)
            token = None if self._in_string else _TOKEN.search(piece, at)
            if token is None:
                self._begun.append(piece[start:])
                return len(piece)
            at = token.end()
            record = token[0] == b"{" and self._depth == 1
            if record and (plain := _end_of_plain_object(piece, at)):
                at = plain
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
                raise JsonArrayError("a brace closes its JSON array")
            return self._closed
        return token == b"," and self._depth == 1

    def _element(self, text: bytes) -> Iterator[bytes]:
        """The element that ``text`` ends; none where the array closes and has nothing in it."""
        element = b"".join((*self._begun, text)).strip(_SPACE)
        self._begun.clear()
        if element or self._found_any or not self._closed:
            self._found_any = True
            yield element

    def _skip_string(self, piece: bytes, at: int) -> int:
        """The index behind the string that goes on at ``at``, or of the piece's end."""
        if self._escaped and at < len(piece):
            self._escaped = False
            at += 1
        while True:
            match = _IN_STRING.match(piece, at)
            assert match is not None  # it matches the empty text
            at = match.end()
            stop = piece[at : at + 2]
            if stop.startswith(b'"'):
                self._in_string = False
                return at + 1
            if len(stop) < 2:  # noqa: PLR2004 - a backslash and what it escapes
                self._escaped = stop == _BACKSLASH
                return len(piece)


def _end_of_plain_object(piece: bytes, at: int) -> int:
    """The index behind the object whose brace is before ``at``; 0 where it is not surely plain.

    That is, of members without escapes and brackets, as nearly all records are: it takes a tenth
    of the time of going through their strings.
    """
    end = piece.find(b"}", at)
    if end < 0:
        return 0
    inside = piece[at:end]
    if _BACKSLASH in inside or b"{" in inside or b"[" in inside or b"]" in inside:
        return 0
    return 0 if inside.count(b'"') % 2 else end + 1
