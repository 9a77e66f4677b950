"""Publishes the rows of one partition to one stream: as records, in batches, in requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spade_spark.gocompat.duration import parse_duration
from spade_spark.streams.batcher import Batcher
from spade_spark.streams.config import Stream
from spade_spark.streams.counts import StreamCounts
from spade_spark.streams.envelope import Envelope, Payload, glob, glob_entry, row_payload
from spade_spark.streams.routing import SkipReason
from spade_spark.streams.sender import Sender


class Publisher:
    """Publishes numbered rows in order, and tracks which ones are settled.

    A row is settled when it was skipped, dropped, or accepted by the service. After a failure, the
    rows that are not settled must be published again.

    Args:
        stream: The stream.
        sender: The sender of its records.
        envelope: Wraps its rows in records.
        settled: The number of the first row to publish; all rows before it are settled.
        counts: The counts of the rows before ``settled``.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self,
        stream: Stream,
        sender: Sender,
        envelope: Envelope,
        *,
        settled: int = 0,
        counts: StreamCounts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settled = settled
        self._base_counts = counts or StreamCounts()
        self._sender, self._envelope = sender, envelope
        self._skipped: list[tuple[int, SkipReason]] = []
        globber, batcher = stream.globber, stream.batcher
        self._globber: Batcher[Payload] | None = None
        if stream.compress:
            self._globber = Batcher(
                globber.max_size,
                parse_duration(globber.max_age),
                overhead=1,  # a bracket or a comma
                clock=clock,
            )
        self._batcher: Batcher[Payload] = Batcher(
            batcher.max_size,
            parse_duration(batcher.max_age),
            max_entries=batcher.max_entries,
            clock=clock,
        )

    @property
    def counts(self) -> StreamCounts:
        """The counts of the settled rows."""
        return self._base_counts + self._sender.counts

    def add(self, row: int, event: str, fields: Mapping[str, str] | SkipReason) -> None:
        """Add the next row, and send all complete batches.

        Args:
            row: Its number.
            event: Its table.
            fields: Its fields, or the reason to skip it.

        Raises:
            SpadeError: As :meth:`~spade_spark.streams.sender.Sender.send`.
        """
        self._send_due()
        if isinstance(fields, SkipReason):
            self._skipped.append((row, fields))
        elif self._globber is None:
            self._batch(row_payload(fields, row))
        else:
            entry = glob_entry(event, fields, row)
            self._batch_glob(self._globber.add(entry, len(entry.data)))

    def flush(self, rows: int) -> None:
        """Send all waiting rows, and mark all rows before number ``rows`` as settled.

        Raises:
            SpadeError: As :meth:`~spade_spark.streams.sender.Sender.send`.
        """
        if self._globber is not None:
            self._batch_glob(self._globber.flush())
        self._send(self._batcher.flush())
        self._settle(rows)

    def _send_due(self) -> None:
        if self._globber is not None:
            self._batch_glob(self._globber.flush_if_due())
        self._send(self._batcher.flush_if_due())

    def _batch_glob(self, entries: Sequence[Payload]) -> None:
        if entries:
            self._batch(glob(entries))

    def _batch(self, payload: Payload) -> None:
        self._send(self._batcher.add(payload, len(payload.data)))

    def _send(self, batch: Sequence[Payload]) -> None:
        for request in self._sender.requests([self._envelope.record(payload) for payload in batch]):
            self._sender.send(request)
            self._settle(request[-1].last + 1)

    def _settle(self, rows: int) -> None:
        """Count the skipped rows before number ``rows``, and mark all rows before it as settled."""
        reasons = [reason for row, reason in self._skipped if row < rows]
        self._skipped = self._skipped[len(reasons) :]
        self._base_counts = replace(
            self._base_counts,
            rows=self._base_counts.rows + len(reasons),
            **{
                reason.value: getattr(self._base_counts, reason.value) + reasons.count(reason)
                for reason in SkipReason
            },
        )
        self.settled = rows
