"""Count events by edge type, independently of the transform.

This is a second pass over the lines. It runs only if Blueprint's event metadata is configured, and
does not affect any row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from spade_spark.gocompat.ip import canonical_ip
from spade_spark.gocompat.json import JsonObject, read
from spade_spark.gocompat.rfc3339 import rfc3339_seconds
from spade_spark.sources.edge_record import (
    MalformedPayloadError,
    UndecodableLineError,
    read_events,
    read_record,
)
from spade_spark.sources.edge_record_fast import FALLBACK_ERRORS, RawEdgeRecord, RawEdgeRecordReader

EDGE_TYPES: Final = frozenset({"internal", "external"})

_MAX_CACHED: Final = 4096
_SECONDS_LENGTH: Final = 19
"""The length of ``2006-01-02T15:04:05``."""

_FRACTION: Final = re.compile(r"\.[0-9]+Z")


@dataclass(frozen=True)
class EdgeTypeCounts:
    """Counts of the events of one name that have properties, whether or not they have a row.

    Attributes:
        expected: The expected edge type; empty if there is none.
        events: All events.
        mismatched: Events with another edge type than expected.
        unknown: Events without a known edge type.
    """

    expected: str = ""
    events: int = 0
    mismatched: int = 0
    unknown: int = 0

    def __add__(self, other: EdgeTypeCounts) -> EdgeTypeCounts:
        return EdgeTypeCounts(
            self.expected or other.expected,
            self.events + other.events,
            self.mismatched + other.mismatched,
            self.unknown + other.unknown,
        )


class _Properties(msgspec.Struct, gc=False):
    """Any object; its members are ignored."""


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event: str
    properties: _Properties


class EdgeTypeCounter:
    """Counts the events of given names.

    Args:
        names: The names of the events to count.
        expected: The expected edge type by event name.
    """

    def __init__(self, names: Collection[str], expected: Mapping[str, str]) -> None:
        self._names = frozenset(names)
        self._expected = expected
        self._events: Counter[tuple[str, str]] = Counter()
        self._reader = RawEdgeRecordReader()
        self._read_events = msgspec.json.Decoder(_Event | list[_Event]).decode
        self._checked_seconds: set[str] = set()
        self._checked_addresses = {""}

    def feed(self, chunk: bytes) -> None:
        """Count the events of complete lines; the last line may lack its line feed."""
        events: list[tuple[str, str]] = []
        records = self._reader.read(chunk)
        lines = chunk.split(b"\n")  # may have an empty item after the last line feed
        for line, record in zip(lines, records, strict=False):
            edge_type, names = self._read(line, record)
            events += [(name, edge_type) for name in names if name in self._names]
        self._events.update(events)

    def counts(self) -> dict[str, EdgeTypeCounts]:
        """Return the counts so far by event name."""
        counts: dict[str, EdgeTypeCounts] = {}
        for (name, edge_type), events in self._events.items():
            expected = self._expected.get(name, "")
            mismatched = events if edge_type and expected not in {"", edge_type} else 0
            unknown = 0 if edge_type else events
            added = EdgeTypeCounts(expected, events, mismatched, unknown)
            counts[name] = counts.get(name, EdgeTypeCounts()) + added
        return counts

    def _read(self, line: bytes, record: RawEdgeRecord | None) -> tuple[str, list[str]]:
        """Return the edge type (empty if unknown) and the names of the events with properties."""
        if record:
            try:
                return self._read_fast(record)
            except FALLBACK_ERRORS:
                pass
        try:
            edge_record = read_record(line)
            events = read_events(edge_record.data)
        except (UndecodableLineError, MalformedPayloadError):
            return "", []
        edge_type = edge_record.edge_type if edge_record.edge_type in EDGE_TYPES else ""
        return edge_type, [
            event.name
            for event in events
            if event.properties and isinstance(read(event.properties), JsonObject)
        ]

    def _read_fast(self, record: RawEdgeRecord) -> tuple[str, list[str]]:
        """As :meth:`_read` for common payloads; raise one of ``FALLBACK_ERRORS`` for others."""
        self._check_time(record.at)
        if record.ip not in self._checked_addresses:
            self._cache_checked(self._checked_addresses, record.ip, canonical_ip)
        events = self._read_events(record.data)
        if not isinstance(events, list):
            return record.edge_type, [events.event]
        if not record.data.startswith(b"[{"):
            raise ValueError("unsupported list format")
        return record.edge_type, [event.event for event in events]

    def _check_time(self, at: str) -> None:
        second, rest = at[:_SECONDS_LENGTH], at[_SECONDS_LENGTH:]
        if second not in self._checked_seconds:
            self._cache_checked(self._checked_seconds, second, _check_second)
        if rest != "Z" and not _FRACTION.fullmatch(rest):
            raise ValueError("unsupported time format")

    @staticmethod
    def _cache_checked(checked: set[str], text: str, check: Callable[[str], object]) -> None:
        """Add ``text`` to ``checked`` unless ``check`` raises ValueError."""
        check(text)
        if len(checked) >= _MAX_CACHED:
            checked.clear()
        checked.add(text)


def _check_second(text: str) -> None:
    rfc3339_seconds(f"{text}Z")
