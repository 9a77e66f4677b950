"""Shared rendering of the reports: printing and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from spade_spark.runs.load_results import TableMaintenance


class HasComplete(Protocol):
    """A report with the property ``complete``."""

    @property
    def complete(self) -> bool:
        """Whether everything that was requested is done."""


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print the parts of a report.

    Tables fit the console's width. Text is not wrapped, so that commands can be copied.
    """
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def maintenance_lines(maintenance: Sequence[TableMaintenance]) -> Iterator[Text]:
    """The SQL that is worth running after a load or an undo, and the result of ANALYZE."""
    analyzed = sorted(table.table for table in maintenance if table.analyzed)
    if analyzed:
        yield Text(f"Analyzed: {', '.join(analyzed)}")
    for table in maintenance:
        if table.warning:
            yield Text(
                f"Table {table.table}: ANALYZE failed: {table.warning}. The rows are not affected",
                style="yellow",
            )
        if table.advised:
            yield Text(f"Worth running for {table.table} ({table.reason}):")
        for statement in table.advised:
            yield Text(f"  {statement};")


def to_json(report: HasComplete) -> str:
    """Return the report as JSON, including ``complete``."""
    plain = msgspec.to_builtins(report)
    assert isinstance(plain, dict)
    document = msgspec.json.encode({**plain, "complete": report.complete})
    return msgspec.json.format(document, indent=1).decode()
