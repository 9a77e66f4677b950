"""The publish checkpoint of a partition: how many rows of each stream are sent.

The checkpoint is stored next to the partition's completion record. It is written before the first
row is sent, and marked as published at the end. In between, it contains for each stream the number
of settled rows (sent, skipped or dropped), and the number of rows that may have been sent. After a
task was killed, the next attempt resumes after the settled rows. It cannot know whether the rows in
between were sent, so it sends them again and counts them as possibly repeated.

One task attempt at a time holds the checkpoint and writes heartbeats to it. Another attempt takes
it over by a conditional write when the heartbeats stop. A task that fails releases the checkpoint
with its exact offsets, so that no row is in doubt.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from spade_spark.errors import InputError, SpadeError
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.storage.base import Store
from spade_spark.storage.json_codec import decode, encode
from spade_spark.streams.counts import StreamCounts

_POLL_SECONDS: Final = 1.0
_READ_ATTEMPTS: Final = 3
_NO_HOLDER: Final = ""


class CheckpointLostError(Exception):
    """Another attempt holds the checkpoint."""


@dataclass(frozen=True)
class PublishOffset:
    """The offset of one stream.

    Attributes:
        settled: Number of rows from the start that are done: sent, skipped or dropped.
        sending: Number of rows from the start that may have been sent.
        counts: The counts of the settled rows.
    """

    settled: int = 0
    sending: int = 0
    counts: StreamCounts = field(default_factory=StreamCounts)

    def after_crash(self) -> PublishOffset:
        """Return the offset from which to resume after the holder died."""
        in_doubt = self.sending - self.settled
        counts = self.counts + StreamCounts(repeated=in_doubt)
        return PublishOffset(self.settled, self.settled, counts)


class PublishCheckpoint(msgspec.Struct, frozen=True, rename={"heartbeats": "beats"}):
    """The publish checkpoint of one partition.

    Attributes:
        plan: SHA-256 of the plan.
        partition: The partition's number.
        holder: The attempt that publishes; empty if there is none.
        heartbeats: A number that increases with each heartbeat.
        published: Whether all rows are published.
        streams: The offset of each stream, by stream id.
    """

    plan: str
    partition: int
    holder: str
    heartbeats: int = 0
    published: bool = False
    streams: dict[str, PublishOffset] = msgspec.field(default_factory=dict)

    @property
    def counts(self) -> AuditCounts:
        """The counts of all streams."""
        return AuditCounts(streams={name: offset.counts for name, offset in self.streams.items()})


class PublishCheckpointStore:
    """One attempt's access to the checkpoint of a partition.

    Args:
        store: The output store.
        key: The checkpoint's key.
        plan: SHA-256 of the plan.
        partition: The partition's number.
        holder: The unique name of this attempt.
        stale_after: Seconds without a heartbeat after which another holder is considered dead.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        plan: str,
        partition: int,
        *,
        holder: str,
        stale_after: float,
    ) -> None:
        self._store, self._key, self._stale_after = store, key, stale_after
        self._initial = PublishCheckpoint(plan, partition, holder)
        self._record = self._initial
        self._etag = ""
        self._written = 0.0

    @property
    def record(self) -> PublishCheckpoint:
        """The checkpoint as last read."""
        return self._record

    def acquire(self) -> bool:
        """Wait for the checkpoint and acquire it; return False if all rows are published.

        Raises:
            InputError: The checkpoint belongs to another plan.
        """
        if self._store.write(self._key, encode(self._initial), if_absent=True):
            self._read()
        while not self._record.published and not self._holds():
            self._wait_or_take_over()
        return not self._record.published

    def offset(self, stream: str) -> PublishOffset:
        """The offset of a stream."""
        return self._record.streams.get(stream, PublishOffset())

    def checkpoint(self, stream: str, offset: PublishOffset) -> None:
        """Write the offset of a stream.

        Raises:
            CheckpointLostError: Another attempt holds the checkpoint.
        """
        self._write(streams={**self._record.streams, stream: offset})

    def heartbeat(self) -> None:
        """Write a heartbeat if the last write is old enough.

        Raises:
            CheckpointLostError: Another attempt holds the checkpoint.
        """
        if time.monotonic() - self._written > self._stale_after / 4:
            self._write()

    def finish(self) -> None:
        """Mark all rows as published.

        Raises:
            CheckpointLostError: Another attempt holds the checkpoint.
        """
        self._write(published=True)

    def release(self, stream: str, offset: PublishOffset) -> None:
        """Release the checkpoint with the offset of a stream.

        This is called while another error is raised, so it suppresses its own errors. If the
        release fails, the next attempt waits until this one is stale, and more rows are in doubt.
        """
        with suppress(SpadeError, CheckpointLostError):
            self._write(streams={**self._record.streams, stream: offset}, holder=_NO_HOLDER)

    def _holds(self) -> bool:
        return bool(self._etag) and self._record.holder == self._initial.holder

    def _wait_or_take_over(self) -> None:
        """Wait for a heartbeat of the holder; if there is none, take over the checkpoint."""
        seen = self._read()
        deadline = time.monotonic() + self._stale_after
        while seen.holder != _NO_HOLDER and not seen.published and time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, self._stale_after / 4))
            if self._read() != seen:
                return
        if self._record.published or self._holds():
            return
        streams = {name: offset.after_crash() for name, offset in self._record.streams.items()}
        with suppress(CheckpointLostError):  # another attempt was faster
            self._write(holder=self._initial.holder, streams=streams)

    def _write(self, **changes: object) -> None:
        record = msgspec.structs.replace(
            self._record, heartbeats=self._record.heartbeats + 1, **changes
        )
        if not self._store.replace(self._key, encode(record), self._etag):
            self._etag = ""
            raise CheckpointLostError
        self._written = time.monotonic()
        if self._read() != record:
            self._etag = ""
            raise CheckpointLostError

    def _read(self) -> PublishCheckpoint:
        """Read the checkpoint.

        A response can be cut off and still look complete, so data that cannot be decoded is read
        again.
        """
        name = self._store.url + self._key
        for attempts_left in reversed(range(_READ_ATTEMPTS)):
            versioned = self._store.read_versioned(self._key)
            try:
                self._record = decode(versioned.data, PublishCheckpoint, name, "publish checkpoint")
                break
            except InputError:
                if not attempts_left:
                    raise
        if self._record.plan != self._initial.plan:
            raise InputError(f"{name} belongs to another plan: start a new run without --runtag")
        self._etag = versioned.etag
        return self._record


def read_checkpoint(store: Store, key: str) -> PublishCheckpoint:
    """Read a partition's checkpoint.

    Raises:
        ObjectNotFoundError: There is none.
        InputError: The checkpoint cannot be decoded.
    """
    return decode(store.read(key), PublishCheckpoint, store.url + key, "publish checkpoint")
