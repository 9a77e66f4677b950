"""One stream's rows, from fields to records that its service has taken."""

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
    """Takes numbered rows in their order, and knows up to which of them all is settled.

    A row is settled when it was held back, taken by the service, or given up. What is not settled
    when something fails is what has to be published again.

    Args:
        stream: The stream.
        sender: What sends to it.
        envelope: What makes its records.
        settled: The number of the first row that is still to come.
        counts: What was counted of the rows before it.
        clock: Seconds, from any point in time.
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
        self._before = counts or StreamCounts()
        self._sender, self._envelope = sender, envelope
        self._held: list[tuple[int, SkipReason]] = []
        globber, batcher = stream.globber, stream.batcher
        self._globber: Batcher[Payload] | None = None
        if stream.compress:
            self._globber = Batcher(
                globber.max_size,
                parse_duration(globber.max_age),
                overhead=1,  # the bracket, or a comma
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
        """What was counted of the rows that are settled."""
        return self._before + self._sender.counts

    def add(self, row: int, event: str, fields: Mapping[str, str] | SkipReason) -> None:
        """Takes the next row, and sends what is complete by then.

        Args:
            row: Its number.
            event: Its table.
            fields: Its fields, or why it has none.

        Raises:
            SpadeError: As :meth:`~spade_spark.streams.sender.Sender.send`.
        """
        self._send_old()
        if isinstance(fields, SkipReason):
            self._held.append((row, fields))
        elif self._globber is None:
            self._batch(row_payload(fields, row))
        else:
            entry = glob_entry(event, fields, row)
            self._batch_glob(self._globber.add(entry, len(entry.data)))

    def flush(self, rows: int) -> None:
        """Sends all that waits; then every row before the one numbered ``rows`` is settled.

        Raises:
            SpadeError: As :meth:`~spade_spark.streams.sender.Sender.send`.
        """
        if self._globber is not None:
            self._batch_glob(self._globber.take())
        self._send(self._batcher.take())
        self._settle(rows)

    def _send_old(self) -> None:
        if self._globber is not None:
            self._batch_glob(self._globber.take_old())
        self._send(self._batcher.take_old())

    def _batch_glob(self, entries: Sequence[Payload]) -> None:
        if entries:
            self._batch(glob(entries))

    def _batch(self, payload: Payload) -> None:
        self._send(self._batcher.add(payload, len(payload.data)))

    def _send(self, batch: Sequence[Payload]) -> None:
        for request in self._sender.requests([self._envelope.record(each) for each in batch]):
            self._sender.send(request)
            self._settle(request[-1].last + 1)

    def _settle(self, rows: int) -> None:
        """Counts what was held back of the rows before the one numbered ``rows``."""
        held = [why for row, why in self._held if row < rows]
        self._held = self._held[len(held) :]
        self._before = replace(
            self._before,
            rows=self._before.rows + len(held),
            **{why.value: getattr(self._before, why.value) + held.count(why) for why in SkipReason},
        )
        self.settled = rows
