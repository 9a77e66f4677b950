r"""The fast path: lines that are as they nearly always are, at the least cost for each.

A line goes the first of these ways that is sure of it:

1. ``plain``: every property that was sent has its column's type. A payload without a backslash
   cannot bring ``"``, ``\`` or a control character into a row, so that nothing is escaped. (What
   Unicode calls not printable, and DEL, are looked for in many rows at once.) Such events wait in
   a batch for their table until the chunk is read; their rows are made together.
2. By itself: a payload with backslashes, whose texts are escaped where they have to be; one of
   several events; one whose properties are of other types, which are converted value by value
   (``careful``).
3. Cut off: JSON without backslashes that ends too early is malformed, whatever was to come.
4. Left to :mod:`~spade_spark.transform.exact`.

Doubt is an exception: the Structs forbid what they do not know, so that another spelling of a
member, an unknown name or a wrong type raises while it is decoded, and the line goes a step down.
So does a line on which a converter or a lookup fails that should not: the exact path fails again,
and says of which event.
What each step costs stands in bench/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.edge.record import EdgeRecord
from spade_spark.errors import SpadeError
from spade_spark.lookups import Lookups
from spade_spark.transform.decoders import Decoders
from spade_spark.transform.edge_lines import BACKSLASH, EdgeLine
from spade_spark.transform.memos import Address, Memos, Second
from spade_spark.transform.received import WHOLE_SECOND, check_end, have_fractions
from spade_spark.transform.texts import BETWEEN, escaped, is_plain
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_TRUNCATED: Final = "Input data was truncated"
"""What msgspec says where JSON ends too early, be it in a word such as ``null``."""

_BATCHED: Final = 4
"""How many items a batch has of an event: the event, its record, second and address."""
_FEW: Final = 3 * _BATCHED
"""The rows of up to three events are made quicker one by one."""


class _Doubt(Enum):
    """Why a payload has no plain event, in its place."""

    TYPES = "several events, or other types, or a table that was not met yet"
    CUT_OFF = "JSON that ends too early"
    OTHER = "anything else"


_Other = tuple[Any, EdgeLine, Second, Address | None]
"""An event, or why there is no plain one, and what goes with it."""


class Left(NamedTuple):
    """What the fast path makes no rows of.

    Attributes:
        numbers: The numbers of the lines, ascending.
        cut_off: Those of them whose payload is cut off, so that it is no JSON.
    """

    numbers: Sequence[int]
    cut_off: frozenset[int]


class FastPath:
    """Makes rows of the records that it is sure of.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.
        registry: The transformers.

    Attributes:
        rows: The rows of each table, without their first and last quote; the caller takes them.
        untracked: The JSON lines of untracked events; the caller takes them.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        asked: frozenset[str] | None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self._memos = Memos(lookups, registry)
        self._decoders = Decoders(tables, self._memos, asked)
        self.rows = self._decoders.rows
        self.untracked = self._decoders.untracked

    def make(self, records: Sequence[EdgeLine | None]) -> Left:
        """Makes the rows of a chunk's records, in no particular order; what it makes none of.

        A record that is None is left.

        Raises:
            LookupDown: A service that a column asks does not answer.
        """
        known: Sequence[Any] = records if all(records) else [each for each in records if each]
        try:
            left, cut_off = self._make(known)
            if left and self._decoders.refresh():
                left, more_cut_off = self._make(left)
                cut_off += more_cut_off
        except SpadeError:
            for kind in self._decoders.plain_events:
                kind.batch.clear()
            raise
        if known is records and not left and not cut_off:
            return Left((), frozenset())
        ids, cut_off_ids = {id(None), *map(id, left)}, set(map(id, cut_off))
        cut_off_numbers = [n for n, each in enumerate(records) if id(each) in cut_off_ids]
        others = [n for n, each in enumerate(records) if id(each) in ids]
        return Left(sorted(others + cut_off_numbers), frozenset(cut_off_numbers))

    def read(self, record: EdgeLine) -> EdgeRecord | None:
        """A record as the exact path knows it, but for the payload; None where that is unsure."""
        try:
            second = self._memos.second(record.at)
            check_end(record.at)
            address = self._memos.addresses[record.ip]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
            return None
        return EdgeRecord(int(second.text), address[0], record.uuid, "", record.agent)

    def _make(self, records: Sequence[EdgeLine]) -> tuple[list[EdgeLine], list[EdgeLine]]:
        """Makes the rows of records; those that are left, and those that are cut off."""
        left, others = self._wait(records)
        # Each kind by itself: what is done now and then among much else finds neither its code nor
        # its data in the processor's caches.
        cut_off = self._make_others(others, left)
        left += self._make_batches()
        return left, cut_off

    def _wait(self, records: Sequence[EdgeLine]) -> tuple[list[EdgeLine], list[_Other]]:
        """Puts plain events into the batches of their tables; the records left, and others."""
        payloads = [record.data for record in records]
        events, some_not_plain = self._decode(payloads)
        addresses = self._addresses([record.ip for record in records])
        some_not_plain = some_not_plain or not all(addresses)
        some_escaped = BACKSLASH in b"".join(payloads)
        some_other_time = not have_fractions([record.at for record in records])
        seconds, new_second = self._memos.seconds.known.get, self._memos.second
        left: list[EdgeLine] = []
        others: list[_Other] = []
        for event, record, address in zip(events, records, addresses, strict=True):
            try:
                at = record.at
                second = seconds(at[:WHOLE_SECOND]) or new_second(at)
                if some_other_time:
                    check_end(at)
                if (some_not_plain and (address is None or type(event) is _Doubt)) or (
                    some_escaped and BACKSLASH in record.data
                ):
                    others.append((event, record, second, address))
                else:
                    batch = event.batch
                    batch += (event, record, second, address)
            except SpadeError:  # noqa: PERF203 - each of them may
                raise
            except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
                left.append(record)
        return left, others

    def _make_others(self, others: list[_Other], left: list[EdgeLine]) -> list[EdgeLine]:
        """Makes the rows of what is not plain, and adds to what is left; what is cut off."""
        cut_off = []
        for event, record, second, address in others:
            try:
                if address is None or event is _Doubt.OTHER:
                    left.append(record)
                elif event is _Doubt.CUT_OFF:
                    cut_off.append(record)
                else:
                    self._make_one(event, record, second, address)
            except SpadeError:  # noqa: PERF203 - the same
                raise
            except Exception:  # noqa: BLE001 - the same
                left.append(record)
        return cut_off

    def _decode(self, payloads: Sequence[bytes]) -> tuple[Sequence[Any], bool]:
        """The plain events of payloads, or why they are none; whether any is none."""
        events: list[Any] = []
        some_not_plain = False
        decoded = map(self._decoders.plain, payloads)
        while True:
            try:
                events.extend(decoded)  # and goes on behind the one that raised
            except msgspec.ValidationError:
                events.append(_Doubt.TYPES)
            except Exception as error:  # noqa: BLE001 - the same
                cut_off = _is_cut_off(payloads[len(events)], error)
                events.append(_Doubt.CUT_OFF if cut_off else _Doubt.OTHER)
            else:
                return events, some_not_plain
            some_not_plain = True

    def _addresses(self, written: Sequence[str]) -> Sequence[Address | None]:
        """The addresses' texts, None for one that is left."""
        try:
            return self._memos.addresses.all_of(written)
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - a bug of a lookup; it is met again, and counted then
            return list(map(self._address, written))

    def _address(self, written: str) -> Address | None:
        try:
            address: Address = self._memos.addresses[written]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - the same
            return None
        return address

    def _make_batches(self) -> list[EdgeLine]:
        """Makes the rows of the events that wait, table by table; the records of those left."""
        left: list[EdgeLine] = []
        for kind in self._decoders.plain_events:
            if not kind.batch:
                continue
            if len(kind.batch) <= _FEW or not _make_rows_at_once(kind):
                left += _make_rows(kind)
            kind.batch.clear()
        return left

    def _make_one(self, event: Any, record: EdgeLine, second: Second, address: Address) -> None:
        """A payload with escapes, of several events, or of other types than the plain way takes."""
        payload = record.data
        escapes = BACKSLASH in payload
        if escapes and b"\\u0000" in payload:
            raise ValueError("a NUL would be taken for the mark of a missing column")
        if event is not _Doubt.TYPES:
            events = [event]
        elif payload.startswith(b"[{"):
            events = self._several(payload)
        else:
            events = [self._learning(self._decoders.careful, payload)]
        rows = []
        for each in events:
            texts = each.texts(record, second, address)
            rows.append(BETWEEN.join(_escaped(texts, each.sent_texts) if escapes else texts))
        for each, row in zip(events, rows, strict=True):
            each.made.append(row)

    def _several(self, payload: bytes) -> Any:
        try:
            return self._decoders.plain_list(payload)
        except msgspec.ValidationError:
            return self._learning(self._decoders.careful_list, payload)

    def _learning(self, decode: Callable[[bytes], Any], payload: bytes) -> Any:
        """What ``decode`` makes of a payload; of one that it does not know the tables are met."""
        try:
            return decode(payload)
        except msgspec.ValidationError:
            self._decoders.learn(payload)
            raise


def _is_cut_off(payload: bytes, error: Exception) -> bool:
    """Whether ``error``, met in decoding ``payload``, says that it ends too early to be JSON.

    With escapes it may say so of a surrogate that is not followed by another, which is JSON.
    """
    return str(error) == _TRUNCATED and BACKSLASH not in payload


def _make_rows_at_once(kind: Any) -> bool:
    """Makes all rows of a table's batch, or none if one of them fails; whether it did."""
    try:
        kind.made.extend(kind.rows(kind.batch))
    except SpadeError:
        raise
    except Exception:  # noqa: BLE001 - the same
        return False
    return True


def _make_rows(kind: Any) -> list[EdgeLine]:
    """Makes the rows of a table's batch one by one; the records of those that are left."""
    left: list[EdgeLine] = []
    for event, record, second, address in zip(*[iter(kind.batch)] * _BATCHED, strict=True):
        try:
            kind.made.append(BETWEEN.join(event.texts(record, second, address)))
        except SpadeError:  # noqa: PERF203 - each of them may
            raise
        except Exception:  # noqa: BLE001 - the same
            left.append(record)
    return left


def _escaped(texts: Sequence[str], sent: Sequence[int]) -> Sequence[str]:
    """The texts of a row, with escapes in those which stand there as they were sent."""
    dirty = [number for number in sent if not is_plain(texts[number])]
    if not dirty:
        return texts
    cleaned = list(texts)
    for number in dirty:
        cleaned[number] = escaped(cleaned[number])
    return cleaned
