"""A file as Redshift's COPY reads it, turned into what PostgreSQL's ``COPY FROM STDIN`` reads.

The options of ``redshift.COPY_OPTIONS``, row by row and as the file streams:

* REMOVEQUOTES: quotes around a value are dropped, and tabs between them belong to the value.
  Redshift: https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html
* ESCAPE: a backslash takes the next byte literally, a line end as well.
* TRIMBLANKS: blanks at the end of a VARCHAR value are dropped.
* TRUNCATECOLUMNS: a character value longer than its column is cut. The ``n`` of a target's
  ``varchar(n)`` is taken as *bytes*, as Redshift counts, though PostgreSQL counts characters:
  the two then hold the same values, and whatever fits in bytes fits in characters.
* FILLRECORD: values missing at the end of a row are NULL.
* EMPTYASNULL: a value with nothing in it is NULL; one of blanks alone is not.
* ACCEPTINVCHARS '?': each byte that is no UTF-8 becomes ``?``.
* ROUNDEC needs nothing: PostgreSQL rounds decimals to the column's scale by itself.
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
# A quoted value ends at the first unescaped quote that a tab or the row's end follows.
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
    """A value, or a row, that COPY would refuse.

    Attributes:
        column: The column's name; empty where the whole row is refused.
        value: The raw value.
        reason: Why, in Redshift's words.
    """

    def __init__(self, column: str, value: bytes, reason: str) -> None:
        super().__init__(column, value, reason)
        self.column = column
        self.value = value
        self.reason = reason


class RowConverter:
    """Turns rows for the given columns; counts in ``cut`` the values it cut, by column."""

    def __init__(self, columns: Sequence[WarehouseColumn]) -> None:
        self._columns = tuple(columns)
        self._limits = [sys.maxsize if c.limit is None else c.limit for c in self._columns]
        self._quotes = 2 * len(self._columns)
        self.cut: Counter[str] = Counter()

    def convert(self, row: bytes) -> bytes:
        """One row without its line end, as one row of COPY's text format with its line end.

        Raises:
            CopyValueError: A quote without its other end, too many values, or NULL where the
                column has none.
        """
        values = self._plain_values(row) or list(split_values(row))
        if not row.isascii():
            values = [value if value is None else valid_utf8(value) for value in values]
        self._fit_all(row, values)
        if None not in values and self._has_nothing_special(row):
            return _TAB.join(values) + b"\n"  # type: ignore[arg-type] # None was looked for
        return _TAB.join([_escaped(value) for value in values]) + b"\n"

    def _plain_values(self, row: bytes) -> list[bytes | None] | None:
        """The values where all are there in double quotes, and no quote is in one; else None.

        Nearly every row is like that, and then one split does. Where the quotes are two for each
        value, and each pair of values has ``"<tab>"`` between them, none is left to be inside one.
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
        """Whether no value of a whole row can have a character that COPY escapes."""
        is_whole = row.count(_TAB) == len(self._columns) - 1
        return is_whole and b"\\" not in row and b"\r" not in row

    def _fit_all(self, row: bytes, values: list[bytes | None]) -> None:
        """Makes of the row's values, in place, what the columns take."""
        if len(values) > len(self._columns):
            raise CopyValueError("", row, "Extra column(s) found")
        values.extend([None] * (len(self._columns) - len(values)))
        limits = self._limits
        for index, value in enumerate(values):
            # Most values fit as they are; looking that up costs a fraction of a call.
            if not value or value[-1] == _BLANK or len(value) > limits[index]:
                values[index] = self._fit(self._columns[index], value)

    def _fit(self, column: WarehouseColumn, value: bytes | None) -> bytes | None:
        """The value as the column takes it: None for NULL, trimmed and cut."""
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
                self.cut[column.name] += 1
            value = value[: column.limit].decode("utf-8", "ignore").encode()
        return value


def records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Rows without their line end; a line end after a backslash is part of its row."""
    held = b""
    for line in lines:
        if not line.endswith(b"\n"):
            yield held + line
            held = b""
            continue
        body = line[:-1]
        if (len(body) - len(body.rstrip(b"\\"))) % 2:
            held += line
            continue
        yield held + body
        held = b""
    if held:
        yield held


def valid_utf8(value: bytes) -> bytes:
    """The value with ``?`` for each byte that is no UTF-8."""
    # surrogateescape makes of each bad byte one code point that no valid UTF-8 gives.
    return _BAD_BYTE.sub("?", value.decode("utf-8", "surrogateescape")).encode()


def split_values(row: bytes) -> Iterator[bytes | None]:
    r"""The values of any row, quotes and escapes undone; None for an unquoted ``\N``."""
    place = 0
    while True:
        match = _VALUE.match(row, place)
        assert match is not None  # the pattern matches the empty text
        plain = match["plain"]
        if plain is None:
            yield _ESCAPED.sub(
                rb"\1", match["double"] if match["single"] is None else match["single"]
            )
        elif plain[:1] in (b'"', b"'"):
            raise CopyValueError("", row, "Invalid quote formatting: no closing quote")
        else:
            yield None if plain in (_NULL, b"\\\\N") else _ESCAPED.sub(rb"\1", plain)
        place = match.end()
        if not match["tab"]:
            return


def _escaped(value: bytes | None) -> bytes:
    if value is None:
        return _NULL
    return _SPECIAL.sub(lambda match: _COPY_ESCAPES[match[0]], value)
