"""How an event can end: exactly one of these, counted per table."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """The end of one event (or of one malformed record, which counts once)."""

    SUCCESS = "success"
    SKIPPED_COLUMNS = "skipped_columns"
    UNTRACKED = "untracked"
    MALFORMED = "malformed"
    EMPTY_REQUEST = "empty_request"
    FAILED = "failed"
    NOT_ASKED = "not_asked"
    """An event of a table that the command line did not name; only where tables are named."""
