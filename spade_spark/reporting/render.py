"""What the reports share: how their parts reach a screen, and their form as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text


class HasComplete(Protocol):
    """A report, which says whether all that was asked for is done."""

    @property
    def complete(self) -> bool:
        """Whether it is."""


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Prints the parts of a report.

    Tables fit themselves to the width; sentences are left to the terminal, so that what is to be
    copied from them comes without line breaks.
    """
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def to_json(report: HasComplete) -> str:
    """The report's members as JSON, and whether it is ``complete``."""
    plain = msgspec.to_builtins(report)
    assert isinstance(plain, dict)
    document = msgspec.json.encode({**plain, "complete": report.complete})
    return msgspec.json.format(document, indent=1).decode()


def format_size(size: float) -> str:
    """``size`` bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def pluralize(number: int, noun: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
