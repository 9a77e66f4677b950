"""Publishes the rows of one partition to streams, after its completion record is written.

The rows are read from the files in the completion record, in its order, so every attempt numbers
them in the same way. They are sent while they are read, so memory use is constant.
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


def publish(context: BroadcastContext, store: Store, completion: Completion) -> Completion:
    """Publish the rows of ``completion`` that are not published yet.

    Returns:
        The completion, with the published rows in its audit counts.

    Raises:
        InputError: A service rejects a request permanently.
        TransientError: A retry may succeed.
        InternalError: Rows were lost or counted twice.
    """
    assert context.publishing is not None
    checkpoints = PublishCheckpointStore(
        store,
        RunPaths(context.run_tag).publish_checkpoint(completion.partition),
        context.plan,
        completion.partition,
        holder=uuid.uuid4().hex,
        stale_after=_stale_after(context.publishing),
    )
    while checkpoints.acquire():
        with suppress(CheckpointLostError):  # another attempt took over; wait for it
            for target in context.publishing.targets:
                _StreamTask(context, store, completion, checkpoints, target).run()
            checkpoints.finish()
    counts = checkpoints.record.counts
    counts.check({}, f"publishing partition {completion.partition}")
    return msgspec.structs.replace(completion, counts=completion.counts + counts)


def _stale_after(publishing: PublishConfig) -> float:
    """Return a time longer than the interval between heartbeats. Each send attempt sends one."""
    delays = [parse_duration(target.stream.retry_delay) for target in publishing.targets]
    return publishing.stale_after + 2 * max(delays, default=0)


class _StreamTask:
    """Publishes the rows of one partition to one stream."""

    def __init__(
        self,
        context: BroadcastContext,
        store: Store,
        completion: Completion,
        checkpoints: PublishCheckpointStore,
        target: StreamTarget,
    ) -> None:
        publishing, settings, stream = context.publishing, context.settings, target.stream
        assert publishing is not None
        self._store, self._checkpoints, self._target = store, checkpoints, target
        self._checkpoint_rows = publishing.checkpoint_rows
        self._files = [file for file in completion.files if file.table in stream.events]
        self._rows = sum(file.rows for file in self._files)
        columns = _columns(context.schemas)
        self._selectors = {
            name: Selector(stream, name, columns[name], settings.streams, publishing.window)
            for name in {file.table for file in self._files}
        }
        record_url = store.url + RunPaths(context.run_tag).publish_checkpoint(completion.partition)
        offset = checkpoints.offset(target.id)
        self._publisher = Publisher(
            stream,
            Sender(stream, AwsService(stream, settings), time.sleep, checkpoints.heartbeat),
            Envelope(stream, f"{record_url}#{context.plan}/{target.id}"),
            settled=offset.settled,
            counts=offset.counts,
        )

    def run(self) -> None:
        """Publish the rows that are not settled yet."""
        try:
            self._publish()
        except CheckpointLostError:
            raise
        except BaseException:
            settled = self._publisher.settled
            offset = PublishOffset(settled, settled, self._publisher.counts)
            self._checkpoints.release(self._target.id, offset)
            raise

    def _publish(self) -> None:
        publisher = self._publisher
        rows = enumerate(self._read())
        for _ in islice(rows, publisher.settled):
            pass
        while publisher.settled < self._rows:
            end = min(publisher.settled + self._checkpoint_rows, self._rows)
            self._checkpoint(sending=end)
            for row, (table, line) in islice(rows, end - publisher.settled):
                publisher.add(row, table, self._selectors[table].fields(unquote_row(line)))
            publisher.flush(end)
        if publisher.counts.rows != self._rows:
            raise InternalError(
                f"{self._target.id}: {self._rows} rows should have been published, "
                f"but {publisher.counts.rows} were counted; please report this"
            )
        self._checkpoint(sending=self._rows)

    def _checkpoint(self, sending: int) -> None:
        offset = PublishOffset(self._publisher.settled, sending, self._publisher.counts)
        self._checkpoints.checkpoint(self._target.id, offset)

    def _read(self) -> Iterator[tuple[str, str]]:
        for file in self._files:
            for line in self._lines(file):
                yield file.table, line

    def _lines(self, file: RowFile) -> Iterator[str]:
        with (
            closing(self._store.open(file.key, size=file.size)) as compressed,
            gzip.GzipFile(fileobj=compressed) as stream,
        ):
            for line in stream:
                yield line[:-1].decode()


@lru_cache(maxsize=2)  # a Python worker runs many tasks; parse the schemas once
def _columns(schemas: bytes) -> dict[str, tuple[str, ...]]:
    tables = read_tables(schemas, is_transformer).tables
    return {name: tuple(c.outbound for c in table.columns) for name, table in tables.items()}
