"""Convert the input of Redshift's COPY to that of PostgreSQL's ``COPY FROM STDIN``.

:class:`BlockConverter` converts blocks of rows, and leaves irregular rows to :class:`RowConverter`.
Both follow ``redshift.COPY_OPTIONS``:

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

import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from stringzilla import count

from spade_spark.warehouse.information_schema import WarehouseColumn

_TAB = b"\t"
_BLANK = ord(" ")
_BACKSLASH = ord("\\")
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

BLOCK_BYTES = 1 << 18
"""The size of a block. A block is larger only if one row is."""

# Bytes that stand for others during the conversion of a block. If a block contains one, its rows
# are converted one by one. The TSV writer escapes control characters, so its files have none.
_BACKSLASH_MARK = b"\x01"
_QUOTE_MARK = b"\x02"
_EMPTY_MARK = b"\x03"
_REGULAR_MARK = b"\x04"
_MARKS = (_BACKSLASH_MARK, _QUOTE_MARK, _EMPTY_MARK, _REGULAR_MARK)
_UNMARK_QUOTES = bytes.maketrans(_QUOTE_MARK, b'"')
_EMPTY_VALUE = re.compile(rb'""')  # re.sub takes half the time of bytes.replace here
_REGULAR_ROW = _REGULAR_MARK + b"\n"


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
        # Values of a column's properties, because the properties parse the type.
        self._limits = [sys.maxsize if c.limit is None else c.limit for c in columns]
        self._is_text = [c.is_text for c in columns]
        self._is_trimmed = [_is_trimmed(c) for c in columns]
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
                values[index] = self._fit(index, value)

    def _fit(self, index: int, value: bytes | None) -> bytes | None:
        """Return the value as the column accepts it: None for NULL, trimmed and truncated."""
        if not value:
            if self._columns[index].not_null:
                name = self._columns[index].name
                raise CopyValueError(name, value or b"", "Missing data for not-null field")
            return None
        if not self._is_text[index]:
            return value
        if self._is_trimmed[index]:
            value = value.rstrip(b" ")
        limit = self._limits[index]
        if len(value) > limit:
            if len(value.rstrip(b" ")) > limit:
                self.truncated[self._columns[index].name] += 1
            value = _truncated(value, limit)
        return value


def _is_trimmed(column: WarehouseColumn) -> bool:
    """Whether trailing blanks are removed."""
    return column.is_text and not column.is_fixed_width


def _truncated(value: bytes, limit: int) -> bytes:
    """Return at most ``limit`` bytes of valid UTF-8, without a part of a character at the end."""
    head = value[:limit]
    return head if head.isascii() else head.decode("utf-8", "ignore").encode()


class BlockConverter:
    """Converts blocks of rows for the given columns by a few operations on each block.

    A row is *regular* if all its values are in double quotes and contain no tab, newline, carriage
    return or unescaped quote, and if no value is truncated, trimmed or missing in a NOT NULL
    column. Regular rows are converted together. :class:`RowConverter` converts the others. The
    results are the same.

    Attributes:
        rows: The number of rows converted so far.
    """

    def __init__(self, columns: Sequence[WarehouseColumn]) -> None:
        self.rows = 0
        self._row_converter = RowConverter(columns)
        self._regular_row = _row_pattern(columns, rb'[^"\t\n\r]')
        # Takes a third of the time, but also matches values that contain a tab or a line end.
        self._quoted_row = _row_pattern(columns, rb'[^"]')
        self._tabs = len(columns) - 1

    @property
    def truncated(self) -> Counter[str]:
        """The number of truncated values by column."""
        return self._row_converter.truncated

    def convert(self, block: bytes) -> bytes:
        """Convert the rows of one of :func:`blocks` to rows of COPY's text format.

        Raises:
            CopyValueError: As for :meth:`RowConverter.convert`. ``rows`` is then the number of the
                rows before the rejected one.
        """
        if any(mark in block for mark in _MARKS) or not block.endswith(b"\n"):
            return self._convert_rows(block)
        marked = block
        if b"\\" in block:  # much cheaper than two replacements without effect
            marked = block.replace(rb"\\", _BACKSLASH_MARK).replace(rb"\"", _QUOTE_MARK)
        if b"\\\n" in marked:  # a row of several lines
            return self._convert_rows(block)
        converted = (
            _EMPTY_VALUE.sub(_EMPTY_MARK, marked)
            .translate(_UNMARK_QUOTES, b'"\\')
            .replace(_EMPTY_MARK, _NULL)
            .replace(_BACKSLASH_MARK, rb"\\")
        )
        if not _is_utf8(converted):
            return self._convert_rows(block)
        rest = self._mark_regular(marked)
        row_count = len(rest) // len(_REGULAR_ROW)
        if rest == _REGULAR_ROW * row_count:
            self.rows += row_count
            return converted
        return self._replace_irregular(converted, rest)

    def _mark_regular(self, marked: bytes) -> bytes:
        """Replace each regular row with a mark."""
        rest = self._quoted_row.sub(_REGULAR_ROW, marked)
        # Each match has at least the tabs and the newline between values. If it has more, the sums
        # are too high.
        tabs = rest.count(_REGULAR_MARK) * self._tabs + rest.count(b"\t")
        is_exact = count(marked, b"\t") == tabs and count(marked, b"\n") == rest.count(b"\n")
        if is_exact and b"\r" not in marked:
            return rest
        return self._regular_row.sub(_REGULAR_ROW, marked)

    def _replace_irregular(self, converted: bytes, rest: bytes) -> bytes:
        """Replace the irregular rows in ``converted``; ``rest`` has a mark for each regular row."""
        rows = converted.split(b"\n")
        before = self.rows
        for index, row in enumerate(rest.split(b"\n")[:-1]):
            if row != _REGULAR_MARK:
                self.rows = before + index
                original = row.replace(_QUOTE_MARK, rb"\"").replace(_BACKSLASH_MARK, rb"\\")
                rows[index] = self._row_converter.convert(original)[:-1]
        self.rows = before + len(rows) - 1
        return b"\n".join(rows)

    def _convert_rows(self, block: bytes) -> bytes:
        """Convert the rows one by one."""
        converted = []
        for row in records(io.BytesIO(block)):
            converted.append(self._row_converter.convert(row))
            self.rows += 1
        return b"".join(converted)


def _row_pattern(columns: Sequence[WarehouseColumn], byte: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a row whose values consist of ``byte`` and fit the columns."""
    values = [_value_pattern(column, byte) + b'"' for column in columns]
    # The lookbehind is the start of a line. A search for the quote is faster than one for "^".
    return re.compile(b'"' + rb'(?<![^\n]")' + rb'\t"'.join(values) + rb"\n")


def _value_pattern(column: WarehouseColumn, byte: bytes) -> bytes:
    least = b"1" if column.not_null else b"0"
    most = b"" if column.limit is None else b"%d" % column.limit
    return b"%s{%s,%s}%s" % (byte, least, most, b"(?<! )" if _is_trimmed(column) else b"")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Split into blocks of complete rows; only the last row may lack its newline."""
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        rest += data
        end = _end_of_rows(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _end_of_rows(data: bytes) -> int:
    """Return the end of the last complete row; a row ends with an unescaped newline."""
    newline = data.rfind(b"\n")
    while newline > 0 and _is_escaped(data, newline):
        newline = data.rfind(b"\n", 0, newline)
    return newline + 1


def _is_escaped(data: bytes, position: int) -> bool:
    """Whether an odd number of backslashes precedes the byte."""
    start = position
    while start and data[start - 1] == _BACKSLASH:
        start -= 1
    return (position - start) % 2 == 1


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
