"""The reference path: transform one line to events and rows.

It is deliberately simple. It transforms the lines that the fast path does not support, and tests
compare the fast path with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import SpadeError
from spade_spark.gocompat.json import JsonObject, Number, Value, read
from spade_spark.gocompat.quote import quote
from spade_spark.lookups.base import Lookups
from spade_spark.sources.edge_record import (
    EdgeRecord,
    Event,
    MalformedPayloadError,
    UndecodableLineError,
    read_events,
    read_payload,
    read_record,
)
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.transformers.base import ConversionError, Converter
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.transform.untracked import untracked_line

MAX_UUID_BYTES: Final = 64
"""A malformed record with a longer id, or with none, is reported as ``error``."""


@dataclass(frozen=True, slots=True)
class EventResult:
    """The result of one event, or of a malformed record.

    Attributes:
        table: The name of the event; None unless the event has a row or failed.
        version: The version of the event's table; None without a table.
        row: The row, or the JSON line of an untracked event, without a line end.
        record: The unquoted values by outbound name, without empty ones; None without a row.
        uuid: The id of the event.
        outcome: The outcome.
        error: The error text, for `FAILED` and `MALFORMED`.
    """

    table: str | None
    version: int | None
    row: str | None
    record: dict[str, str] | None
    uuid: str
    outcome: Outcome
    error: str = ""


@dataclass(frozen=True, slots=True)
class _CompiledTable:
    """A table with the converters of its columns."""

    version: int
    columns: tuple[tuple[Column, Converter], ...]


class ReferenceTransform:
    """Transforms lines of the edge logs to rows.

    Args:
        tables: The tables by name.
        lookups: The lookups that the columns use.
        requested: The requested tables; None for all. All other events, including untracked ones,
            end as `NOT_REQUESTED`.
        registry: The transformers.

    Raises:
        InputError: A column has an unknown transformer.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        requested: frozenset[str] | None = None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self._tables = {name: _compile(table, lookups, registry) for name, table in tables.items()}
        self._requested = requested

    def line(self, line: bytes) -> list[EventResult] | None:
        """Return the results of a line without a line feed; None if it is not an edge record.

        Raises:
            LookupUnavailableError: A lookup service does not respond.
        """
        try:
            record = read_record(line)
        except UndecodableLineError:
            return None
        return self.record(record)

    def record(self, record: EdgeRecord) -> list[EventResult]:
        """Return the results of one edge record: one per event, or one if it is malformed.

        Raises:
            LookupUnavailableError: As for :meth:`line`.
        """
        try:
            return self._events(read_events(record.data), record)
        except MalformedPayloadError as error:
            return [malformed(record.uuid, str(error))]

    def payload(self, payload: bytes, record: EdgeRecord) -> list[EventResult]:
        """As :meth:`record`, with ``payload`` instead of the payload of ``record``."""
        try:
            return self._events(read_payload(payload), record)
        except MalformedPayloadError as error:
            return [malformed(record.uuid, str(error))]

    def _events(self, events: list[Event], record: EdgeRecord) -> list[EventResult]:
        if len(events) == 1:
            return [self._event(events[0].name, events[0].properties, record, record.uuid)]
        return [
            self._event(event.name, event.properties, record, f"{record.uuid}-{number}")
            for number, event in enumerate(events)
        ]

    def _event(self, name: str, properties: str, record: EdgeRecord, uuid: str) -> EventResult:
        table = self._tables.get(name)
        version = table.version if table else None
        try:
            return self._outcome(name, table, properties, record, uuid)
        except SpadeError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug fails one event, which is quarantined
            reason = f"{type(error).__name__}: {error}"
            return EventResult(name, version, None, None, uuid, Outcome.FAILED, reason)

    def _outcome(
        self,
        name: str,
        table: _CompiledTable | None,
        properties: str,
        record: EdgeRecord,
        uuid: str,
    ) -> EventResult:
        if not name:
            return _without_row(uuid, Outcome.EMPTY_REQUEST)
        if self._requested is not None and (table is None or name not in self._requested):
            return _without_row(uuid, Outcome.NOT_REQUESTED)
        if table is None:
            line = untracked_line(name, properties)
            return EventResult(name, None, line, None, uuid, Outcome.UNTRACKED)
        members = read(properties) if properties else None
        if not isinstance(members, JsonObject):
            return _without_row(uuid, Outcome.EMPTY_REQUEST)
        return _row(name, table, _with_server_values(members, record), uuid)


def malformed(uuid: str, error: str) -> EventResult:
    """Return the result of a record whose payload cannot be read."""
    reported_uuid = uuid if 0 < len(uuid.encode()) <= MAX_UUID_BYTES else "error"
    return EventResult(None, None, None, None, reported_uuid, Outcome.MALFORMED, error)


def _without_row(uuid: str, outcome: Outcome) -> EventResult:
    return EventResult(None, None, None, None, uuid, outcome)


def _compile(table: Table, lookups: Lookups, registry: Registry) -> _CompiledTable:
    columns = tuple((column, registry.converter(column, lookups)) for column in table.columns)
    return _CompiledTable(table.version, columns)


def _with_server_values(members: JsonObject, record: EdgeRecord) -> dict[str, Value]:
    """Return the properties and server values by name; the last one wins if a name repeats.

    The time of the edge server replaces the client's. Its address and user agent are used only if
    the client sent none.
    """
    values = {name: item.value for name, item in members}
    if "time" in values:
        values["client_time"] = values["time"]
    values["time"] = Number(str(record.received_at))
    if record.client_ip:
        values.setdefault("ip", record.client_ip)
    if record.user_agent:
        values.setdefault("user_agent", record.user_agent)
    return values


def _row(name: str, table: _CompiledTable, values: dict[str, Value], uuid: str) -> EventResult:
    outcome = Outcome.SUCCESS
    quoted: list[str] = []
    record: dict[str, str] = {}
    for column, convert in table.columns:
        supporting = tuple(values.get(support) for support in column.supporting)
        try:
            text = convert(values.get(column.inbound), supporting)
        except ConversionError:
            text = ""
            outcome = Outcome.SKIPPED_COLUMNS
        quoted.append(quote(text))
        if text:
            record[column.outbound] = text
    return EventResult(name, table.version, "\t".join(quoted), record, uuid, outcome)
