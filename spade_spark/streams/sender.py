"""Records to a service: what it refuses is sent again by itself, as the configuration says."""

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
"""Codes by which Kinesis (the first) and Firehose say that they are sent too much."""
_INTERNAL: Final = frozenset({"InternalFailure", "InternalServerError"})


class RequestFailedError(Exception):
    """A request failed as a whole.

    Attributes:
        in_doubt: Whether the service may have taken its records all the same.
    """

    def __init__(self, message: str, *, in_doubt: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class Service(Protocol):
    """Takes records."""

    def put(self, records: Sequence[Record]) -> list[str]:
        """Sends records in one request.

        Returns:
            An error code for each, empty where it was taken.

        Raises:
            RequestFailedError: Another try may be answered.
            InputError: The service would refuse again, whatever is sent.
        """


class Sender:
    """Sends to one stream, and counts.

    Args:
        stream: The stream.
        service: What takes the records.
        sleep: Waits so many seconds.
        alive: Called before each request.

    Attributes:
        counts: What was counted; of the rows those alone that the records hold.
    """

    def __init__(
        self,
        stream: Stream,
        service: Service,
        sleep: Callable[[float], None],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.counts = StreamCounts()
        self._service, self._sleep, self._alive = service, sleep, alive
        self._attempts = stream.max_attempts_per_record
        self._delay = max(parse_duration(stream.retry_delay), 0.0)
        self._limits = LIMITS[stream.stream_type]

    def send(self, records: Sequence[Record]) -> None:
        """Sends records that fit in one request, and goes on until each is taken or given up.

        Raises:
            TransientError: The last attempt failed as a whole; some of the records may be taken,
                and
                are counted as such that may be repeated.
            InputError: As :meth:`Service.put`.
        """
        pending = [each for each in records if self._size(each) <= self._limits.record_bytes]
        taken: list[Record] = []
        doubtful: set[Record] = set()
        try:
            self._send_until_taken(pending, taken, doubtful)
        except BaseException:
            self._count(repeated=_rows(doubtful.union(taken)))  # all of them are sent again
            raise
        lost = _rows(records) - _rows(taken)
        self._count(rows=_rows(records), published=_rows(taken), dropped=lost, records=len(taken))
        self._count(repeated=_rows(doubtful))

    def requests(self, records: Sequence[Record]) -> Iterator[list[Record]]:
        """Records in their order, as many at a time as one request may hold."""
        return cut(records, self._limits, self._size)

    def _send_until_taken(
        self, pending: list[Record], taken: list[Record], doubtful: set[Record]
    ) -> None:
        """Adds to ``taken`` what the service took, to ``doubtful`` what it may have taken twice."""
        for attempt in range(self._attempts):
            if not pending:
                break
            if attempt:
                self._sleep(self._delay)
            self._alive()
            try:
                codes = self._put(pending)
            except RequestFailedError as error:
                if error.in_doubt:
                    doubtful.update(pending)
                if attempt + 1 == self._attempts:
                    raise TransientError(str(error)) from None
                continue
            taken += [each for each, code in zip(pending, codes, strict=True) if not code]
            pending = [each for each, code in zip(pending, codes, strict=True) if code]

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

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self.counts, name) + value for name, value in more.items()}
        self.counts = replace(self.counts, **counts)

    @staticmethod
    def _size(record: Record) -> int:
        return len(record.data) + len(record.key)


def cut(
    records: Sequence[Record], limits: Limits, size: Callable[[Record], int]
) -> Iterator[list[Record]]:
    """Records in their order, in parts that ``limits`` allow; one too large is a part alone."""
    part: list[Record] = []
    bytes_in_part = 0
    for record in records:
        bytes_here = size(record)
        if part and (
            len(part) == limits.records or bytes_in_part + bytes_here > limits.request_bytes
        ):
            yield part
            part, bytes_in_part = [], 0
        part.append(record)
        bytes_in_part += bytes_here
    if part:
        yield part


def _rows(records: Iterable[Record]) -> int:
    return sum(record.rows for record in records)
