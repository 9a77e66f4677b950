"""What is known of the publishing of one partition, so that nothing known to be sent goes twice.

The record stands beside the partition's completion record. It is written as *intended* before
anything is sent, and as *published* at the end. In between it says of each stream up to which row
all is settled, and, before it is sent, up to which row something may be on its way. Whoever comes
after a task that was killed goes on behind what is settled; of the rest it cannot know whether it
was sent, and counts those rows as such that may be repeated.

One task at a time holds the record. It gives signs of life in it; another that finds none for a
while takes its place, by a write on condition that the record is still the one that was read. A
task that fails lets go of the record, and then nothing is in doubt.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from spade_spark.errors import InputError, SpadeError
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.storage.base import Store
from spade_spark.storage.records import decode, encode
from spade_spark.streams.counts import StreamCounts

_POLL_SECONDS: Final = 1.0
_READS: Final = 3
_NOBODY: Final = ""


class CheckpointLostError(Exception):
    """Another task holds the record now."""


@dataclass(frozen=True)
class PublishOffset:
    """How far one stream is.

    Attributes:
        settled: Rows from the first on of which nothing is to be done any more.
        sending: Rows up to which something may have been sent.
        counts: What was counted of the settled ones.
    """

    settled: int = 0
    sending: int = 0
    counts: StreamCounts = field(default_factory=StreamCounts)

    def after_crash(self) -> PublishOffset:
        """What is known when whoever sent is gone."""
        doubtful = self.sending - self.settled
        counts = self.counts + StreamCounts(repeated=doubtful)
        return PublishOffset(self.settled, self.settled, counts)


@dataclass(frozen=True)
class PublishCheckpoint:
    """The record.

    Attributes:
        plan: SHA-256 of the plan that it belongs to.
        partition: The partition's number.
        holder: The attempt that publishes; empty where none does.
        beats: Grows with each sign of life.
        published: Whether all is settled; until then it is intended.
        streams: How far each stream is, by its id.
    """

    plan: str
    partition: int
    holder: str
    beats: int = 0
    published: bool = False
    streams: dict[str, PublishOffset] = field(default_factory=dict)

    @property
    def counts(self) -> AuditCounts:
        """What was counted."""
        return AuditCounts(streams={name: each.counts for name, each in self.streams.items()})


class PublishCheckpointStore:
    """One attempt's hold on the record.

    Args:
        store: The output store.
        key: The record's key.
        plan: SHA-256 of the plan.
        partition: The partition's number.
        holder: A name that no other attempt has.
        patience: Seconds without a sign of life after which another's place is taken.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        plan: str,
        partition: int,
        *,
        holder: str,
        patience: float,
    ) -> None:
        self._store, self._key, self._patience = store, key, patience
        self._new = PublishCheckpoint(plan, partition, holder)
        self._record = self._new
        self._etag = ""
        self._written = 0.0

    @property
    def record(self) -> PublishCheckpoint:
        """The record as it was last seen."""
        return self._record

    def acquire(self) -> bool:
        """Takes hold of the record, once nobody else does; False where all is published.

        Raises:
            InputError: The record belongs to another plan.
        """
        if self._store.write(self._key, encode(self._new), if_absent=True):
            self._look()
        while not self._record.published and not self._holds():
            self._await_end()
        return not self._record.published

    def progress(self, stream: str) -> PublishOffset:
        """How far a stream is."""
        return self._record.streams.get(stream, PublishOffset())

    def checkpoint(self, stream: str, progress: PublishOffset) -> None:
        """Writes how far a stream is.

        Raises:
            CheckpointLostError: Another attempt holds the record.
        """
        self._write(streams={**self._record.streams, stream: progress})

    def beat(self) -> None:
        """Gives a sign of life, where the last one is old enough.

        Raises:
            CheckpointLostError: Another attempt holds the record.
        """
        if time.monotonic() - self._written > self._patience / 4:
            self._write()

    def finish(self) -> None:
        """Writes that all is published.

        Raises:
            CheckpointLostError: Another attempt holds the record.
        """
        self._write(published=True)

    def release(self, stream: str, progress: PublishOffset) -> None:
        """Leaves the record to others, with all that is known.

        It is called when something has failed, and does not hide that by failing itself: who
        comes after then has to wait, and to take more for doubtful.
        """
        with suppress(SpadeError, CheckpointLostError):
            self._write(streams={**self._record.streams, stream: progress}, holder=_NOBODY)

    def _holds(self) -> bool:
        return bool(self._etag) and self._record.holder == self._new.holder

    def _await_end(self) -> None:
        """Waits for a sign of life of the holder, and takes its place where none comes."""
        seen = self._look()
        until = time.monotonic() + self._patience
        while seen.holder != _NOBODY and not seen.published and time.monotonic() < until:
            time.sleep(min(_POLL_SECONDS, self._patience / 4))
            if self._look() != seen:
                return
        if self._record.published or self._holds():
            return
        streams = {name: each.after_crash() for name, each in self._record.streams.items()}
        with suppress(CheckpointLostError):  # by another that waited as long
            self._write(holder=self._new.holder, streams=streams)

    def _write(self, **changed: object) -> None:
        record = replace(self._record, beats=self._record.beats + 1, **changed)  # type: ignore[arg-type] # the fields' own types
        if not self._store.replace(self._key, encode(record), self._etag):
            self._etag = ""
            raise CheckpointLostError
        self._written = time.monotonic()
        if self._look() != record:
            self._etag = ""
            raise CheckpointLostError

    def _look(self) -> PublishCheckpoint:
        """The record as it is now.

        What cannot be decoded is read again: an answer may be cut, and look whole.
        """
        name = self._store.url + self._key
        for left in reversed(range(_READS)):
            snapshot = self._store.snapshot(self._key)
            try:
                self._record = decode(snapshot.data, PublishCheckpoint, name, "publish checkpoint")
                break
            except InputError:
                if not left:
                    raise
        if self._record.plan != self._new.plan:
            raise InputError(f"{name} belongs to another plan; use a new run tag")
        self._etag = snapshot.etag
        return self._record


def read_checkpoint(store: Store, key: str) -> PublishCheckpoint:
    """A partition's record.

    Raises:
        ObjectNotFoundError: There is none.
        InputError: What lies there is no such record.
    """
    return decode(store.read(key), PublishCheckpoint, store.url + key, "publish checkpoint")
