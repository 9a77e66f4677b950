"""The output of the transform: encoded rows, untracked events and quarantined lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import Final

from spade_spark.blueprint.schema import Table
from spade_spark.gocompat.quote import escape, printable_class
from spade_spark.transform.coerce import MISSING
from spade_spark.transform.outcomes import Outcome

_ROW_SEPARATOR: Final = '"\n"'
_ROW_SEPARATOR_BYTES: Final = _ROW_SEPARATOR.encode()
_MISSING_BYTES: Final = MISSING.encode()
_ASCII: Final = bytes(range(0x80))
_UNPRINTABLE: Final = re.compile(rf"[^\x00-\x7f{printable_class()}]")
_MAX_CACHED: Final = 4096


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table.

    Attributes:
        table: The table.
        text: The rows in UTF-8, each followed by a line feed.
        count: The number of rows.
        skipped: The number of rows with a column that could not be filled.
    """

    table: Table
    text: bytes
    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """A line with an event that could not become a row.

    Attributes:
        line: The line, without a line feed.
        outcome: ``malformed`` or ``failed``.
        error: The error text.
        uuid: The id of the event or the record.
        event: The name of the event; empty if the record is malformed.
    """

    line: bytes
    outcome: Outcome
    error: str
    uuid: str
    event: str


@dataclass(frozen=True)
class TransformOutput:
    """The output of one or more chunks.

    Attributes:
        rows: The rows by table name.
        untracked: The JSON lines of untracked events, without line feeds.
        quarantined: The lines to quarantine, in input order.
    """

    rows: dict[str, TableRows] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    quarantined: list[QuarantinedLine] = field(default_factory=list)


class RowEncoder:
    """Encodes the rows of generated code and escapes characters that are not printable.

    The rows come without their first and last quote.
    """

    def __init__(self) -> None:
        self._printable: set[str] = set()

    def encode(self, table: Table, rows: list[str]) -> TableRows:
        """Encode the rows of a table."""
        count = len(rows)
        text = self._encoded(rows) if table.columns else b"\n" * count
        if b"\x7f" in text:
            text = text.replace(b"\x7f", b"\\x7f")
        skipped = 0
        if _MISSING_BYTES in text:
            skipped = len([row for row in rows if MISSING in row])
            text = text.replace(_MISSING_BYTES, b"")
        return TableRows(table, text, count, skipped)

    def _encoded(self, rows: list[str]) -> bytes:
        are_ascii = list(map(str.isascii, rows))
        if all(are_ascii):
            return _framed(_ROW_SEPARATOR.join(rows).encode())
        non_ascii = list(compress(rows, map(not_, are_ascii)))
        if not self._all_printable(non_ascii):
            non_ascii = [_escape_unprintable(row) for row in non_ascii]
        # One non-ASCII row would make the joined rows slow to encode.
        ascii_rows = list(compress(rows, are_ascii))
        encoded = list(map(str.encode, non_ascii))
        if ascii_rows:
            encoded.append(_ROW_SEPARATOR.join(ascii_rows).encode())
        return _framed(_ROW_SEPARATOR_BYTES.join(encoded))

    def _all_printable(self, rows: list[str]) -> bool:
        """Return whether all non-ASCII characters of the rows are printable."""
        non_ascii = set(b"".join(map(str.encode, rows)).translate(None, _ASCII).decode())
        unknown = non_ascii - self._printable
        if not unknown:
            return True
        if len(self._printable) + len(unknown) > _MAX_CACHED:
            self._printable.clear()
        self._printable.update(char for char in unknown if not _UNPRINTABLE.match(char))
        return unknown <= self._printable


def _escape_unprintable(row: str) -> str:
    """Escape the characters of ``row`` that are neither ASCII nor printable."""
    return _UNPRINTABLE.sub(lambda match: escape(match[0]), row)


def _framed(rows: bytes) -> bytes:
    return b'"%b"\n' % rows
