"""Convert the input of Redshift's COPY to that of PostgreSQL's ``COPY FROM STDIN``.

The conversion streams row by row and follows ``redshift.COPY_OPTIONS``:

* REMOVEQUOTES: quotes around a value are removed; tabs between them are part of the value.
  Redshift: https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html
* ESCAPE: a backslash makes the next byte literal, a newline too.
* TRIMBLANKS: trailing blanks of a VARCHAR value are removed.
* TRUNCATECOLUMNS: a character value longer than its column is truncated. The ``n`` of
  ``varchar(n)`` counts *bytes*, as in Redshift, although PostgreSQL counts characters. So both hold
  the same values.
* FILLRECORD: missing trailing values are NULL.
* EMPTYASNULL: an empty value is NULL; a value of blanks is not.
* ACCEPTINVCHARS '?': each invalid UTF-8 byte becomes ``?``.
* ROUNDEC needs no conversion: PostgreSQL rounds decimals to the column's scale.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from spade_spark.warehouse.information_schema import WarehouseColumn

_TAB = b"\t"
_BLANK = ord(" ")
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_NULL = b"\\N"
_ESCAPED = re.compile(rb"\\(.?)", re.DOTALL)
# A quoted value ends at the first unescaped quote before a tab or the end of the row.
_VALUE = re.compile(
    rb"(?:"
    rb'"(?P<double>(?:[^\\"]|\\.|"(?!\t|\Z))*)"(?=\t|\Z)|'
    rb"'(?P<single>(?:[^\\']|\\.|'(?!\t|\Z))*)'(?=\t|\Z)|"
    rb"(?P<plain>(?:[^\\\t]|\\.|\\\Z)*)"
    rb")(?P<tab>\t?)",
    re.DOTALL,
)
_SPECIAL = re.compile(rb"[\\\t\n\r]")
_COPY_ESCAPES = {b"\\": rb"\\", b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}


class CopyValueError(Exception):
    """A value or row that COPY would reject.

    Attributes:
        column: The column's name; empty if the whole row is rejected.
        value: The raw value.
        reason: Redshift's message.
    """

    def __init__(self, column: str, value: bytes, reason: str) -> None:
        super().__init__(column, value, reason)
        self.column = column
        self.value = value
        self.reason = reason


class RowConverter:
    """Converts rows for the given columns. ``truncated`` counts truncated values by column."""

    def __init__(self, columns: Sequence[WarehouseColumn]) -> None:
        self._columns = tuple(columns)
        self._limits = [sys.maxsize if c.limit is None else c.limit for c in self._columns]
        self._quotes = 2 * len(self._columns)
        self.truncated: Counter[str] = Counter()

    def convert(self, row: bytes) -> bytes:
        """Convert one row without its newline to a row of COPY's text format with newline.

        Raises:
            CopyValueError: A quote is not closed, there are too many values, or a NOT NULL column
                would be NULL.
        """
        values = self._plain_values(row) or list(split_values(row))
        if not row.isascii():
            values = [value if value is None else valid_utf8(value) for value in values]
        self._fit_all(row, values)
        if None not in values and self._has_nothing_special(row):
            return _TAB.join(values) + b"\n"  # type: ignore[arg-type] # None was looked for
        return _TAB.join([_escaped(value) for value in values]) + b"\n"

    def _plain_values(self, row: bytes) -> list[bytes | None] | None:
        """Return the values if all are in double quotes and contain no quote; else None.

        This is a fast path for nearly all rows: it splits them once. Counting two quotes per value,
        and finding ``"<tab>"`` between the values, shows that no quote is inside a value.
        """
        if row.count(b'"') != self._quotes or b'\\"' in row:
            return None
        if not (row.startswith(b'"') and row.endswith(b'"')):
            return None
        values: list[bytes | None] = [*row[1:-1].split(b'"\t"')]
        if len(values) != len(self._columns) or row.count(_TAB) != len(values) - 1:
            return None
        if b"\\" not in row:
            return values
        return [_ESCAPED.sub(rb"\1", value) for value in values if value is not None]

    def _has_nothing_special(self, row: bytes) -> bool:
        """Whether no value needs escaping in COPY's text format."""
        is_complete = row.count(_TAB) == len(self._columns) - 1
        return is_complete and b"\\" not in row and b"\r" not in row

    def _fit_all(self, row: bytes, values: list[bytes | None]) -> None:
        """Convert the row's values, in place, to what the columns accept."""
        if len(values) > len(self._columns):
            raise CopyValueError("", row, "Extra column(s) found")
        values.extend([None] * (len(self._columns) - len(values)))
        limits = self._limits
        for index, value in enumerate(values):
            # Most values fit unchanged; this test is much cheaper than a call.
            if not value or value[-1] == _BLANK or len(value) > limits[index]:
                values[index] = self._fit(self._columns[index], value)

    def _fit(self, column: WarehouseColumn, value: bytes | None) -> bytes | None:
        """Return the value as the column accepts it: None for NULL, trimmed and truncated."""
        if not value:
            if column.not_null:
                raise CopyValueError(column.name, value or b"", "Missing data for not-null field")
            return None
        if not column.is_text:
            return value
        if not column.is_fixed_width:
            value = value.rstrip(b" ")
        if column.limit is not None and len(value) > column.limit:
            if len(value.rstrip(b" ")) > column.limit:
                self.truncated[column.name] += 1
            value = value[: column.limit].decode("utf-8", "ignore").encode()
        return value


def records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Split into rows without their newline; an escaped newline is part of its row."""
    pending = b""
    for line in lines:
        if not line.endswith(b"\n"):
            yield pending + line
            pending = b""
            continue
        body = line[:-1]
        if (len(body) - len(body.rstrip(b"\\"))) % 2:
            pending += line
            continue
        yield pending + body
        pending = b""
    if pending:
        yield pending


def valid_utf8(value: bytes) -> bytes:
    """Replace each invalid UTF-8 byte with ``?``."""
    # surrogateescape maps each invalid byte to one code point that valid UTF-8 cannot contain.
    return _BAD_BYTE.sub("?", value.decode("utf-8", "surrogateescape")).encode()


def split_values(row: bytes) -> Iterator[bytes | None]:
    r"""Return the values of a row without quotes and escapes; None for an unquoted ``\N``."""
    position = 0
    while True:
        match = _VALUE.match(row, position)
        assert match is not None  # the pattern matches an empty string
        plain = match["plain"]
        if plain is None:
            yield _ESCAPED.sub(
                rb"\1", match["double"] if match["single"] is None else match["single"]
            )
        elif plain[:1] in (b'"', b"'"):
            raise CopyValueError("", row, "Invalid quote formatting: no closing quote")
        else:
            yield None if plain in (_NULL, b"\\\\N") else _ESCAPED.sub(rb"\1", plain)
        position = match.end()
        if not match["tab"]:
            return


def _escaped(value: bytes | None) -> bytes:
    if value is None:
        return _NULL
    return _SPECIAL.sub(lambda match: _COPY_ESCAPES[match[0]], value)
