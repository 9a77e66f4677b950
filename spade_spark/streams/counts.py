"""What was counted of one stream."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class StreamCounts:
    """The rows of a stream's events, and what became of them.

    ``rows`` = ``outside`` + ``filtered`` + ``empty`` + ``published`` + ``dropped``.

    Attributes:
        rows: Rows made of the stream's events.
        outside: Rows whose time lies outside the window.
        filtered: Rows that a filter held back.
        empty: Rows of which no field was left.
        published: Rows that the service has taken.
        dropped: Rows given up: too large, or refused as often as the configuration allows.
        repeated: Rows that may have been taken twice; no more than these.
        records: Records that the service has taken; a glob is one.
        requests: Requests sent.
        unanswered: Requests that failed as a whole.
        throttled: Records refused since the stream was sent too much.
        internal_errors: Records that the service failed on.
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
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )

    @property
    def balances(self) -> bool:
        """Whether each row was counted in one way of its end."""
        ends = self.outside + self.filtered + self.empty + self.published + self.dropped
        return self.rows == ends
