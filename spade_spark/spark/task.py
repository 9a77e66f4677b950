"""One partition, from objects to objects: read, decode, transform, write, and say what counts.

Knows no Spark: the same code runs in an executor, a thread, a test or a benchmark. Memory does
not grow with what is read: lines come in chunks, rows go to local files that are uploaded and
removed as they reach their size.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import lru_cache, partial
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
from spade_spark.runs.manifest import Completion, Damaged
from spade_spark.runs.paths import RunPaths
from spade_spark.sources.glob_archive import GlobDeduplicator, GlobReader
from spade_spark.sources.gzip_lines import ObjectLines
from spade_spark.sources.prefilter import Prefilter
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.line_numbers import LineNumberFinder
from spade_spark.spark.stream_task import publish
from spade_spark.spark.task_outputs import TaskOutputs
from spade_spark.storage.base import Store, open_store
from spade_spark.storage.records import decode, encode
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.edge_type_audit import EdgeTypeCounter
from spade_spark.transform.event_counts import EventCounts
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.output_buffer import QuarantinedLine, TransformOutput
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.writers import quarantine

_ROWS_AT_ONCE: Final = 32
"""Tables with fewer rows wait for more of them: a chunk has one or two of most."""


def run_partition(job: BroadcastContext, partition: InputPartition, attempt: int) -> Completion:
    """Does one partition and writes its completion record as the last act.

    Several attempts at one partition may run at once (speculation, a lost executor): their files
    have names of their own, and the first to write the record is the one that counts. A later one
    returns the first one's record. Where the job publishes, the rows of that record are then
    published, unless too many objects are damaged, and the completion returned has in its ledger
    what came of that.

    Raises:
        InputError: An object is gone or has changed since it was planned, or the like.
        TransientError: What a further attempt may mend.
        InternalError: The partition's ledger does not balance.
    """
    store = open_store(job.settings.output.base, job.settings.s3)
    completion = _complete(job, partition, attempt, store)
    if job.publishing is None or job.publishing.exceeds_damage_limit(completion):
        return completion
    return publish(job, store, completion)


def _complete(
    job: BroadcastContext, partition: InputPartition, attempt: int, store: Store
) -> Completion:
    """The partition's first completion record, which is written where there is none."""
    key = RunPaths(job.run_tag).completion(partition.number)
    done = _completed(store, key, job.plan)
    if done:
        return done
    name = f"{partition.number:05d}-{attempt}-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="spade-") as spool:
        completion = _TaskAttempt(job, partition, name, store, Path(spool)).run()
    completion.check()
    if store.write(key, encode(completion), if_absent=True):
        return completion
    return _completed(store, key, job.plan) or completion


def _completed(store: Store, key: str, plan: str) -> Completion | None:
    """The partition's completion record, if an attempt has written one."""
    try:
        record = decode(store.read(key), Completion, store.url + key, "completion record")
    except ObjectNotFoundError:
        return None
    if record.plan != plan:
        raise InputError(f"{store.url}{key} belongs to another plan; use a new run tag")
    return record


class _TaskAttempt:
    """One attempt at one partition: the pieces that its steps share."""

    def __init__(
        self, job: BroadcastContext, partition: InputPartition, name: str, store: Store, spool: Path
    ) -> None:
        self._job, self._partition, self._name, self._store = job, partition, name, store
        settings = job.settings
        self._edge = open_store(job.edge, settings.s3)
        self._inputs = PartitionReader(job)
        self._lookups = worker_lookups(settings.lookups, settings.s3)
        self._tables = _tables(job.schemas)
        self._transform = ChunkTransform(self._tables, self._lookups, job.asked)
        whole = job.asked is None or job.from_quarantine
        self._prefilter = None if whole else Prefilter(job.asked or ())
        self._edge_types = _edge_types(job, self._tables)
        self._outputs = TaskOutputs(job, name, store, spool)
        self._asked_before = self._lookups.stats()  # the worker's lookups outlive its tasks
        self._damaged: list[Damaged] = []
        self._read = AuditCounts()

    def run(self) -> Completion:
        """Reads every object, then closes and uploads what is open."""
        for source in self._partition.sources:
            self._read_object(source)
        self._add(self._transform.drain())
        self._outputs.close()
        return self._completion()

    def _read_object(self, source: InputObject) -> None:
        try:
            self._read_as_planned(source)
        except (ObjectNotFoundError, ObjectChangedError) as error:
            raise type(error)(f"{error}: leave --runtag out to begin a new run") from None

    def _read_as_planned(self, source: InputObject) -> None:
        with closing(self._edge.open(source.key, source.etag, source.size)) as stream:
            lines = self._inputs.lines(stream, source.key)
            try:
                feed = self._feed_quarantine if self._job.from_quarantine else self._feed
                feed(lines, source.key)
            except CorruptObjectError as damage:
                self._damaged.append(Damaged(source.key, str(damage)))
            self._read += read_counts(lines)

    def _feed(self, lines: ObjectLines | GlobReader, key: str) -> None:
        places = LineNumberFinder(key)
        before = self._lines_read()
        for chunk in lines:
            passed = self._prefilter.filter(chunk) if self._prefilter else chunk
            self._transform.feed(passed)
            if self._edge_types:
                self._edge_types.feed(passed)
            self._keep(partial(places.number_of, chunk))
            places.advance(self._lines_read() - before)
            del chunk, passed  # their memory is used again for the next, in the processor's cache

    def _lines_read(self) -> int:
        """Lines of all objects so far, which the transform and the prefilter have counted."""
        passed_over = self._prefilter.skipped if self._prefilter else 0
        return self._transform.counts.lines + passed_over

    def _feed_quarantine(self, lines: ObjectLines | GlobReader, key: str) -> None:
        """Lines of a quarantine: the edge lines in them, each from where it came first."""
        for chunk in lines:
            for line in chunk.splitlines():
                before = quarantine.decode(line, key)
                self._transform.retry_line(before.edge_line, before.uuid if before.event else "")
                self._keep(partial(quarantine.encode, source=before.object, line=before.line))

    def _keep(self, encode_kept: Callable[[QuarantinedLine], bytes]) -> None:
        drained = self._transform.drain(at_least=_ROWS_AT_ONCE)
        self._add(drained)
        self._outputs.add_quarantined(encode_kept(kept) for kept in drained.quarantined)

    def _add(self, drained: TransformOutput) -> None:
        for rows in drained.rows.values():
            self._outputs.add_rows(rows.table, rows.text, rows.count)
        self._outputs.add_untracked(drained.untracked)

    def _completion(self) -> Completion:
        tally = self._tally()
        tally.balance()
        events: dict[str, dict[Outcome, int]] = {}
        for (table, outcome), count in tally.events.items():
            events.setdefault(table, {})[outcome] = count
        transformed = AuditCounts(
            lines=tally.lines,
            undecodable=tally.undecodable,
            filtered=tally.prefiltered,
            records=tally.records,
            events=events,
            edge_types=self._edge_types.counts() if self._edge_types else {},
        )
        asked = self._lookups.stats() - self._asked_before
        parquet = self._outputs.parquet
        return Completion(
            plan=self._job.plan,
            partition=self._partition.number,
            attempt=self._name,
            counts=self._read + transformed + (parquet.counts if parquet else AuditCounts()),
            files=tuple(self._outputs.files),
            untracked=tuple(self._outputs.untracked),
            quarantine=tuple(self._outputs.quarantine),
            damaged=tuple(self._damaged),
            failures=tuple(tally.failures),
            lookups=asdict(asked),
            format=self._job.settings.output.format,
            parquet=tuple(parquet.files) if parquet else (),
            fallbacks=dict(self._transform.fallbacks),
        )

    def _tally(self) -> EventCounts:
        """Returns the counts of the transform, and of the lines that the prefilter skipped."""
        transformed = self._transform.counts
        skipped = self._prefilter.skipped if self._prefilter else 0
        return replace(transformed, lines=self._lines_read(), prefiltered=skipped)


@lru_cache(maxsize=2)  # A worker process does many tasks of one run: the schemas are read once.
def _tables(schemas: bytes) -> dict[str, Table]:
    return dict(read_tables(schemas, is_transformer).tables)


def _edge_types(job: BroadcastContext, tables: Mapping[str, Table]) -> EdgeTypeCounter | None:
    """What counts the types of edge; None where the job does not ask for it."""
    if job.edge_types is None:
        return None
    return EdgeTypeCounter(tables if job.asked is None else job.asked, job.edge_types)


class PartitionReader:
    """Opens the objects of one partition, and knows the globs in them that were read before."""

    def __init__(self, job: BroadcastContext) -> None:
        self._of_globs = job.settings.input.form == "globs" and not job.from_quarantine
        self._repeats = GlobDeduplicator()

    def lines(self, stream: BinaryIO, key: str) -> ObjectLines | GlobReader:
        """The lines of the object ``key``."""
        if self._of_globs:
            return GlobReader(stream, key, self._repeats)
        return ObjectLines(stream, key)


def read_counts(lines: ObjectLines | GlobReader) -> AuditCounts:
    """What was read of one object, beside the lines that were handed out."""
    read = AuditCounts(objects=1, bytes_in=lines.bytes_in, bytes_inflated=lines.bytes_inflated)
    if isinstance(lines, ObjectLines):
        return read
    return read + AuditCounts(
        lines=lines.repeated,
        globs=lines.globs,
        repeated_globs=lines.repeated_globs,
        repeated=lines.repeated,
    )
