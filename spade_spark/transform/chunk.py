r"""Chunks of lines to rows: the fast path, with the exact path behind it.

A line takes the first of these ways that is sure of it:

1. ``plain``: every property that was sent has its column's type. A payload without a backslash
   cannot bring ``"``, ``\`` or a control character into a row, so that nothing is escaped; with
   one, texts are escaped one by one. (What Unicode calls not printable, and DEL, are looked for in
   many rows at once.)
2. ``careful``: the payload is JSON in UTF-8; what was sent is converted value by value.
3. :mod:`~spade_spark.transform.exact`.

Doubt is an exception: the Structs forbid what they do not know, so that another spelling of a
member, an unknown name or a wrong type raises while it is decoded, and the line goes a step down.
What each step costs stands in bench/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.edge.strict_json import text_of
from spade_spark.lookups import Lookups
from spade_spark.transform.exact import ExactTransform
from spade_spark.transform.memo import MISSING, Address, Memos, Second
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.printable import printable_class
from spade_spark.transform.quoting import escape
from spade_spark.transform.row import compile_events
from spade_spark.transform.tally import Tally
from spade_spark.transform.untracked import untracked_line

DOUBT: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
)
"""What decoding and generated code raise where they are not sure."""

MAX_UNTRACKED_NAMES: Final = 200
"""Names without a table that have a decoder; clients invent names, so they are bounded."""

_NOT_PLAIN: Final = (msgspec.ValidationError, ValueError)
_WHOLE_SECOND: Final = len("2006-01-02T15:04:05Z")
_BETWEEN_ROWS: Final = '"\n"'
_BRACE: Final = ord("{")
_BACKSLASH: Final = ord("\\")  # finding a byte by its number is five times as fast as b"\\"
_MARK: Final = MISSING.encode()
_HTML: Final = re.compile(rb"[<>&]|^$")
_UNPRINTABLE: Final = re.compile(rf"[^\x00-\x7f{printable_class()}]")


_KEPT: Final = frozenset({Outcome.MALFORMED, Outcome.FAILED})
"""How an event ends that another try may make a row of, once a bug is mended."""


class EdgeLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An edge record as the edge writes it. Any other spelling is left to the exact path."""

    at: str = msgspec.field(name="receivedAt")
    ip: str = msgspec.field(name="clientIp")
    forwarded: str = msgspec.field(name="xForwardedFor", default="")
    uuid: str = ""
    data: bytes = b""
    agent: str = msgspec.field(name="userAgent", default="")
    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = msgspec.field(
        name="recordversion", default=0
    )
    edge_type: Literal["external", "internal"] = msgspec.field(name="edgeType", default="internal")


class _Named(msgspec.Struct, gc=False):
    event: str
    properties: msgspec.Raw = msgspec.Raw(b"")


class _NoEvent(msgspec.Struct, tag_field="event", tag="", forbid_unknown_fields=True):
    """In every union, and never decoded: msgspec asks for a tag only where it has to choose."""

    properties: Annotated[int, msgspec.Meta(gt=0, lt=0)]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Kept:
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
class Drained:
    """What has come of the chunks since the last time.

    Attributes:
        rows: The rows by table name.
        untracked: JSON lines of untracked events, without line ends.
        quarantined: What is to be kept for another try, in the lines' order.
    """

    rows: dict[str, TableRows] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    quarantined: list[Kept] = field(default_factory=list)


class ChunkTransform:
    """Turns chunks of lines into rows, which the caller takes with :meth:`drain`.

    What is buffered between two drains is what the chunks fed since then came to.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.

    Attributes:
        tally: What was counted; events are complete after each :meth:`drain`.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        asked: frozenset[str] | None = None,
    ) -> None:
        self.tally = Tally()
        self._tables = tables
        self._exact = ExactTransform(tables, lookups, asked)
        self._memos = Memos(lookups)
        self._decoders = _Decoders(tables, self._memos, asked)
        self._rows = self._decoders.rows
        self._untracked = self._decoders.untracked
        self._quarantined: list[Kept] = []
        self._read_line = msgspec.json.Decoder(EdgeLine).decode
        self._read_lines = msgspec.json.Decoder(EdgeLine).decode_lines

    def feed(self, chunk: bytes) -> None:
        """Transforms whole lines, each ended by a line feed except perhaps the last.

        Raises:
            LookupDown: A service that a column asks does not answer.
        """
        decoders = self._decoders
        seconds, addresses = self._memos.seconds, self._memos.addresses
        records = self._read(chunk)
        lines: list[bytes] = []
        exact = 0
        for number, record in enumerate(records):
            try:
                if record is None:
                    raise ValueError("no record in the edge's own spelling")
                at = record.at
                second = seconds[at[:20]]
                if not (at[20:-1].isdigit() and at[-1] == "Z" and at.isascii()):
                    _check_whole_second(at)
                address = addresses[record.ip]
                payload = record.data
                if _BACKSLASH in payload:
                    self._transform_escaped(record, second, address)
                    continue
                try:
                    event = decoders.plain(payload)
                    if type(event) is list:
                        _check_list(payload)
                        _append([e.row(record, second, address) for e in event], event)
                    else:
                        event.texts.append(event.row(record, second, address))
                except _NOT_PLAIN:
                    self._transform_carefully(record, second, address)
            except DOUBT:
                exact += 1
                lines = lines or chunk.split(b"\n")
                self._transform_exactly(lines[number])
        decoders.refresh()
        self.tally.lines += len(records)
        self.tally.records += len(records) - exact

    def again(self, line: bytes, uuid: str = "") -> None:
        """Transforms one line that was kept; with ``uuid`` that event of it alone.

        Raises:
            LookupDown: As for :meth:`feed`.
        """
        self._transform_exactly(line, uuid)
        self.tally.lines += 1

    def drain(self) -> Drained:
        """Hands over what is buffered, and counts how the rows ended."""
        rows = {
            name: self._take(self._tables[name], texts)
            for name, texts in self._rows.items()
            if texts
        }
        untracked = self._untracked.copy()
        self._untracked.clear()
        if untracked:
            self.tally.count("", Outcome.UNTRACKED, len(untracked))
        quarantined, self._quarantined = self._quarantined, []
        return Drained(rows, untracked, quarantined)

    def _take(self, table: Table, texts: list[str]) -> TableRows:
        count = len(texts)
        if all(map(str.isascii, texts)):
            text = f'"{_BETWEEN_ROWS.join(texts)}"\n'.encode()
        else:  # row by row: joined, one of them would make all others wide, and slow to encode
            rows = [row.encode() if row.isascii() else _escape_others(row) for row in texts]
            text = b'"%b"\n' % _BETWEEN_ROWS.encode().join(rows)
        if not table.columns:
            text = b"\n" * count
        if b"\x7f" in text:
            text = text.replace(b"\x7f", b"\\x7f")
        skipped = 0
        if _MARK in text:
            skipped = len([row for row in texts if MISSING in row])
            text = text.replace(_MARK, b"")
        texts.clear()
        if skipped:
            self.tally.count(table.name, Outcome.SKIPPED_COLUMNS, skipped)
        if count > skipped:
            self.tally.count(table.name, Outcome.SUCCESS, count - skipped)
        return TableRows(table, text, count)

    def _read(self, chunk: bytes) -> Sequence[EdgeLine | None]:
        """The records of the lines; None where a line is in another spelling, or none."""
        if _BACKSLASH not in chunk:
            try:
                records = self._read_lines(chunk)
            except DOUBT:
                pass
            else:
                if len(records) == _count_lines_of_objects(chunk):
                    return records
        return [self._read_one(line) for line in chunk.removesuffix(b"\n").split(b"\n")]

    def _read_one(self, line: bytes) -> EdgeLine | None:
        if _BACKSLASH in line:  # an escape must not stand in a time
            return None
        try:
            return self._read_line(line)
        except DOUBT:
            return None

    def _transform_escaped(self, record: EdgeLine, second: Second, address: Address) -> None:
        """A payload with escapes in its JSON: what they stand for may need escapes in a row."""
        if b"\\u0000" in record.data:
            raise ValueError("a NUL would be taken for the mark of a missing column")
        try:
            events = self._decoders.plain(record.data)
            if type(events) is not list:
                events.texts.append(events.escaping(record, second, address))
                return
            _check_list(record.data)
        except _NOT_PLAIN:
            events = self._read_carefully(record.data)
        _append([event.escaping(record, second, address) for event in events], events)

    def _transform_carefully(self, record: EdgeLine, second: Second, address: Address) -> None:
        """A payload without escapes, of other types than the plain way takes."""
        events = self._read_carefully(record.data)
        _append([event.row(record, second, address) for event in events], events)

    def _read_carefully(self, payload: bytes) -> list[Any]:
        try:
            events = self._decoders.careful(payload)
        except msgspec.ValidationError:
            self._decoders.learn(payload)
            raise
        if type(events) is not list:
            return [events]
        _check_list(payload)
        return events

    def _transform_exactly(self, line: bytes, uuid: str = "") -> None:
        results = self._exact.line(line)
        if results is None:
            self.tally.undecodable += 1
            return
        self.tally.records += 1
        for result in results:
            if uuid and result.uuid != uuid:
                continue
            if result.outcome in _KEPT:
                event = result.table or ""
                self._quarantined.append(
                    Kept(line, result.outcome, result.error, result.uuid, event)
                )
            table = result.table or ""
            match result.outcome:
                case Outcome.SUCCESS:
                    self._rows.setdefault(table, []).append((result.row or "")[1:-1])
                case Outcome.SKIPPED_COLUMNS:
                    self._rows.setdefault(table, []).append(MISSING + (result.row or "")[1:-1])
                case Outcome.UNTRACKED:
                    self._untracked.append(result.row or "")
                case Outcome.FAILED:
                    self.tally.fail(table, result.uuid, result.error)
                case outcome:
                    self.tally.count(table, outcome)


class _Decoders:
    """Decoders of the events of the tables that have been met, which grow as others come."""

    def __init__(
        self, tables: Mapping[str, Table], memos: Memos, asked: frozenset[str] | None
    ) -> None:
        self.rows: dict[str, list[str]] = {}
        self.untracked: list[str] = []
        self.plain: Callable[[bytes], Any] = _nothing
        self.careful: Callable[[bytes], Any] = _nothing
        self._tables = tables
        self._memos = memos
        self._asked = asked
        self._met: set[str] = set()
        self._met_before = 0
        self._room = MAX_UNTRACKED_NAMES
        self._read_names = msgspec.json.Decoder(_Named | list[_Named]).decode
        self._plain: list[type[msgspec.Struct]] = []
        self._careful: list[type[msgspec.Struct]] = []

    def learn(self, payload: bytes) -> None:
        """Sees to it that, from the next chunk on, the payload's events are decoded."""
        read = self._read_names(payload)
        for event in read if isinstance(read, list) else [read]:
            if event.event not in self._met:
                self._add(event)

    def refresh(self) -> None:
        """Takes in what was learnt. That takes its time, and so is done once a chunk."""
        if self._met_before < len(self._met):
            self._met_before = len(self._met)
            self.plain = _decoder(self._plain)
            self.careful = _decoder(self._careful)

    def _add(self, event: _Named) -> None:
        name = event.event
        table = self._tables.get(name)
        if self._asked is not None and (table is None or name not in self._asked):
            return
        if table is not None:
            texts = self.rows.setdefault(name, [])
            structs = compile_events(table, self._memos, texts, _keys(event.properties))
        elif name and self._room:
            self._room -= 1
            struct = _untracked_event(name, self.untracked)
            structs = {"plain": struct, "careful": struct}
        else:
            return
        self._met.add(name)
        self._plain += [structs["plain"]] if "plain" in structs else []
        self._careful += [structs["careful"]] if "careful" in structs else []


def _decoder(events: list[type[msgspec.Struct]]) -> Callable[[bytes], Any]:
    """Decodes one event, or a list of events."""
    if not events:
        return _nothing
    one: Any = reduce(or_, events, _NoEvent)
    return msgspec.json.Decoder(one | list[one]).decode


def _keys(properties: msgspec.Raw) -> tuple[str, ...]:
    """The names of properties in the order in which they were sent, or none if that is unclear."""
    try:
        return tuple(msgspec.json.decode(properties, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, ValueError):
        return ()


def _nothing(payload: bytes) -> Any:
    raise msgspec.ValidationError(f"no decoder of {payload!r}")


def _untracked_event(name: str, texts: list[str]) -> type[msgspec.Struct]:
    """A Struct of events of a name without a table, which makes their JSON lines as rows."""
    prefix = untracked_line(name, "").removesuffix("null}")

    def row(event: Any, *_: object) -> str:
        sent = bytes(event.properties)
        if sent.isascii() and not _HTML.search(sent):
            return f"{prefix}{msgspec.json.format(sent, indent=-1).decode()}}}"
        return untracked_line(name, text_of(sent))

    return msgspec.defstruct(
        "Untracked",
        [("properties", msgspec.Raw, msgspec.Raw(b""))],
        namespace={"row": row, "escaping": row, "texts": texts, "columns": 0},
        tag_field="event",
        tag=name,
        forbid_unknown_fields=True,
        gc=False,
    )


def _count_lines_of_objects(chunk: bytes) -> int:
    """How many lines there are, or -1 if one of them does not begin with a brace.

    msgspec takes two records on a line, and one on two lines, which the exact path does not. No
    record has an object inside, so that where each line begins with a brace, each begins a record:
    are there as many records, then each line is one.
    """
    count = at = 0
    while at < len(chunk):
        if chunk[at] != _BRACE:
            return -1
        count += 1
        at = chunk.find(b"\n", at) + 1 or len(chunk)
    return count


def _check_whole_second(at: str) -> None:
    """Raises ValueError unless the time has no fraction, and ``Z`` is its 20th character."""
    if len(at) != _WHOLE_SECOND or at[-1] != "Z":
        raise ValueError("another form of time")


def _append(rows: list[str], events: list[Any]) -> None:
    """Adds the rows of one payload's events, all of which have been made."""
    for event, row in zip(events, rows, strict=True):
        event.texts.append(row)


def _check_list(payload: bytes) -> None:
    """Raises ValueError where a list is no list of events to the exact path."""
    if not payload.startswith(b"[{"):
        raise ValueError("a list that does not begin with [{")


def _escape_others(row: str) -> bytes:
    """``row`` in UTF-8, with escapes for what is neither ASCII nor printable."""
    return _UNPRINTABLE.sub(lambda match: escape(match[0]), row).encode()
