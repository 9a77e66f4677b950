"""The error of a statement that Redshift would reject."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refused(Exception):
    """Redshift would reject the statement."""

    message: str
    sqlstate: str = "0A000"
    detail: str = ""
