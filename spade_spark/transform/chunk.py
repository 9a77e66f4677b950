"""Chunks of lines to rows: the fast path, with the exact path behind it.

A line takes the first of these ways that is sure of it:

1. Its payload is plain (ASCII, no backslash, no DEL: nothing in it needs an escape) and every
   property has its column's type: a generated function makes the row.
2. Its payload is JSON in UTF-8: a second generated function makes the row, value by value.
3. :mod:`~spade_spark.transform.exact`.

Doubt is an exception: the Structs forbid what they do not know, so that another spelling of a
member, an untracked name or a wrong type raises while it is decoded, and the line goes a step
down. What each step costs stands in bench/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Union

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.lookups import Lookups
from spade_spark.transform.exact import ExactTransform
from spade_spark.transform.memo import MISSING, Memos
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.row import compile_events
from spade_spark.transform.tally import Tally

DOUBT: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
)
"""What decoding and generated code raise where they are not sure."""

_MARK: Final = MISSING.encode()


class EdgeLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An edge record as the edge writes it. Any other spelling is left to the exact path."""

    at: str = msgspec.field(name="receivedAt")
    ip: str = msgspec.field(name="clientIp")
    data: bytes
    uuid: str
    agent: str = msgspec.field(name="userAgent", default="")
    forwarded: str = msgspec.field(name="xForwardedFor", default="")
    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = msgspec.field(
        name="recordversion", default=0
    )
    edge_type: str = msgspec.field(name="edgeType", default="")


class _Name(msgspec.Struct, gc=False):
    event: str


@dataclass(frozen=True)
class TableRows:
    """Rows of one table.

    Attributes:
        table: The table.
        text: The rows, each ended by a line feed, in UTF-8.
        count: How many they are.
    """

    table: Table
    text: bytes
    count: int


@dataclass(frozen=True)
class Drained:
    """What has come of the chunks since the last time.

    Attributes:
        rows: The rows by table name.
        untracked: JSON lines of untracked events, without line ends.
    """

    rows: dict[str, TableRows] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)


class ChunkTransform:
    """Turns chunks of lines into rows, which the caller takes with :meth:`drain`.

    What is buffered between two drains is what the chunks fed since then came to.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.

    Attributes:
        tally: What was counted; complete after each :meth:`drain`.
        untracked: Lines of untracked events since the last drain.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        asked: frozenset[str] | None = None,
    ) -> None:
        self.tally = Tally()
        self.untracked: list[str] = []
        self._tables = tables
        self._exact = ExactTransform(tables, lookups, asked)
        self._memos = Memos(lookups)
        self._wanted = frozenset(tables) if asked is None else asked & frozenset(tables)
        self._rows: dict[str, list[str]] = {}
        self._read_line = msgspec.json.Decoder(EdgeLine).decode
        self._read_name = msgspec.json.Decoder(Union[_Name, list[_Name]]).decode
        self._plain = _Union()
        self._careful = _Union()
        self._known: set[str] = set()

    def feed(self, chunk: bytes) -> None:
        """Transforms whole lines, each ended by a line feed except perhaps the last."""
        lines = chunk.split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.tally.lines += len(lines)
        read_line, seconds = self._read_line, self._memos.seconds
        if b"\\" in chunk:
            read_line = self._read_unescaped
        for line in lines:
            try:
                record = read_line(line)
                at = record.at
                second = seconds[at[:19]]
                rest = at[19:]
                if rest != "Z":
                    _check_fraction(rest)
                self._transform(record, second)
            except DOUBT:
                self._transform_exactly(line)
            else:
                self.tally.records += 1

    def drain(self) -> Drained:
        """Hands over what is buffered, and counts how the rows ended."""
        rows = {
            name: self._take(self._tables[name], texts)
            for name, texts in self._rows.items()
            if texts
        }
        untracked = self.untracked
        self.untracked = []
        return Drained(rows, untracked)

    def _take(self, table: Table, texts: list[str]) -> TableRows:
        count = len(texts)
        text = "\n".join(texts).encode()
        skipped = 0
        if _MARK in text:
            skipped = sum(MISSING in row for row in texts)
            text = text.replace(_MARK, b"")
        texts.clear()
        if skipped:
            self.tally.count(table.name, Outcome.SKIPPED_COLUMNS, skipped)
        if count > skipped:
            self.tally.count(table.name, Outcome.SUCCESS, count - skipped)
        return TableRows(table, text + b"\n", count)

    def _read_unescaped(self, line: bytes) -> EdgeLine:
        """A line that has no escapes of its own; those of others are not told apart here."""
        if b"\\" in line:
            raise ValueError("escapes in the line's own JSON")
        return self._read_line(line)

    def _transform(self, record: EdgeLine, second: Any) -> None:
        payload = record.data
        if payload.isascii() and b"\\" not in payload and b"\x7f" not in payload:
            try:
                return self._emit(self._plain.decode(payload), record, second)
            except DOUBT:
                pass
        if b"\\u0000" in payload:  # would be taken for the mark of a missing column
            raise ValueError("NUL in the payload")
        try:
            return self._emit(self._careful.decode(payload), record, second)
        except DOUBT:
            if not self._compile(payload):
                raise
        return self._transform(record, second)

    def _emit(self, events: Any, record: EdgeLine, second: Any) -> None:
        if type(events) is not list:
            row = events.row(record, second)
            self._rows[events.table].append(row)
            return
        if not record.data.startswith(b"[{"):
            raise ValueError("no list of events to the exact path")
        rows = [(self._rows[event.table], event.row(record, second)) for event in events]
        for texts, row in rows:
            texts.append(row)

    def _compile(self, payload: bytes) -> bool:
        """Compiles the tables that the payload's events are of; False where none is new."""
        named = self._read_name(payload)
        names = {event.event for event in (named if isinstance(named, list) else [named])}
        new = (names & self._wanted) - self._known
        for name in new:
            self._known.add(name)
            self._rows.setdefault(name, [])
            events = compile_events(self._tables[name], self._memos)
            self._plain.add(events.get("plain"))
            self._careful.add(events.get("careful"))
        return bool(new)

    def _transform_exactly(self, line: bytes) -> None:
        results = self._exact.line(line)
        if results is None:
            self.tally.undecodable += 1
            return
        self.tally.records += 1
        for result in results:
            table = result.table or ""
            match result.outcome:
                case Outcome.SUCCESS:
                    self._rows.setdefault(table, []).append(result.row or "")
                case Outcome.SKIPPED_COLUMNS:
                    self._rows.setdefault(table, []).append(f"{MISSING}{result.row}")
                case Outcome.UNTRACKED:
                    self.tally.count("", Outcome.UNTRACKED)
                    self.untracked.append(result.row or "")
                case Outcome.FAILED:
                    self.tally.fail(table, result.uuid, result.error)
                case outcome:
                    self.tally.count(table, outcome)


class _Union:
    """A decoder of one event, or a list of events, of the tables added so far."""

    def __init__(self) -> None:
        self._members: list[type[msgspec.Struct]] = []
        self.decode: Callable[[bytes], Any] = _nothing

    def add(self, event: type[msgspec.Struct] | None) -> None:
        if event is None:
            return
        self._members.append(event)
        one = Union[tuple(self._members)]
        self.decode = msgspec.json.Decoder(Union[one, list[one]]).decode  # type: ignore[valid-type] # made at run time


def _nothing(payload: bytes) -> Any:
    raise ValueError("no table is known yet")


def _check_fraction(rest: str) -> None:
    """Raises ValueError unless ``rest`` is a fraction of a second and ``Z``."""
    digits = rest[1:-1]
    if rest[:1] != "." or rest[-1:] != "Z" or not (digits.isdigit() and digits.isascii()):
        raise ValueError("another form of time")
