r"""The fast path: lines that are as they nearly always are, at the least cost for each.

A line takes the first of these ways that is sure of it:

1. ``plain``: every property that was sent has its column's type. A payload without a backslash
   cannot bring ``"``, ``\`` or a control character into a row, so that nothing is escaped; with
   one, the row is looked at, and its texts are escaped one by one where it has to be. (What
   Unicode calls not printable, and DEL, are looked for in many rows at once.)
2. ``careful``: the payload is JSON in UTF-8; what was sent is converted value by value.
3. None: the line is left to :mod:`~spade_spark.transform.exact`.

Doubt is an exception: the Structs forbid what they do not know, so that another spelling of a
member, an unknown name or a wrong type raises while it is decoded, and the line goes a step down.
So does a line on which a converter or a lookup fails that should not: the exact path fails again,
and says of which event.
Plain events wait in a batch for their table until the chunk is read; their rows are made together.
What each step costs stands in bench/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.edge.record import EdgeRecord
from spade_spark.errors import SpadeError
from spade_spark.lookups import Lookups
from spade_spark.transform.decoders import Decoders
from spade_spark.transform.edge_lines import BACKSLASH, EdgeLine
from spade_spark.transform.memos import Address, Memos, Second
from spade_spark.transform.texts import BETWEEN, MISSING

_NOT_PLAIN: Final = (msgspec.ValidationError, ValueError)
_WHOLE_SECOND: Final = len("2006-01-02T15:04:05Z")

_BATCHED: Final = 4
"""How many items a batch has of an event: the event, its record, second and address."""


class FastPath:
    """Makes rows of the records that it is sure of.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.

    Attributes:
        rows: The rows of each table, without their first and last quote; the caller takes them.
        untracked: The JSON lines of untracked events; the caller takes them.
    """

    def __init__(
        self, tables: Mapping[str, Table], lookups: Lookups, asked: frozenset[str] | None
    ) -> None:
        self._memos = Memos(lookups)
        self._decoders = Decoders(tables, self._memos, asked)
        self.rows = self._decoders.rows
        self.untracked = self._decoders.untracked
        self._smooth = False  # whether all events of the last chunk were plain

    def make(self, records: Sequence[EdgeLine | None]) -> Sequence[int]:
        """Makes the rows of a chunk's records; the numbers of those that are left.

        A record that is None is left. Rows come in no particular order.

        Raises:
            LookupDown: A service that a column asks does not answer.
        """
        try:
            return self._make(records)
        except SpadeError:
            self._forget_batches()
            raise

    def _make(self, records: Sequence[EdgeLine | None]) -> Sequence[int]:
        numbers = range(len(records))
        left: Sequence[int]
        if self._smooth and self._wait_at_once(records):
            left = self._make_batches(records, numbers)
        else:
            left = self._make_singly(records, numbers)
        if left and self._decoders.refresh():
            left = self._make_singly(records, left)
        return left

    def _forget_batches(self) -> None:
        for kind in self._decoders.plain_events:
            kind.batch.clear()

    def read(self, record: EdgeLine) -> EdgeRecord | None:
        """A record as the exact path knows it, but for the payload; None where that is unsure."""
        try:
            second = self._memos.second(record.at)
            _check_time(record.at)
            address = self._memos.addresses[record.ip]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
            return None
        return EdgeRecord(int(second.text), address[0], record.uuid, "", record.agent)

    def _wait_at_once(self, records: Sequence[Any]) -> bool:
        """Puts the events of all records in batches, or of none if one of them is not plain."""
        plain = self._decoders.plain_one
        seconds, new_second = self._memos.seconds.known.get, self._memos.second
        try:
            payloads = [record.data for record in records]
            if BACKSLASH in b"".join(payloads):
                return False
            events = list(map(plain, payloads))
            addresses = self._memos.addresses.all_of([record.ip for record in records])
            for event, record, address in zip(events, records, addresses, strict=True):
                at = record.at
                second = seconds(at[:20]) or new_second(at)
                if not (at[20:-1].isdigit() and at[-1] == "Z" and at.isascii()):
                    _check_time(at)
                batch = event.batch
                batch += (event, record, second, address)
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - doubt; a bug of a lookup is met again, and counted then
            self._forget_batches()
            self._smooth = False
            return False
        return True

    def _make_singly(
        self, records: Sequence[EdgeLine | None], numbers: Sequence[int]
    ) -> Sequence[int]:
        """Makes the rows of some of the records, each in its way; the numbers of those left."""
        plain = self._decoders.plain
        seconds, new_second = self._memos.seconds.known.get, self._memos.second
        addresses, new_address = self._memos.addresses.known.get, self._memos.addresses.fill
        doubtful = []
        for number, record in zip(numbers, map(records.__getitem__, numbers), strict=True):
            try:
                if record is None:
                    raise ValueError("no record in the edge's own spelling")
                at = record.at
                second = seconds(at[:20]) or new_second(at)
                if not (at[20:-1].isdigit() and at[-1] == "Z" and at.isascii()):
                    _check_time(at)
                address = addresses(record.ip) or new_address(record.ip)
                payload = record.data
                if BACKSLASH in payload:
                    self._make_escaped(record, second, address)
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
                    self._make_carefully(record, second, address)
            except SpadeError:
                raise
            except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
                doubtful.append(number)
        waiting = sum(len(kind.batch) for kind in self._decoders.plain_events)
        self._smooth = waiting == len(numbers) * _BATCHED
        return sorted([*doubtful, *self._make_batches(records, numbers)])

    def _make_batches(
        self, records: Sequence[EdgeLine | None], numbers: Sequence[int]
    ) -> Sequence[int]:
        """Makes the rows of the events that wait, table by table; numbers of those left."""
        left: list[EdgeLine] = []
        for kind in self._decoders.plain_events:
            batch, texts = kind.batch, kind.texts
            if not batch:
                continue
            try:
                texts += kind.rows(batch)
            except SpadeError:
                raise
            except Exception:  # noqa: BLE001 - the same
                left += _make_rows(batch, texts)
            batch.clear()
        ids = set(map(id, left))
        return [number for number in numbers if id(records[number]) in ids] if left else []

    def _make_escaped(self, record: EdgeLine, second: Second, address: Address) -> None:
        """A payload with escapes in its JSON: what they stand for may need escapes in a row."""
        if b"\\u0000" in record.data:
            raise ValueError("a NUL would be taken for the mark of a missing column")
        try:
            events = self._decoders.plain(record.data)
            if type(events) is not list:
                row = events.row(record, second, address)
                if _needs_escapes(row, events.columns):
                    row = events.escaping(record, second, address)
                events.texts.append(row)
                return
            _check_list(record.data)
        except _NOT_PLAIN:
            events = self._read_carefully(record.data)
        _append([event.escaping(record, second, address) for event in events], events)

    def _make_carefully(self, record: EdgeLine, second: Second, address: Address) -> None:
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


def _check_time(at: str) -> None:
    """Raises ValueError unless ``at`` ends in ``Z``, after a fraction's digits if it has one."""
    fraction = at[20:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == _WHOLE_SECOND) or at[-1] != "Z":
        raise ValueError("another form of time")


def _make_rows(batch: list[Any], texts: list[str]) -> list[EdgeLine]:
    """Makes the rows of a batch one by one; the records of those that are left."""
    left: list[EdgeLine] = []
    for event, record, second, address in zip(*[iter(batch)] * _BATCHED, strict=True):
        try:
            texts.append(event.row(record, second, address))
        except SpadeError:  # noqa: PERF203 - each of them may
            raise
        except Exception:  # noqa: BLE001 - the same
            left.append(record)
    return left


def _needs_escapes(row: str, columns: int) -> bool:
    """Whether a text of a row, or more, is not to be written as it is.

    A text may have in it what stands between two texts: then that is there more often.
    """
    texts = row.replace(BETWEEN, "")
    if len(row) - len(texts) != len(BETWEEN) * (columns - 1):
        return True
    texts = texts.replace(MISSING, "")
    return '"' in texts or "\\" in texts or not texts.isprintable()


def _append(rows: list[str], events: list[Any]) -> None:
    """Adds the rows of one payload's events, all of which have been made."""
    for event, row in zip(events, rows, strict=True):
        event.texts.append(row)


def _check_list(payload: bytes) -> None:
    """Raises ValueError where a list is no list of events to the exact path."""
    if not payload.startswith(b"[{"):
        raise ValueError("a list that does not begin with [{")
