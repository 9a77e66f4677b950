"""The publication counts of one stream."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class StreamCounts:
    """Counts of the rows of a stream's events, by outcome.

    ``rows`` = ``outside`` + ``filtered`` + ``empty`` + ``published`` + ``dropped``.

    Attributes:
        rows: All rows of the stream's events.
        outside: Rows outside the window.
        filtered: Rows that a filter rejected.
        empty: Rows without any field to send.
        published: Rows that the service accepted.
        dropped: Rows in records that were too large, or refused in every attempt.
        repeated: Maximum number of rows that the service may have accepted twice.
        records: Records that the service accepted; a glob is one record.
        requests: Requests sent.
        unanswered: Requests that failed as a whole.
        throttled: Records refused because of throttling.
        internal_errors: Records refused because of internal errors of the service.
        other_errors: Records refused for other reasons.
    """

    rows: int = 0
    outside: int = 0
    filtered: int = 0
    empty: int = 0
    published: int = 0
    dropped: int = 0
    repeated: int = 0
    records: int = 0
    requests: int = 0
    unanswered: int = 0
    throttled: int = 0
    internal_errors: int = 0
    other_errors: int = 0

    def __add__(self, other: StreamCounts) -> StreamCounts:
        return StreamCounts(
            *(getattr(self, count.name) + getattr(other, count.name) for count in fields(self))
        )

    @property
    def balances(self) -> bool:
        """Whether exactly one outcome was counted for each row."""
        outcomes = self.outside + self.filtered + self.empty + self.published + self.dropped
        return self.rows == outcomes
