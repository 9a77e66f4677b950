"""What a command makes of the tables, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.chaos.fixtures import TABLES, Tables


@dataclass(frozen=True)
class Change:
    """The tables before and after.

    Attributes:
        before: The tables before.
        right: The tables after.
        adds: Whether the window's rows stay, and others come to them.
    """

    before: Tables
    right: Tables
    adds: bool = False

    @property
    def tables(self) -> set[str]:
        """The tables that are changed."""
        return {table for table in TABLES if self.before[table] != self.right[table]}

    def kept(self, table: str) -> list[tuple[Any, ...]]:
        """The window's rows before, which a backup has afterwards."""
        return _inside(self.before[table])

    def figures(self, table: str) -> tuple[int, int]:
        """The rows deleted, and the rows inserted."""
        went, came = len(self.kept(table)), len(_inside(self.right[table]))
        return (0, came - went) if self.adds else (went, came)


def _inside(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows in the window: the others say that they are not."""
    return [row for row in rows if row[1] not in ("before", "after")]
