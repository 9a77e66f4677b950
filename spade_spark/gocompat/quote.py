"""How a value stands in a row: in double quotes, on one line, printable (Go's ``%q``)."""

from __future__ import annotations

import re
from typing import Final

from spade_spark.gocompat.printable import printable_class

_NAMED: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_PLAIN: Final = {escape[1]: char for char, escape in _NAMED.items()}
_ESCAPE = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(.))")
_BETWEEN: Final = '"\t"'
_SPECIAL = re.compile(rf'["\\]|[^{printable_class()}]')
_ASCII_END: Final = 0x80
_PLANE_END: Final = 0x10000


def quote(text: str) -> str:
    """``text`` in double quotes, with escapes for what is not printable."""
    return f'"{escape(text)}"'


def escape(text: str) -> str:
    """``text`` with the escapes of :func:`quote`, without the quotes around it."""
    return _SPECIAL.sub(_escaped, text)


def unquote_row(row: str) -> list[str]:
    """The values of a row without its line end, exactly as they were before :func:`quote`.

    A value has no TAB in it, so that one stands between two values and nowhere else. A row of no
    columns is empty.
    """
    if not row:
        return []
    values = row[1:-1].split(_BETWEEN)
    return [unescape(value) if "\\" in value else value for value in values]


def unescape(text: str) -> str:
    """What :func:`escape` made ``text`` of."""
    return _ESCAPE.sub(_meant, text)


def _meant(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else _PLAIN[match[4]]


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code < _ASCII_END:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _PLANE_END else f"\\U{code:08x}"
