"""The Spark task: reads the objects of a partition, transforms them and uploads the output.

This module does not use Spark: the same code runs in executors, threads, tests and benchmarks.
Memory use does not depend on the input size: lines are read in chunks, and rows go to local files
that are uploaded and removed when they reach their maximum size.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.errors import (
    CorruptObjectError,
    InputError,
    ObjectChangedError,
    ObjectNotFoundError,
)
from spade_spark.lookups.factory import worker_lookups
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Completion, CorruptObject
from spade_spark.runs.paths import RunPaths
from spade_spark.sources.glob_archive import GlobDeduplicator, GlobReader
from spade_spark.sources.gzip_lines import GzipLineReader
from spade_spark.sources.prefilter import Prefilter
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.line_numbers import LineNumberFinder
from spade_spark.spark.stream_task import publish
from spade_spark.spark.task_outputs import TaskOutputs
from spade_spark.storage.base import Store, open_store
from spade_spark.storage.json_codec import decode, encode
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.edge_type_audit import EdgeTypeCounter
from spade_spark.transform.event_counts import EventCounts
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.output import QuarantinedLine, TransformOutput
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.writers import quarantine

_MIN_DRAIN_ROWS: Final = 32
"""The minimum rows of a table to write at once: most tables have one or two per chunk."""


def run_partition(context: BroadcastContext, partition: InputPartition, attempt: int) -> Completion:
    """Run one partition and write its completion record.

    Several attempts at a partition may run at once (speculation, a lost executor). Their files have
    different names. The first attempt to write the record wins; later ones return that record. If
    the run publishes and not too many objects are corrupt, the rows of that record are then
    published, and the returned record includes the counts of published rows.

    Raises:
        InputError: For example, an object was deleted or changed since the plan was created.
        TransientError: A retry may succeed.
        InternalError: The audit counts of the partition do not balance.
    """
    store = open_store(context.settings.output.base, context.settings.s3)
    completion = _transform(context, partition, attempt, store)
    if context.publishing is None or context.publishing.exceeds_corrupt_limit(completion):
        return completion
    return publish(context, store, completion)


def _transform(
    context: BroadcastContext, partition: InputPartition, attempt: int, store: Store
) -> Completion:
    """Return the completion record of the partition; run the transform if there is none."""
    key = RunPaths(context.run_tag).completion(partition.number)
    existing = _read_completion(store, key, context.plan)
    if existing:
        return existing
    name = f"{partition.number:05d}-{attempt}-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="spade-") as spool:
        completion = _TaskAttempt(context, partition, name, store, Path(spool)).run()
    completion.check()
    if store.write(key, encode(completion), if_absent=True):
        return completion
    return _read_completion(store, key, context.plan) or completion


def _read_completion(store: Store, key: str, plan: str) -> Completion | None:
    """Return the completion record of the partition if an attempt has written one."""
    try:
        record = decode(store.read(key), Completion, store.url + key, "completion record")
    except ObjectNotFoundError:
        return None
    if record.plan != plan:
        raise InputError(f"{store.url}{key} belongs to another plan; use a new run tag")
    return record


class _TaskAttempt:
    """One attempt at one partition."""

    def __init__(
        self,
        context: BroadcastContext,
        partition: InputPartition,
        name: str,
        store: Store,
        spool: Path,
    ) -> None:
        self._context, self._partition, self._name, self._store = context, partition, name, store
        settings = context.settings
        self._input = open_store(context.input_url, settings.s3)
        self._reader = PartitionReader(context)
        self._lookups = worker_lookups(settings.lookups, settings.s3)
        self._tables = _tables(context.schemas)
        self._transform = ChunkTransform(self._tables, self._lookups, context.requested)
        all_lines = context.requested is None or context.from_quarantine
        self._prefilter = None if all_lines else Prefilter(context.requested or ())
        self._edge_types = _edge_types(context, self._tables)
        self._outputs = TaskOutputs(context, name, store, spool)
        self._lookups_before = self._lookups.stats()  # the counts of a process cover all its tasks
        self._corrupt_objects: list[CorruptObject] = []
        self._read_counts = AuditCounts()

    def run(self) -> Completion:
        """Read the objects, then close and upload the open files."""
        for source in self._partition.sources:
            self._read_object(source)
        self._write(self._transform.drain())
        self._outputs.close()
        return self._build_completion()

    def _read_object(self, source: InputObject) -> None:
        try:
            self._read_planned_version(source)
        except (ObjectNotFoundError, ObjectChangedError) as error:
            raise type(error)(f"{error}: leave out --runtag to start a new run") from None

    def _read_planned_version(self, source: InputObject) -> None:
        with closing(self._input.open(source.key, source.etag, source.size)) as stream:
            reader = self._reader.open(stream, source.key)
            try:
                if self._context.from_quarantine:
                    self._transform_quarantine(reader, source.key)
                else:
                    self._transform_edge_lines(reader, source.key)
            except CorruptObjectError as error:
                self._corrupt_objects.append(CorruptObject(source.key, str(error)))
            self._read_counts += read_counts(reader)

    def _transform_edge_lines(self, reader: GzipLineReader | GlobReader, key: str) -> None:
        line_numbers = LineNumberFinder()
        before = self._lines_read()
        for chunk in reader:
            matches = self._prefilter.filter(chunk) if self._prefilter else chunk
            self._transform.feed(matches)
            if self._edge_types:
                self._edge_types.feed(matches)
            for quarantined in self._write_output():
                number = line_numbers.number_of(chunk, quarantined.line)
                self._outputs.add_quarantined(quarantine.encode(quarantined, key, number))
            line_numbers.next_chunk(self._lines_read() - before)
            del chunk, matches  # the next chunk reuses their memory while it is in the CPU cache

    def _prefiltered(self) -> int:
        return self._prefilter.skipped if self._prefilter else 0

    def _lines_read(self) -> int:
        """Return the number of lines read from all objects so far, including prefiltered ones."""
        return self._transform.counts.lines + self._prefiltered()

    def _transform_quarantine(self, reader: GzipLineReader | GlobReader, key: str) -> None:
        """Retry the lines of a quarantine, which keep their original object and line number."""
        for chunk in reader:
            for line in chunk.splitlines():
                entry = quarantine.decode(line, key)
                self._transform.retry_line(entry.edge_line, entry.uuid if entry.event else "")
                for quarantined in self._write_output():
                    json_line = quarantine.encode(quarantined, entry.object, entry.line)
                    self._outputs.add_quarantined(json_line)

    def _write_output(self) -> Sequence[QuarantinedLine]:
        """Move rows and untracked events to the output files; return the quarantined lines."""
        output = self._transform.drain(at_least=_MIN_DRAIN_ROWS)
        self._write(output)
        return output.quarantined

    def _write(self, output: TransformOutput) -> None:
        for rows in output.rows.values():
            self._outputs.add_rows(rows.table, rows.text, rows.count)
        self._outputs.add_untracked(output.untracked)

    def _build_completion(self) -> Completion:
        counts = self._event_counts()
        counts.check_balance()
        events: dict[str, dict[Outcome, int]] = {}
        for (table, outcome), count in counts.events.items():
            events.setdefault(table, {})[outcome] = count
        transformed = AuditCounts(
            lines=counts.lines,
            undecodable=counts.undecodable,
            filtered=counts.prefiltered,
            records=counts.records,
            events=events,
            edge_types=self._edge_types.counts() if self._edge_types else {},
        )
        parquet = self._outputs.parquet
        return Completion(
            plan=self._context.plan,
            partition=self._partition.number,
            attempt=self._name,
            counts=self._read_counts + transformed + (parquet.counts if parquet else AuditCounts()),
            files=tuple(self._outputs.files),
            untracked=tuple(self._outputs.untracked),
            quarantine=tuple(self._outputs.quarantine),
            damaged=tuple(self._corrupt_objects),
            failures=tuple(counts.failures),
            lookups=asdict(self._lookups.stats() - self._lookups_before),
            format=self._context.settings.output.format,
            parquet=tuple(parquet.files) if parquet else (),
            fallbacks=dict(self._transform.fallbacks),
        )

    def _event_counts(self) -> EventCounts:
        """Return the counts of the transform plus the prefiltered lines."""
        transformed = self._transform.counts
        return replace(transformed, lines=self._lines_read(), prefiltered=self._prefiltered())


@lru_cache(maxsize=2)  # a Python worker runs many tasks; parse the schemas once
def _tables(schemas: bytes) -> dict[str, Table]:
    return dict(read_tables(schemas, is_transformer).tables)


def _edge_types(context: BroadcastContext, tables: Mapping[str, Table]) -> EdgeTypeCounter | None:
    """Return a counter of edge types; None if the run does not count them."""
    if context.edge_types is None:
        return None
    return EdgeTypeCounter(
        tables if context.requested is None else context.requested, context.edge_types
    )


class PartitionReader:
    """Opens the objects of one partition; the readers skip globs that an earlier object had."""

    def __init__(self, context: BroadcastContext) -> None:
        self._read_globs = context.settings.input.form == "globs" and not context.from_quarantine
        self._deduplicator = GlobDeduplicator()

    def open(self, stream: BinaryIO, key: str) -> GzipLineReader | GlobReader:
        """Return a reader for the lines of the object ``key``."""
        if self._read_globs:
            return GlobReader(stream, key, self._deduplicator)
        return GzipLineReader(stream, key)


def read_counts(reader: GzipLineReader | GlobReader) -> AuditCounts:
    """Return the counts of one object, without the yielded lines: the transform counts those."""
    counts = AuditCounts(objects=1, bytes_in=reader.bytes_in, bytes_inflated=reader.bytes_inflated)
    if isinstance(reader, GzipLineReader):
        return counts
    return counts + AuditCounts(
        lines=reader.repeated,
        globs=reader.globs,
        repeated_globs=reader.repeated_globs,
        repeated=reader.repeated,
    )
