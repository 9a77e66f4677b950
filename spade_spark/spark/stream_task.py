"""Publishes the rows of one partition, once it is known which files have them.

What is read are the files that the partition's completion record names, in its order: whoever
publishes them, after whatever went wrong, finds the same rows under the same numbers. Memory does
not grow with them: they are read as they are sent.
"""

from __future__ import annotations

import gzip
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from itertools import islice

import msgspec

from spade_spark.blueprint.schema import read_tables
from spade_spark.errors import InternalError
from spade_spark.gocompat.duration import parse_duration
from spade_spark.gocompat.quote import unquote_row
from spade_spark.runs.manifest import Completion, RowFile
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.publish_checkpoint import (
    CheckpointLostError,
    PublishCheckpointStore,
    PublishOffset,
)
from spade_spark.spark.broadcast_context import BroadcastContext, PublishConfig
from spade_spark.storage.base import Store
from spade_spark.streams.aws_client import AwsService
from spade_spark.streams.envelope import Envelope
from spade_spark.streams.publisher import Publisher
from spade_spark.streams.routing import Selector
from spade_spark.streams.sender import Sender
from spade_spark.streams.targets import StreamTarget
from spade_spark.transform.transformers.registry import is_transformer


def publish(job: BroadcastContext, store: Store, completion: Completion) -> Completion:
    """Publishes what of ``completion`` is not published yet.

    Returns:
        The completion, with what was published in its ledger.

    Raises:
        InputError: A service refuses, and would refuse again.
        TransientError: What a further attempt may mend.
        InternalError: Rows were lost or counted twice on the way.
    """
    assert job.publishing is not None
    log = PublishCheckpointStore(
        store,
        RunPaths(job.run_tag).publication(completion.partition),
        job.plan,
        completion.partition,
        holder=uuid.uuid4().hex,
        patience=_stale_after(job.publishing),
    )
    while log.acquire():
        with suppress(CheckpointLostError):  # by another attempt, whose end is waited for
            for target in job.publishing.targets:
                _Task(job, store, completion, log, target).run()
            log.finish()
    ledger = log.record.counts
    ledger.check({}, f"publishing partition {completion.partition}")
    return msgspec.structs.replace(completion, counts=completion.counts + ledger)


def _stale_after(publishing: PublishConfig) -> float:
    """Longer than any task goes without a sign of life, which is given at each attempt to send."""
    delays = [parse_duration(target.stream.retry_delay) for target in publishing.targets]
    return publishing.stale_after + 2 * max(delays, default=0)


class _Task:
    """The rows of one partition to one stream."""

    def __init__(
        self,
        job: BroadcastContext,
        store: Store,
        completion: Completion,
        log: PublishCheckpointStore,
        target: StreamTarget,
    ) -> None:
        assert job.publishing is not None
        self._store, self._log, self._target = store, log, target
        self._stretch = job.publishing.checkpoint_rows
        self._files = [file for file in completion.files if file.table in target.stream.events]
        self._rows = sum(file.rows for file in self._files)
        columns = _columns(job.schemas)
        self._selectors = {
            name: Selector(
                target.stream, name, columns[name], job.settings.streams, job.publishing.span
            )
            for name in {file.table for file in self._files}
        }
        place = store.url + RunPaths(job.run_tag).publication(completion.partition)
        progress = log.progress(target.id)
        self._publisher = Publisher(
            target.stream,
            Sender(target.stream, AwsService(target.stream, job.settings), time.sleep, log.beat),
            Envelope(target.stream, f"{place}#{job.plan}/{target.id}"),
            settled=progress.settled,
            counts=progress.counts,
        )

    def run(self) -> None:
        """Publishes what is not settled yet."""
        try:
            self._publish()
        except CheckpointLostError:
            raise
        except BaseException:
            known = self._publisher.settled
            self._log.release(self._target.id, PublishOffset(known, known, self._publisher.counts))
            raise

    def _publish(self) -> None:
        publisher = self._publisher
        rows = enumerate(self._read())
        for _ in islice(rows, publisher.settled):
            pass
        while publisher.settled < self._rows:
            upto = min(publisher.settled + self._stretch, self._rows)
            self._note(sending=upto)
            for row, (table, line) in islice(rows, upto - publisher.settled):
                publisher.add(row, table, self._selectors[table].fields(unquote_row(line)))
            publisher.flush(upto)
        if publisher.counts.rows != self._rows:
            raise InternalError(
                f"{self._target.id}: {self._rows} rows were to be published, "
                f"{publisher.counts.rows} were counted; please report this"
            )
        self._note(sending=self._rows)

    def _note(self, sending: int) -> None:
        known = PublishOffset(self._publisher.settled, sending, self._publisher.counts)
        self._log.checkpoint(self._target.id, known)

    def _read(self) -> Iterator[tuple[str, str]]:
        for file in self._files:
            for line in self._lines(file):
                yield file.table, line

    def _lines(self, file: RowFile) -> Iterator[str]:
        with (
            closing(self._store.open(file.key, size=file.size)) as packed,
            gzip.GzipFile(fileobj=packed) as stream,
        ):
            for line in stream:
                yield line[:-1].decode()


@lru_cache(maxsize=2)  # as many partitions of one run are a worker's, its schemas are read once
def _columns(schemas: bytes) -> dict[str, tuple[str, ...]]:
    tables = read_tables(schemas, is_transformer).tables
    return {name: tuple(c.outbound for c in table.columns) for name, table in tables.items()}
