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
4. Left to :mod:`~spade_spark.transform.reference`.

Doubt is an exception: the Structs forbid what they do not know, so that another spelling of a
member, an unknown name or a wrong type raises while it is decoded, and the line goes a step down.
So does a line on which a converter or a lookup fails that should not: the exact path fails again,
and says of which event.
What each step costs stands in bench/README.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import SpadeError
from spade_spark.lookups.base import Lookups
from spade_spark.sources.edge_record import EdgeRecord
from spade_spark.sources.edge_record_fast import BACKSLASH, RawEdgeRecord
from spade_spark.transform.coerce import SEPARATOR, escaped, is_plain
from spade_spark.transform.decoders import UNTRACKED, Decoders
from spade_spark.transform.row_context import (
    WHOLE_SECOND,
    Address,
    RowCaches,
    TimestampTexts,
    all_have_fraction_suffix,
    check_utc_suffix,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_TRUNCATED: Final = "Input data was truncated"
"""What msgspec says where JSON ends too early, be it in a word such as ``null``."""

BATCH_STRIDE: Final = 4
"""How many items a batch has of an event: the event, its record, second and address."""
BATCH_MIN_ROWS: Final = 3 * BATCH_STRIDE
"""The rows of up to three events are made quicker one by one."""


class _FallbackReason(Enum):
    """Why a payload has no plain event, in its place."""

    TYPES = "several events, or other types, or a table that was not met yet"
    CUT_OFF = "JSON that ends too early"
    OTHER = "anything else"


_Other = tuple[Any, RawEdgeRecord, TimestampTexts, Address | None]
"""An event, or why there is no plain one, and what goes with it."""


class FastPathResult(NamedTuple):
    """The result of one chunk.

    Attributes:
        rows: The rows of each table, without their first and last quote, in no particular order.
        untracked: The JSON lines of untracked events.
        unhandled: The numbers of the lines that have no result here, ascending.
        cut_off: Those of ``unhandled`` whose payload is cut off, so that it is invalid JSON.
    """

    rows: Mapping[str, Sequence[str]]
    untracked: Sequence[str]
    unhandled: Sequence[int]
    cut_off: frozenset[int]


@dataclass(slots=True)
class _Output:
    """The results of one chunk while they are made; :meth:`FastPath.make` is their only owner.

    Attributes:
        rows: The rows by table; those of :data:`UNTRACKED` are the lines of untracked events.
        unhandled: The records that have no result here.
        cut_off: The records whose payload is cut off.
    """

    rows: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unhandled: list[RawEdgeRecord] = field(default_factory=list)
    cut_off: list[RawEdgeRecord] = field(default_factory=list)


_Batches = Mapping[Any, list[Any]]
"""The plain events of each Struct in one list, each with its record, second and address."""


class FastPath:
    """Makes rows of the records that it is sure of.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.
        registry: The transformers.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        asked: frozenset[str] | None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self._memos = RowCaches(lookups, registry)
        self._decoders = Decoders(tables, self._memos, asked)

    def process(self, records: Sequence[RawEdgeRecord | None]) -> FastPathResult:
        """Returns the rows of a chunk's records, and which records need the exact path.

        A record that is None is unhandled.

        Raises:
            LookupUnavailableError: A service that a column asks does not answer.
        """
        known: Sequence[Any] = records if all(records) else [each for each in records if each]
        output = _Output()
        self._make(known, output)
        if output.unhandled and self._decoders.rebuild():
            retried, output.unhandled = output.unhandled, []
            self._make(retried, output)
        untracked = output.rows.pop(UNTRACKED, [])
        if known is records and not output.unhandled and not output.cut_off:
            return FastPathResult(dict(output.rows), untracked, (), frozenset())
        cut_off_ids = set(map(id, output.cut_off))
        ids = {id(None), *map(id, output.unhandled), *cut_off_ids}
        unhandled = [number for number, record in enumerate(records) if id(record) in ids]
        cut_off = frozenset(number for number in unhandled if id(records[number]) in cut_off_ids)
        return FastPathResult(dict(output.rows), untracked, unhandled, cut_off)

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """The tables so far that the reference path makes all rows of, each with the reason."""
        return dict(self._decoders.fallbacks)

    def read(self, record: RawEdgeRecord) -> EdgeRecord | None:
        """A record as the exact path knows it, but for the payload; None where that is unsure."""
        try:
            second = self._memos.timestamp(record.at)
            check_utc_suffix(record.at)
            address = self._memos.geo_by_raw_address[record.ip]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
            return None
        return EdgeRecord(int(second.text), address[0], record.uuid, "", record.agent)

    def _make(self, records: Sequence[RawEdgeRecord], output: _Output) -> None:
        """Adds the results of records to ``output``."""
        batches, others = self._batch_plain(records, output)
        # Each kind by itself: what is done now and then among much else finds neither its code nor
        # its data in the processor's caches.
        self._process_irregular(others, output)
        _make_batches(batches, output)

    def _batch_plain(
        self, records: Sequence[RawEdgeRecord], output: _Output
    ) -> tuple[_Batches, Sequence[_Other]]:
        """Returns the plain events, in batches by their Struct, and the others."""
        payloads = [record.data for record in records]
        events, some_not_plain = self._decode(payloads)
        addresses = self._addresses([record.ip for record in records])
        some_not_plain = some_not_plain or not all(addresses)
        some_escaped = BACKSLASH in b"".join(payloads)
        some_other_time = not all_have_fraction_suffix([record.at for record in records])
        seconds, new_second = self._memos.seconds.known.get, self._memos.timestamp
        batches: defaultdict[Any, list[Any]] = defaultdict(list)
        others: list[_Other] = []
        for event, record, address in zip(events, records, addresses, strict=True):
            try:
                at = record.at
                second = seconds(at[:WHOLE_SECOND]) or new_second(at)
                if some_other_time:
                    check_utc_suffix(at)
                if (some_not_plain and (address is None or type(event) is _FallbackReason)) or (
                    some_escaped and BACKSLASH in record.data
                ):
                    others.append((event, record, second, address))
                else:
                    batch = batches[type(event)]
                    batch += (event, record, second, address)
            except SpadeError:  # noqa: PERF203 - each of them may
                raise
            except Exception:  # noqa: BLE001 - doubt; a bug is met again by the exact path
                output.unhandled.append(record)
        return batches, others

    def _process_irregular(self, others: Sequence[_Other], output: _Output) -> None:
        """Adds the results of what is not plain to ``output``."""
        for event, record, second, address in others:
            try:
                if address is None or event is _FallbackReason.OTHER:
                    output.unhandled.append(record)
                elif event is _FallbackReason.CUT_OFF:
                    output.cut_off.append(record)
                else:
                    for made, row in self._process_single(event, record, second, address):
                        output.rows[made.table].append(row)
            except SpadeError:  # noqa: PERF203 - the same
                raise
            except Exception:  # noqa: BLE001 - the same
                output.unhandled.append(record)

    def _decode(self, payloads: Sequence[bytes]) -> tuple[Sequence[Any], bool]:
        """The plain events of payloads, or why they are none; whether any is none."""
        events: list[Any] = []
        some_not_plain = False
        decoded = map(self._decoders.plain, payloads)
        while True:
            try:
                events.extend(decoded)  # and goes on behind the one that raised
            except msgspec.ValidationError:
                events.append(_FallbackReason.TYPES)
            except Exception as error:  # noqa: BLE001 - the same
                cut_off = _is_cut_off(payloads[len(events)], error)
                events.append(_FallbackReason.CUT_OFF if cut_off else _FallbackReason.OTHER)
            else:
                return events, some_not_plain
            some_not_plain = True

    def _addresses(self, written: Sequence[str]) -> Sequence[Address | None]:
        """The addresses' texts, None for one that is left."""
        try:
            return self._memos.geo_by_raw_address.all_of(written)
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - a bug of a lookup; it is met again, and counted then
            return list(map(self._address, written))

    def _address(self, written: str) -> Address | None:
        try:
            address: Address = self._memos.geo_by_raw_address[written]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - the same
            return None
        return address

    def _process_single(
        self, event: Any, record: RawEdgeRecord, second: TimestampTexts, address: Address
    ) -> Iterable[tuple[Any, str]]:
        """Returns the events of one payload with their rows.

        The payload has escapes, or several events, or other types than plain events have.
        """
        payload = record.data
        escapes = BACKSLASH in payload
        if escapes and b"\\u0000" in payload:
            raise ValueError("a NUL would be taken for the mark of a missing column")
        if event is not _FallbackReason.TYPES:
            events = [event]
        elif payload.startswith(b"[{"):
            events = self._decode_list(payload)
        else:
            events = [self._decode_or_register(self._decoders.careful, payload)]
        rows = []
        for each in events:
            texts = each.texts(record, second, address)
            rows.append(SEPARATOR.join(_escaped(texts, each.sent_texts) if escapes else texts))
        return zip(events, rows, strict=True)

    def _decode_list(self, payload: bytes) -> Any:
        try:
            return self._decoders.plain_list(payload)
        except msgspec.ValidationError:
            return self._decode_or_register(self._decoders.careful_list, payload)

    def _decode_or_register(self, decode: Callable[[bytes], Any], payload: bytes) -> Any:
        """What ``decode`` makes of a payload; of one that it does not know the tables are met."""
        try:
            return decode(payload)
        except msgspec.ValidationError:
            self._decoders.register(payload)
            raise


def _is_cut_off(payload: bytes, error: Exception) -> bool:
    """Whether ``error``, met in decoding ``payload``, says that it ends too early to be JSON.

    With escapes it may say so of a surrogate that is not followed by another, which is JSON.
    """
    return str(error) == _TRUNCATED and BACKSLASH not in payload


def _make_batches(batches: _Batches, output: _Output) -> None:
    """Adds the rows of plain events to ``output``, batch by batch."""
    for struct, batch in batches.items():
        rows = None if len(batch) <= BATCH_MIN_ROWS else _rows_at_once(struct, batch)
        if rows is None:
            _make_rows(struct, batch, output)
        else:
            output.rows[struct.table] += rows


def _rows_at_once(struct: Any, batch: list[Any]) -> list[str] | None:
    """Returns all rows of a batch together; None if one of them fails."""
    try:
        rows: list[str] = struct.rows(batch)
    except SpadeError:
        raise
    except Exception:  # noqa: BLE001 - the same
        return None
    return rows


def _make_rows(struct: Any, batch: list[Any], output: _Output) -> None:
    """Adds the rows of a batch to ``output``, each made by itself."""
    rows = output.rows[struct.table]
    for event, record, second, address in zip(*[iter(batch)] * BATCH_STRIDE, strict=True):
        try:
            rows.append(SEPARATOR.join(event.texts(record, second, address)))
        except SpadeError:  # noqa: PERF203 - each of them may
            raise
        except Exception:  # noqa: BLE001 - the same
            output.unhandled.append(record)


def _escaped(texts: Sequence[str], sent: Sequence[int]) -> Sequence[str]:
    """The texts of a row, with escapes in those which stand there as they were sent."""
    dirty = [number for number in sent if not is_plain(texts[number])]
    if not dirty:
        return texts
    cleaned = list(texts)
    for number in dirty:
        cleaned[number] = escaped(cleaned[number])
    return cleaned
