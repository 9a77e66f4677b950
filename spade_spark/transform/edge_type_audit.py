"""Counts, event by event, which type of edge they came from, beside the transform.

A pass of its own over the lines, made only where Blueprint's event metadata are configured: what is
counted changes no row, and so the transform need not know of it.
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
from spade_spark.sources.edge_record_fast import DOUBT, RawEdgeRecord, RawEdgeRecordReader

KNOWN: Final = frozenset({"internal", "external"})
"""The types of edge that there are."""

_MAX_KNOWN: Final = 4096
_SECOND: Final = 19
"""The characters of ``2006-01-02T15:04:05``."""

_FRACTION: Final = re.compile(r"\.[0-9]+Z")


@dataclass(frozen=True)
class EdgeTypeCounts:
    """The events of one name that have properties, whether a row was made of them or not.

    Attributes:
        expected: The type of edge that they should come from; empty where that is not known.
        events: How many they are.
        mismatched: Those that came from the other type of edge than was expected.
        unknown: Those whose record names no type of edge that there is.
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
    """Any object at all; none of its members is looked at."""


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event: str
    properties: _Properties


class EdgeTypeCounter:
    """Counts the events of the names that are asked for.

    Args:
        names: The events to count.
        expected: The type of edge that is expected of an event.
    """

    def __init__(self, names: Collection[str], expected: Mapping[str, str]) -> None:
        self._names = frozenset(names)
        self._expected = expected
        self._counted: Counter[tuple[str, str]] = Counter()
        self._reader = RawEdgeRecordReader()
        self._read_events = msgspec.json.Decoder(_Event | list[_Event]).decode
        self._seconds: set[str] = set()
        self._addresses = {""}

    def feed(self, chunk: bytes) -> None:
        """Counts the events of whole lines, each ended by a line feed except perhaps the last."""
        found: list[tuple[str, str]] = []
        records = self._reader.read(chunk)
        lines = chunk.split(b"\n")  # and what stands behind the last line feed: nothing, or a line
        for line, record in zip(lines, records, strict=False):
            edge_type, names = self._read(line, record)
            found += [(name, edge_type) for name in names if name in self._names]
        self._counted.update(found)

    def counts(self) -> dict[str, EdgeTypeCounts]:
        """What was counted so far, by event."""
        counts: dict[str, EdgeTypeCounts] = {}
        for (name, edge_type), events in self._counted.items():
            expected = self._expected.get(name, "")
            mismatched = events if edge_type and expected not in {"", edge_type} else 0
            found = EdgeTypeCounts(expected, events, mismatched, 0 if edge_type else events)
            counts[name] = counts.get(name, EdgeTypeCounts()) + found
        return counts

    def _read(self, line: bytes, record: RawEdgeRecord | None) -> tuple[str, list[str]]:
        """The type of edge of a line, empty for an unknown one; its events that have properties."""
        if record:
            try:
                return self._read_quickly(record)
            except DOUBT:
                pass
        try:
            read_exactly = read_record(line)
            events = read_events(read_exactly.data)
        except (UndecodableLineError, MalformedPayloadError):
            return "", []
        edge_type = read_exactly.edge_type if read_exactly.edge_type in KNOWN else ""
        return edge_type, [
            event.name
            for event in events
            if event.properties and isinstance(read(event.properties), JsonObject)
        ]

    def _read_quickly(self, record: RawEdgeRecord) -> tuple[str, list[str]]:
        """The same, of a record in the edge's own spelling; raises where its payload is not."""
        self._check_time(record.at)
        if record.ip not in self._addresses:
            self._learn(self._addresses, record.ip, canonical_ip)
        events = self._read_events(record.data)
        if not isinstance(events, list):
            return record.edge_type, [events.event]
        if not record.data.startswith(b"[{"):
            raise ValueError("a list that does not begin with [{")
        return record.edge_type, [event.event for event in events]

    def _check_time(self, at: str) -> None:
        second, rest = at[:_SECOND], at[_SECOND:]
        if second not in self._seconds:
            self._learn(self._seconds, second, _check_second)
        if rest != "Z" and not _FRACTION.fullmatch(rest):
            raise ValueError("another form of time")

    @staticmethod
    def _learn(known: set[str], text: str, check: Callable[[str], object]) -> None:
        """Adds ``text``, which ``check`` raises ValueError for where it is not good."""
        check(text)
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known.add(text)


def _check_second(text: str) -> None:
    rfc3339_seconds(f"{text}Z")
