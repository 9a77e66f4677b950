"""The outcomes of events."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """What an event resulted in. A malformed record counts as one event."""

    SUCCESS = "success"
    SKIPPED_COLUMNS = "skipped_columns"
    UNTRACKED = "untracked"
    MALFORMED = "malformed"
    EMPTY_REQUEST = "empty_request"
    FAILED = "failed"
    NOT_REQUESTED = "not_asked"
    """The event's table is not one of those named on the command line."""
