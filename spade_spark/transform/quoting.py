"""How a value stands in a row: in double quotes, on one line, printable (Go's ``%q``)."""

from __future__ import annotations

import re
from typing import Final

from spade_spark.transform.printable import printable_class

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
_SPECIAL = re.compile(rf'["\\]|[^{printable_class()}]')
_ASCII_END: Final = 0x80
_PLANE_END: Final = 0x10000


def quote(text: str) -> str:
    """``text`` in double quotes, with escapes for what is not printable."""
    return f'"{escape(text)}"'


def escape(text: str) -> str:
    """``text`` with the escapes of :func:`quote`, without the quotes around it."""
    return _SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code < _ASCII_END:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _PLANE_END else f"\\U{code:08x}"
