"""What has come of chunks, as the caller takes it: rows in bytes, untracked events, kept lines."""

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

_BETWEEN_ROWS: Final = '"\n"'
_BETWEEN: Final = _BETWEEN_ROWS.encode()
_MARK: Final = MISSING.encode()
_ASCII: Final = bytes(range(0x80))
_UNPRINTABLE: Final = re.compile(rf"[^\x00-\x7f{printable_class()}]")
_MAX_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table.

    Attributes:
        table: The table.
        text: The rows, each ended by a line feed, in UTF-8.
        count: How many they are.
        skipped: How many of them lack a column.
    """

    table: Table
    text: bytes
    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """A line of which an event, or all, ended without a row though there should be one.

    Attributes:
        line: The line, without its line end.
        outcome: ``malformed`` or ``failed``.
        error: What was wrong.
        uuid: The event's id, or the record's.
        event: The event's name; empty for a whole record.
    """

    line: bytes
    outcome: Outcome
    error: str
    uuid: str
    event: str


@dataclass(frozen=True)
class TransformOutput:
    """What has come of chunks.

    Attributes:
        rows: The rows by table name.
        untracked: JSON lines of untracked events, without line ends.
        quarantined: What is to be kept for another try, in the lines' order.
    """

    rows: dict[str, TableRows] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    quarantined: list[QuarantinedLine] = field(default_factory=list)


class RowEncoder:
    """Encodes the rows that generated code makes, and escapes in them what is not printable."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def encode(self, table: Table, texts: list[str]) -> TableRows:
        """The rows whose texts, without their first and last quote, ``texts`` are."""
        count = len(texts)
        text = self._encoded(texts) if table.columns else b"\n" * count
        if b"\x7f" in text:
            text = text.replace(b"\x7f", b"\\x7f")
        skipped = 0
        if _MARK in text:
            skipped = len([row for row in texts if MISSING in row])
            text = text.replace(_MARK, b"")
        return TableRows(table, text, count, skipped)

    def _encoded(self, texts: list[str]) -> bytes:
        are_narrow = list(map(str.isascii, texts))
        if all(are_narrow):
            return _framed(_BETWEEN_ROWS.join(texts).encode())
        wide = list(compress(texts, map(not_, are_narrow)))
        if not self._all_printable(wide):
            wide = [_escape_others(row) for row in wide]
        # By themselves: joined to them as text, all others would be wide too, and slow to encode.
        narrow = list(compress(texts, are_narrow))
        rows = list(map(str.encode, wide))
        if narrow:
            rows.append(_BETWEEN_ROWS.join(narrow).encode())
        return _framed(_BETWEEN.join(rows))

    def _all_printable(self, rows: list[str]) -> bool:
        """Whether the rows have no character but such as are known to be printable.

        The ASCII is taken away first: most of a row is, and the rest repeats.
        """
        others = set(b"".join(map(str.encode, rows)).translate(None, _ASCII).decode())
        unknown = others - self._known
        if not unknown:
            return True
        if len(self._known) + len(unknown) > _MAX_KNOWN:
            self._known.clear()
        self._known.update(char for char in unknown if not _UNPRINTABLE.match(char))
        return unknown <= self._known


def _escape_others(row: str) -> str:
    """``row`` with escapes for what is neither ASCII nor printable."""
    return _UNPRINTABLE.sub(lambda match: escape(match[0]), row)


def _framed(rows: bytes) -> bytes:
    return b'"%b"\n' % rows
