"""Sends records to a service, and retries refused records as the stream's configuration says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from spade_spark.errors import TransientError
from spade_spark.gocompat.duration import parse_duration
from spade_spark.streams.config import Stream
from spade_spark.streams.counts import StreamCounts
from spade_spark.streams.envelope import Record
from spade_spark.streams.limits import LIMITS, Limits

THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "KMSThrottlingException",
        "LimitExceededException",
        "Throttling",
        "ThrottlingException",
    }
)
"""Error codes for throttling. The first one is from Kinesis, the others are from Firehose."""
_INTERNAL: Final = frozenset({"InternalFailure", "InternalServerError"})


class RequestFailedError(Exception):
    """A request failed as a whole.

    Attributes:
        in_doubt: Whether the service may have accepted records anyway.
    """

    def __init__(self, message: str, *, in_doubt: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class Service(Protocol):
    """A service that accepts records."""

    def put(self, records: Sequence[Record]) -> list[str]:
        """Send records in one request.

        Returns:
            An error code for each record, empty if it was accepted.

        Raises:
            RequestFailedError: The request failed; a retry may succeed.
            InputError: The service refuses the request; a retry cannot succeed.
        """


class Sender:
    """Sends records to one stream, and counts them.

    Args:
        stream: The stream.
        service: The service to send to.
        sleep: Sleeps for a number of seconds.
        heartbeat: Called before each request to renew the lease.

    Attributes:
        counts: The counts of the rows in these records; skipped rows are not included.
    """

    def __init__(
        self,
        stream: Stream,
        service: Service,
        sleep: Callable[[float], None],
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self.counts = StreamCounts()
        self._service, self._sleep, self._heartbeat = service, sleep, heartbeat
        self._attempts = stream.max_attempts_per_record
        self._delay = max(parse_duration(stream.retry_delay), 0.0)
        self._limits = LIMITS[stream.stream_type]

    def send(self, records: Sequence[Record]) -> None:
        """Send the records of one request; retry refused ones until each is accepted or dropped.

        Raises:
            TransientError: The last attempt failed as a whole. The records that the service may
                have accepted are counted as ``repeated``.
            InputError: As :meth:`Service.put`.
        """
        pending = [record for record in records if self._size(record) <= self._limits.record_bytes]
        accepted: list[Record] = []
        in_doubt: set[Record] = set()
        try:
            self._send_until_accepted(pending, accepted, in_doubt)
        except BaseException:
            # The next task attempt sends all these records again.
            self._count(repeated=_rows(in_doubt.union(accepted)))
            raise
        published = _rows(accepted)
        dropped = _rows(records) - published
        self._count(
            rows=_rows(records), published=published, dropped=dropped, records=len(accepted)
        )
        self._count(repeated=_rows(in_doubt))

    def requests(self, records: Sequence[Record]) -> Iterator[list[Record]]:
        """Split records into requests, in order."""
        return split_requests(records, self._limits, self._size)

    def _send_until_accepted(
        self, pending: list[Record], accepted: list[Record], in_doubt: set[Record]
    ) -> None:
        """Send until all records are accepted or no attempt is left.

        Adds accepted records to ``accepted``, and possibly accepted ones to ``in_doubt``.
        """
        for attempt in range(self._attempts):
            if not pending:
                break
            if attempt:
                self._sleep(self._delay)
            self._heartbeat()
            try:
                codes = self._put(pending)
            except RequestFailedError as error:
                if error.in_doubt:
                    in_doubt.update(pending)
                if attempt + 1 == self._attempts:
                    raise TransientError(str(error)) from None
                continue
            results = list(zip(pending, codes, strict=True))
            accepted += [record for record, code in results if not code]
            pending = [record for record, code in results if code]

    def _put(self, records: Sequence[Record]) -> list[str]:
        self._count(requests=1)
        try:
            codes = self._service.put(records)
        except RequestFailedError:
            self._count(unanswered=1)
            raise
        refused = [code for code in codes if code]
        throttled = sum(code in THROTTLED for code in refused)
        internal = sum(code in _INTERNAL for code in refused)
        self._count(
            throttled=throttled,
            internal_errors=internal,
            other_errors=len(refused) - throttled - internal,
        )
        return codes

    def _count(self, **increments: int) -> None:
        counts = {name: getattr(self.counts, name) + value for name, value in increments.items()}
        self.counts = replace(self.counts, **counts)

    @staticmethod
    def _size(record: Record) -> int:
        return len(record.data) + len(record.key)


def split_requests(
    records: Sequence[Record], limits: Limits, size: Callable[[Record], int]
) -> Iterator[list[Record]]:
    """Split records into requests within ``limits``. A record that is too large gets its own."""
    request: list[Record] = []
    request_bytes = 0
    for record in records:
        record_bytes = size(record)
        if request and (
            len(request) == limits.records or request_bytes + record_bytes > limits.request_bytes
        ):
            yield request
            request, request_bytes = [], 0
        request.append(record)
        request_bytes += record_bytes
    if request:
        yield request


def _rows(records: Iterable[Record]) -> int:
    return sum(record.rows for record in records)
