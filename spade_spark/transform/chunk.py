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

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.edge.record import EdgeRecord
from spade_spark.lookups import Lookups
from spade_spark.transform.decoders import Decoders
from spade_spark.transform.drained import Drained, Kept, RowEncoder, TableRows
from spade_spark.transform.edge_lines import BACKSLASH, DOUBT, EdgeLine, EdgeLineReader
from spade_spark.transform.exact import ExactTransform, Result
from spade_spark.transform.memo import Address, Memos, Second
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.tally import Tally
from spade_spark.transform.texts import BETWEEN, MISSING

_NOT_PLAIN: Final = (msgspec.ValidationError, ValueError)
_WHOLE_SECOND: Final = len("2006-01-02T15:04:05Z")

_KEPT: Final = frozenset({Outcome.MALFORMED, Outcome.FAILED})
"""How an event ends that another try may make a row of, once a bug is mended."""


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
        self._decoders = Decoders(tables, self._memos, asked)
        self._rows = self._decoders.rows
        self._untracked = self._decoders.untracked
        self._quarantined: list[Kept] = []
        self._reader = EdgeLineReader()
        self._encoder = RowEncoder()

    def feed(self, chunk: bytes) -> None:
        """Transforms whole lines, each ended by a line feed except perhaps the last.

        Raises:
            LookupDown: A service that a column asks does not answer.
        """
        records = self._reader.read(chunk)
        doubtful = self._transform(records, range(len(records)))
        if doubtful and self._decoders.refresh():
            doubtful = self._transform(records, doubtful)
        for number, line in _numbered_lines(doubtful, chunk):
            self._count(line, self._exactly(line, records[number]))
        self.tally.lines += len(records)
        self.tally.records += len(records) - len(doubtful)

    def _transform(
        self, records: Sequence[EdgeLine | None], numbers: Sequence[int]
    ) -> Sequence[int]:
        """Makes the rows of some of the records; the numbers of those left to the exact path."""
        plain = self._decoders.plain
        seconds, new_second = self._memos.seconds.known.get, self._memos.seconds.fill
        addresses, new_address = self._memos.addresses.known.get, self._memos.addresses.fill
        doubtful = []
        for number, record in zip(numbers, map(records.__getitem__, numbers), strict=True):
            try:
                if record is None:
                    raise ValueError("no record in the edge's own spelling")
                at = record.at
                second = seconds(at[:20]) or new_second(at[:20])
                if not (at[20:-1].isdigit() and at[-1] == "Z" and at.isascii()):
                    _check_time(at)
                address = addresses(record.ip) or new_address(record.ip)
                payload = record.data
                if BACKSLASH in payload:
                    self._transform_escaped(record, second, address)
                    continue
                try:
                    event = plain(payload)
                    if type(event) is list:
                        _check_list(payload)
                        _append([e.row(record, second, address) for e in event], event)
                    else:
                        batch = event.batch
                        batch += (event, record, second, address)
                except _NOT_PLAIN:
                    self._transform_carefully(record, second, address)
            except DOUBT:
                doubtful.append(number)
        left = set(map(id, self._make_batches()))
        doubtful += [number for number in numbers if id(records[number]) in left] if left else []
        return sorted(doubtful)

    def again(self, line: bytes, uuid: str = "") -> None:
        """Transforms one line that was kept; with ``uuid`` that event of it alone.

        Raises:
            LookupDown: As for :meth:`feed`.
        """
        self._count(line, self._exact.line(line), uuid)
        self.tally.lines += 1

    def drain(self, at_least: int = 1) -> Drained:
        """Hands over what is buffered, and counts how the rows ended.

        Args:
            at_least: Tables with fewer rows keep them until the next time.
        """
        rows = {
            name: self._take(self._tables[name], texts)
            for name, texts in self._rows.items()
            if len(texts) >= at_least
        }
        untracked = self._untracked.copy() if len(self._untracked) >= at_least else []
        if untracked:
            self._untracked.clear()
            self.tally.count("", Outcome.UNTRACKED, len(untracked))
        quarantined, self._quarantined = self._quarantined, []
        return Drained(rows, untracked, quarantined)

    def _take(self, table: Table, texts: list[str]) -> TableRows:
        rows = self._encoder.encode(table, texts)
        texts.clear()
        if rows.skipped:
            self.tally.count(table.name, Outcome.SKIPPED_COLUMNS, rows.skipped)
        if rows.count > rows.skipped:
            self.tally.count(table.name, Outcome.SUCCESS, rows.count - rows.skipped)
        return rows

    def _make_batches(self) -> list[EdgeLine]:
        """Makes the rows of the events that wait, table by table; the records of those left."""
        left: list[EdgeLine] = []
        for kind in self._decoders.plain_events:
            batch, texts = kind.batch, kind.texts
            if not batch:
                continue
            try:
                texts += kind.rows(batch)
            except DOUBT:
                left += _make_singly(batch, texts)
            batch.clear()
        return left

    def _transform_escaped(self, record: EdgeLine, second: Second, address: Address) -> None:
        """A payload with escapes in its JSON: what they stand for may need escapes in a row."""
        if b"\\u0000" in record.data:
            raise ValueError("a NUL would be taken for the mark of a missing column")
        try:
            events = self._decoders.plain(record.data)
            if type(events) is not list:
                row = events.row(record, second, address)
                if _needs_escapes(row):
                    row = events.escaping(record, second, address)
                events.texts.append(row)
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

    def _exactly(self, line: bytes, record: EdgeLine | None) -> list[Result] | None:
        """What the exact path makes of a line, of which all but the payload may be read already."""
        if record is None:
            return self._exact.line(line)
        try:
            second = self._memos.seconds[record.at[:20]]
            _check_time(record.at)
            address = self._memos.addresses[record.ip]
        except DOUBT:
            return self._exact.line(line)
        read = EdgeRecord(int(second.text), address[0], record.uuid, "", record.agent)
        return self._exact.payload(record.data, read)

    def _count(self, line: bytes, results: list[Result] | None, uuid: str = "") -> None:
        """Takes in what the exact path made of a line; with ``uuid`` of that event alone."""
        if results is None:
            self.tally.undecodable += 1
            return
        self.tally.records += 1
        for result in results:
            if not uuid or result.uuid == uuid:
                self._count_event(line, result)

    def _count_event(self, line: bytes, result: Result) -> None:
        table = result.table or ""
        if result.outcome in _KEPT:
            kept = Kept(line, result.outcome, result.error, result.uuid, table)
            self._quarantined.append(kept)
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


def _numbered_lines(numbers: Sequence[int], chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines of a chunk by their numbers, which ascend."""
    at = passed = 0
    for number in numbers:
        while passed < number:
            at = chunk.find(b"\n", at) + 1
            passed += 1
        end = chunk.find(b"\n", at)
        yield number, chunk[at:] if end < 0 else chunk[at:end]


def _check_time(at: str) -> None:
    """Raises ValueError unless ``at`` ends in ``Z``, after a fraction's digits if it has one."""
    fraction = at[20:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == _WHOLE_SECOND) or at[-1] != "Z":
        raise ValueError("another form of time")


def _make_singly(batch: list[Any], texts: list[str]) -> list[EdgeLine]:
    """Makes the rows of a batch one by one; the records of those that are left."""
    left: list[EdgeLine] = []
    for event, record, second, address in zip(*[iter(batch)] * 4, strict=True):
        try:
            texts.append(event.row(record, second, address))
        except DOUBT:  # noqa: PERF203 - each of them may
            left.append(record)
    return left


def _needs_escapes(row: str) -> bool:
    """Whether a text of a row, or more, is not to be written as it is."""
    texts = row.replace(BETWEEN, "").replace(MISSING, "")
    return '"' in texts or "\\" in texts or not texts.isprintable()


def _append(rows: list[str], events: list[Any]) -> None:
    """Adds the rows of one payload's events, all of which have been made."""
    for event, row in zip(events, rows, strict=True):
        event.texts.append(row)


def _check_list(payload: bytes) -> None:
    """Raises ValueError where a list is no list of events to the exact path."""
    if not payload.startswith(b"[{"):
        raise ValueError("a list that does not begin with [{")
