"""Transform chunks of lines to rows, most on the fast path and the rest on the reference path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from spade_spark.blueprint.schema import Table
from spade_spark.lookups.base import Lookups
from spade_spark.sources.edge_record_fast import RawEdgeRecord, RawEdgeRecordReader
from spade_spark.transform.coerce import MISSING
from spade_spark.transform.event_counts import EventCounts
from spade_spark.transform.fast_path import FastPath
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.output import (
    QuarantinedLine,
    RowEncoder,
    TableRows,
    TransformOutput,
)
from spade_spark.transform.reference import EventResult, ReferenceTransform, malformed
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_QUARANTINED: Final = frozenset({Outcome.MALFORMED, Outcome.FAILED})
"""The outcomes that quarantine a line: once the cause is fixed, a retry may produce a row."""
_TRUNCATED: Final = "the payload is truncated JSON"


class ChunkTransform:
    """Transforms chunks of lines to rows and buffers them until :meth:`drain`.

    Do not use an instance whose :meth:`feed` raised an exception.

    Args:
        tables: The tables by name. Each is compiled at its first event.
        lookups: The lookups that the columns use.
        requested: The requested tables; None for all.
        registry: The transformers.

    Attributes:
        counts: The counts so far. Rows and untracked events are counted when they are drained.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        requested: frozenset[str] | None = None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self.counts = EventCounts()
        self._tables = tables
        self._reference_transform = ReferenceTransform(tables, lookups, requested, registry)
        self._fast = FastPath(tables, lookups, requested, registry)
        self._rows: defaultdict[str, list[str]] = defaultdict(list)
        self._untracked: list[str] = []
        self._quarantined: list[QuarantinedLine] = []
        self._reader = RawEdgeRecordReader()
        self._encoder = RowEncoder()

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """The tables so far that use the reference path, with the reason."""
        return self._fast.fallbacks

    def feed(self, chunk: bytes) -> None:
        """Transform complete lines; the last line may lack its line feed.

        Raises:
            LookupUnavailableError: A lookup service does not respond.
        """
        records = self._reader.read(chunk)
        result = self._fast.process(records)
        for name, rows in result.rows.items():
            self._rows[name] += rows
        self._untracked += result.untracked
        for index, line in _lines_at(result.unhandled, chunk):
            record = records[index]
            if record and index in result.truncated:
                self._add(line, [malformed(record.uuid, _TRUNCATED)])
            else:
                self._add(line, self._use_reference(line, record))
        self.counts.lines += len(records)
        self.counts.records += len(records) - len(result.unhandled)

    def retry_line(self, line: bytes, uuid: str = "") -> None:
        """Transform one quarantined line; with ``uuid``, only the event with this id.

        Raises:
            LookupUnavailableError: As for :meth:`feed`.
        """
        self._add(line, self._reference_transform.line(line), uuid)
        self.counts.lines += 1

    def drain(self, at_least: int = 1) -> TransformOutput:
        """Return and remove the buffered rows, untracked events and quarantined lines.

        Args:
            at_least: The minimum number of rows of a table, and of untracked events. Fewer stay in
                the buffer.
        """
        rows = {
            name: self._encode_table(self._tables[name], table_rows)
            for name, table_rows in self._rows.items()
            if len(table_rows) >= at_least
        }
        untracked = self._untracked.copy() if len(self._untracked) >= at_least else []
        if untracked:
            self._untracked.clear()
            self.counts.count("", Outcome.UNTRACKED, len(untracked))
        quarantined, self._quarantined = self._quarantined, []
        return TransformOutput(rows, untracked, quarantined)

    def _encode_table(self, table: Table, rows: list[str]) -> TableRows:
        encoded = self._encoder.encode(table, rows)
        rows.clear()
        if encoded.skipped:
            self.counts.count(table.name, Outcome.SKIPPED_COLUMNS, encoded.skipped)
        if encoded.count > encoded.skipped:
            self.counts.count(table.name, Outcome.SUCCESS, encoded.count - encoded.skipped)
        return encoded

    def _use_reference(self, line: bytes, record: RawEdgeRecord | None) -> list[EventResult] | None:
        """Return the results of the reference path; decode only the payload if possible."""
        edge_record = None if record is None else self._fast.read(record)
        if record is None or edge_record is None:
            return self._reference_transform.line(line)
        return self._reference_transform.payload(record.data, edge_record)

    def _add(self, line: bytes, results: list[EventResult] | None, uuid: str = "") -> None:
        """Count and buffer the results of a line; with ``uuid``, only the event with this id."""
        if results is None:
            self.counts.undecodable += 1
            return
        self.counts.records += 1
        for result in results:
            if not uuid or result.uuid == uuid:
                self._add_event(line, result)

    def _add_event(self, line: bytes, result: EventResult) -> None:
        table = result.table or ""
        if result.outcome in _QUARANTINED:
            quarantined = QuarantinedLine(line, result.outcome, result.error, result.uuid, table)
            self._quarantined.append(quarantined)
        match result.outcome:
            case Outcome.SUCCESS:
                self._rows[table].append((result.row or "")[1:-1])
            case Outcome.SKIPPED_COLUMNS:
                self._rows[table].append(MISSING + (result.row or "")[1:-1])
            case Outcome.UNTRACKED:
                self._untracked.append(result.row or "")
            case Outcome.FAILED:
                self.counts.count_failure(table, result.uuid, result.error)
            case outcome:
                self.counts.count(table, outcome)


def _lines_at(indexes: Sequence[int], chunk: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a chunk at the given ascending indexes."""
    at = current = 0
    for index in indexes:
        while current < index:
            at = chunk.find(b"\n", at) + 1
            current += 1
        end = chunk.find(b"\n", at)
        yield index, chunk[at:] if end < 0 else chunk[at:end]
