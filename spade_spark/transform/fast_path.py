r"""The fast path: transform common lines at the lowest cost.

Each line is one of these:

1. Regular: one event whose properties all have the types of their columns, and a payload without a
   backslash. Such a payload cannot bring ``"``, ``\`` or a control character into a row, so no
   text needs an escape. (The encoder escapes DEL and characters that are not printable.) The rows
   of a table are built as a batch at the end of the chunk.
2. Irregular: a payload with backslashes, whose texts are escaped if necessary; several events; or
   properties of other types (``any_type``). These lines are transformed one by one.
3. Truncated: JSON without backslashes that ends too early. The record is malformed.
4. Unhandled: all others. :mod:`~spade_spark.transform.reference` transforms them.

An exception moves a line to a later group. The Structs forbid unknown members, so a member in
another case, an unknown name or a wrong type raises when the payload is decoded. A bug of a
converter or a lookup makes the line unhandled: it then fails on the reference path, which reports
the event.

bench/README.md has the cost of each step.
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
from spade_spark.transform.codegen_runtime import (
    PREFIX_LENGTH,
    GeoTexts,
    RowCaches,
    TimestampTexts,
    all_have_fraction_suffix,
    check_utc_suffix,
)
from spade_spark.transform.coerce import SEPARATOR, escaped, is_plain
from spade_spark.transform.decoders import UNTRACKED, Decoders
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_TRUNCATED_MESSAGE: Final = "Input data was truncated"
"""The message of msgspec if JSON ends too early, even within a literal such as ``null``."""

BATCH_STRIDE: Final = 4
"""The number of items per event in a batch: the event, its record, timestamp and geo texts."""
MAX_UNBATCHED_ITEMS: Final = 3 * BATCH_STRIDE
"""Up to three events, building the rows one by one is faster."""


class _FallbackReason(Enum):
    """Why a payload could not be decoded to one typed event; used in place of the event."""

    TYPES = "several events, other types, or a table that is not registered"
    TRUNCATED = "truncated JSON"
    OTHER = "any other error"


_Irregular = tuple[Any, RawEdgeRecord, TimestampTexts, GeoTexts | None]
"""An event or a :class:`_FallbackReason`, its record, its timestamp and its geo texts."""


class FastPathResult(NamedTuple):
    """The result of one chunk.

    Attributes:
        rows: The rows by table, without their first and last quote, in any order.
        untracked: The JSON lines of untracked events.
        unhandled: The ascending indexes of the unhandled and truncated lines.
        truncated: The indexes of the truncated lines.
    """

    rows: Mapping[str, Sequence[str]]
    untracked: Sequence[str]
    unhandled: Sequence[int]
    truncated: frozenset[int]


@dataclass(slots=True)
class _Output:
    """The results of one chunk so far.

    Attributes:
        rows: The rows by table. The rows of :data:`UNTRACKED` are JSON lines of untracked events.
        unhandled: The records of unhandled lines.
        truncated: The records of truncated lines.
    """

    rows: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unhandled: list[RawEdgeRecord] = field(default_factory=list)
    truncated: list[RawEdgeRecord] = field(default_factory=list)


_Batches = dict[Any, list[Any]]
"""The items of the regular events by Struct, :data:`BATCH_STRIDE` per event."""


class FastPath:
    """Builds the rows of the records that it supports.

    Args:
        tables: The tables by name. Each is compiled at its first event.
        lookups: The lookups that the columns use.
        requested: The requested tables; None for all.
        registry: The transformers.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        requested: frozenset[str] | None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self._caches = RowCaches(lookups, registry)
        self._decoders = Decoders(tables, self._caches, requested)

    def process(self, records: Sequence[RawEdgeRecord | None]) -> FastPathResult:
        """Return the rows of a chunk's records, and which lines are unhandled.

        A line whose record is None is unhandled.

        Raises:
            LookupUnavailableError: A lookup service does not respond.
        """
        readable: Sequence[Any] = records if all(records) else list(filter(None, records))
        output = _Output()
        self._process(readable, output)
        if output.unhandled and self._decoders.rebuild():
            retryable, output.unhandled = output.unhandled, []
            self._process(retryable, output)
        untracked = output.rows.pop(UNTRACKED, [])
        if readable is records and not output.unhandled and not output.truncated:
            return FastPathResult(dict(output.rows), untracked, (), frozenset())
        truncated_ids = set(map(id, output.truncated))
        ids = {id(None), *map(id, output.unhandled), *truncated_ids}
        unhandled = [number for number, record in enumerate(records) if id(record) in ids]
        truncated = frozenset(
            number for number in unhandled if id(records[number]) in truncated_ids
        )
        return FastPathResult(dict(output.rows), untracked, unhandled, truncated)

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """The tables so far that use the reference path, with the reason."""
        return dict(self._decoders.fallbacks)

    def read(self, record: RawEdgeRecord) -> EdgeRecord | None:
        """Convert a record, without its payload, for the reference path; None if unsupported."""
        try:
            timestamp = self._caches.timestamp(record.at)
            check_utc_suffix(record.at)
            geo = self._caches.geo_by_raw_address[record.ip]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - unsupported, or a bug that the reference path reports
            return None
        return EdgeRecord(int(timestamp.text), geo[0], record.uuid, "", record.agent)

    def _process(self, records: Sequence[RawEdgeRecord], output: _Output) -> None:
        """Add the results of the records to ``output``."""
        batches, irregular = self._batch_regular(records, output)
        # Irregular lines are processed last, because rarely used code and data are not in the CPU
        # caches.
        self._process_irregular(irregular, output)
        _add_batches(batches, output)

    def _batch_regular(
        self, records: Sequence[RawEdgeRecord], output: _Output
    ) -> tuple[_Batches, Sequence[_Irregular]]:
        """Return the regular events in batches, and the irregular events."""
        payloads = [record.data for record in records]
        events, any_irregular = self._decode(payloads)
        geos = self._look_up_geo([record.ip for record in records])
        any_irregular = any_irregular or not all(geos)
        any_escaped = BACKSLASH in b"".join(payloads)
        any_other_time = not all_have_fraction_suffix([record.at for record in records])
        get_timestamp, parse_timestamp = self._caches.timestamps.known.get, self._caches.timestamp
        batches: defaultdict[Any, list[Any]] = defaultdict(list)
        irregular: list[_Irregular] = []
        for event, record, geo in zip(events, records, geos, strict=True):
            try:
                at = record.at
                timestamp = get_timestamp(at[:PREFIX_LENGTH]) or parse_timestamp(at)
                if any_other_time:
                    check_utc_suffix(at)
                if (any_irregular and (geo is None or type(event) is _FallbackReason)) or (
                    any_escaped and BACKSLASH in record.data
                ):
                    irregular.append((event, record, timestamp, geo))
                else:
                    batch = batches[type(event)]
                    batch += (event, record, timestamp, geo)
            except SpadeError:  # noqa: PERF203 - any record may raise
                raise
            except Exception:  # noqa: BLE001 - unsupported, or a bug that the reference path reports
                output.unhandled.append(record)
        return batches, irregular

    def _process_irregular(self, irregular: Sequence[_Irregular], output: _Output) -> None:
        """Add the results of irregular lines to ``output``."""
        for event, record, timestamp, geo in irregular:
            try:
                if geo is None or event is _FallbackReason.OTHER:
                    output.unhandled.append(record)
                elif event is _FallbackReason.TRUNCATED:
                    output.truncated.append(record)
                else:
                    for decoded, row in self._process_single(event, record, timestamp, geo):
                        output.rows[decoded.table].append(row)
            except SpadeError:  # noqa: PERF203 - any record may raise
                raise
            except Exception:  # noqa: BLE001 - unsupported, or a bug
                output.unhandled.append(record)

    def _decode(self, payloads: Sequence[bytes]) -> tuple[Sequence[Any], bool]:
        """Return the event or the fallback reason of each payload, and whether any fell back."""
        events: list[Any] = []
        any_irregular = False
        decoded = map(self._decoders.typed, payloads)
        while True:
            try:
                events.extend(decoded)  # resumes after the payload that raised
            except msgspec.ValidationError:
                events.append(_FallbackReason.TYPES)
            except Exception as error:  # noqa: BLE001 - unsupported, or a bug
                truncated = _is_truncated(payloads[len(events)], error)
                events.append(_FallbackReason.TRUNCATED if truncated else _FallbackReason.OTHER)
            else:
                return events, any_irregular
            any_irregular = True

    def _look_up_geo(self, addresses: Sequence[str]) -> Sequence[GeoTexts | None]:
        """Return the geo texts of each address; None if its record is unhandled."""
        try:
            return self._caches.geo_by_raw_address.get_all(addresses)
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - an invalid address, or a bug of a lookup
            return list(map(self._look_up_address, addresses))

    def _look_up_address(self, address: str) -> GeoTexts | None:
        try:
            geo: GeoTexts = self._caches.geo_by_raw_address[address]
        except SpadeError:
            raise
        except Exception:  # noqa: BLE001 - unsupported, or a bug
            return None
        return geo

    def _process_single(
        self, event: Any, record: RawEdgeRecord, timestamp: TimestampTexts, geo: GeoTexts
    ) -> Iterable[tuple[Any, str]]:
        """Return the events of one irregular line with their rows."""
        payload = record.data
        escapes = BACKSLASH in payload
        if escapes and b"\\u0000" in payload:
            raise ValueError("NUL would mark a missing column")
        if event is not _FallbackReason.TYPES:
            events = [event]
        elif payload.startswith(b"[{"):
            events = self._decode_list(payload)
        else:
            events = [self._decode_or_register(self._decoders.any_type, payload)]
        rows = []
        for item in events:
            texts = item.texts(record, timestamp, geo)
            rows.append(SEPARATOR.join(_escaped(texts, item.unescaped_texts) if escapes else texts))
        return zip(events, rows, strict=True)

    def _decode_list(self, payload: bytes) -> Any:
        try:
            return self._decoders.typed_list(payload)
        except msgspec.ValidationError:
            return self._decode_or_register(self._decoders.any_type_list, payload)

    def _decode_or_register(self, decode: Callable[[bytes], Any], payload: bytes) -> Any:
        """Decode a payload; register its tables if that fails."""
        try:
            return decode(payload)
        except msgspec.ValidationError:
            self._decoders.register(payload)
            raise


def _is_truncated(payload: bytes, error: Exception) -> bool:
    """Return whether ``error`` means that ``payload`` is truncated JSON.

    In a payload with backslashes, msgspec reports a lone surrogate in the same way.
    """
    return str(error) == _TRUNCATED_MESSAGE and BACKSLASH not in payload


def _add_batches(batches: _Batches, output: _Output) -> None:
    """Add the rows of regular events to ``output``; empty ``batches``."""
    while batches:
        struct, batch = batches.popitem()  # its memory is reused while it is in the CPU caches
        rows = None if len(batch) <= MAX_UNBATCHED_ITEMS else _batch_rows(struct, batch)
        if rows is None:
            _add_rows_one_by_one(struct, batch, output)
        else:
            output.rows[struct.table] += rows


def _batch_rows(struct: Any, batch: list[Any]) -> list[str] | None:
    """Return the rows of a batch; None if one of them fails."""
    try:
        rows: list[str] = struct.rows(batch)
    except SpadeError:
        raise
    except Exception:  # noqa: BLE001 - unsupported, or a bug
        return None
    return rows


def _add_rows_one_by_one(struct: Any, batch: list[Any], output: _Output) -> None:
    """Add the rows of a batch to ``output``, one by one."""
    rows = output.rows[struct.table]
    for event, record, timestamp, geo in zip(*[iter(batch)] * BATCH_STRIDE, strict=True):
        try:
            rows.append(SEPARATOR.join(event.texts(record, timestamp, geo)))
        except SpadeError:  # noqa: PERF203 - any record may raise
            raise
        except Exception:  # noqa: BLE001 - unsupported, or a bug
            output.unhandled.append(record)


def _escaped(texts: Sequence[str], unescaped: Sequence[int]) -> Sequence[str]:
    """Return the texts of a row; escape the texts at the indexes ``unescaped`` if necessary."""
    unsafe = [index for index in unescaped if not is_plain(texts[index])]
    if not unsafe:
        return texts
    result = list(texts)
    for index in unsafe:
        result[index] = escaped(result[index])
    return result
