"""Chunks of lines to rows: the fast path for nearly all of them, and the exact path behind it."""

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
from spade_spark.transform.output_buffer import (
    QuarantinedLine,
    RowEncoder,
    TableRows,
    TransformOutput,
)
from spade_spark.transform.reference import EventResult, ReferenceTransform, malformed
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_KEPT: Final = frozenset({Outcome.MALFORMED, Outcome.FAILED})
"""How an event ends that another try may make a row of, once a bug is mended."""
_CUT_OFF: Final = "the payload is no JSON: it ends too early"


class ChunkTransform:
    """Turns chunks of lines into rows, which the caller takes with :meth:`drain`.

    What is buffered is what the chunks came to since it was drained. Not to be fed any more once
    that raised.

    Args:
        tables: The tables by name. Each is compiled when its first event comes.
        lookups: What columns ask outside.
        asked: The tables whose rows are wanted; None for all.
        registry: The transformers.

    Attributes:
        tally: What was counted; rows and untracked events as they are drained.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        lookups: Lookups,
        asked: frozenset[str] | None = None,
        registry: Registry = TRANSFORMERS,
    ) -> None:
        self.tally = EventCounts()
        self._tables = tables
        self._exact = ReferenceTransform(tables, lookups, asked, registry)
        self._fast = FastPath(tables, lookups, asked, registry)
        self._rows: defaultdict[str, list[str]] = defaultdict(list)
        self._untracked: list[str] = []
        self._quarantined: list[QuarantinedLine] = []
        self._reader = RawEdgeRecordReader()
        self._encoder = RowEncoder()

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """The tables so far that the reference path makes all rows of, each with the reason."""
        return self._fast.fallbacks

    def feed(self, chunk: bytes) -> None:
        """Transforms whole lines, each ended by a line feed except perhaps the last.

        Raises:
            LookupUnavailableError: A service that a column asks does not answer.
        """
        records = self._reader.read(chunk)
        made = self._fast.process(records)
        for name, rows in made.rows.items():
            self._rows[name] += rows
        self._untracked += made.untracked
        for number, line in _numbered_lines(made.unhandled, chunk):
            record = records[number]
            if record and number in made.cut_off:
                self._count(line, [malformed(record.uuid, _CUT_OFF)])
            else:
                self._count(line, self._reference(line, record))
        self.tally.lines += len(records)
        self.tally.records += len(records) - len(made.unhandled)

    def retry_line(self, line: bytes, uuid: str = "") -> None:
        """Transforms one line that was kept; with ``uuid`` that event of it alone.

        Raises:
            LookupUnavailableError: As for :meth:`feed`.
        """
        self._count(line, self._exact.line(line), uuid)
        self.tally.lines += 1

    def drain(self, at_least: int = 1) -> TransformOutput:
        """Hands over rows, untracked and kept events, and counts how the rows ended.

        Args:
            at_least: Of tables with fewer rows, and of fewer untracked events, none is handed over
                yet.
        """
        rows = {
            name: self._encode_table(self._tables[name], texts)
            for name, texts in self._rows.items()
            if len(texts) >= at_least
        }
        untracked = self._untracked.copy() if len(self._untracked) >= at_least else []
        if untracked:
            self._untracked.clear()
            self.tally.count("", Outcome.UNTRACKED, len(untracked))
        quarantined, self._quarantined = self._quarantined, []
        return TransformOutput(rows, untracked, quarantined)

    def _encode_table(self, table: Table, texts: list[str]) -> TableRows:
        rows = self._encoder.encode(table, texts)
        texts.clear()
        if rows.skipped:
            self.tally.count(table.name, Outcome.SKIPPED_COLUMNS, rows.skipped)
        if rows.count > rows.skipped:
            self.tally.count(table.name, Outcome.SUCCESS, rows.count - rows.skipped)
        return rows

    def _reference(self, line: bytes, record: RawEdgeRecord | None) -> list[EventResult] | None:
        """What the exact path makes of a line, of which all but the payload may be read already."""
        read = None if record is None else self._fast.read(record)
        if record is None or read is None:
            return self._exact.line(line)
        return self._exact.payload(record.data, read)

    def _count(self, line: bytes, results: list[EventResult] | None, uuid: str = "") -> None:
        """Takes in what the exact path made of a line; with ``uuid`` of that event alone."""
        if results is None:
            self.tally.undecodable += 1
            return
        self.tally.records += 1
        for result in results:
            if not uuid or result.uuid == uuid:
                self._count_event(line, result)

    def _count_event(self, line: bytes, result: EventResult) -> None:
        table = result.table or ""
        if result.outcome in _KEPT:
            kept = QuarantinedLine(line, result.outcome, result.error, result.uuid, table)
            self._quarantined.append(kept)
        match result.outcome:
            case Outcome.SUCCESS:
                self._rows[table].append((result.row or "")[1:-1])
            case Outcome.SKIPPED_COLUMNS:
                self._rows[table].append(MISSING + (result.row or "")[1:-1])
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
