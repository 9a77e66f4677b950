"""The outcomes of an event, which are counted by table."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """The one outcome of an event, or of a malformed record, which counts once."""

    SUCCESS = "success"
    SKIPPED_COLUMNS = "skipped_columns"
    UNTRACKED = "untracked"
    MALFORMED = "malformed"
    EMPTY_REQUEST = "empty_request"
    FAILED = "failed"
    NOT_REQUESTED = "not_asked"
    """The event's table is not one of those named on the command line."""
