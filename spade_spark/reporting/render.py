"""Shared rendering of the reports: printing, JSON, sizes and plurals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text


class HasComplete(Protocol):
    """A report that tells whether everything that was requested is done."""

    @property
    def complete(self) -> bool:
        """Whether everything is done."""


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print the parts of a report.

    Tables fit the console's width. Text is not wrapped, so that commands can be copied.
    """
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def to_json(report: HasComplete) -> str:
    """Return the report as JSON, including ``complete``."""
    plain = msgspec.to_builtins(report)
    assert isinstance(plain, dict)
    document = msgspec.json.encode({**plain, "complete": report.complete})
    return msgspec.json.format(document, indent=1).decode()


def format_size(size: float) -> str:
    """Format a number of bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def pluralize(number: int, noun: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
