"""How a command should change the tables, and the expected row counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.chaos.fixtures import TABLES, Tables


@dataclass(frozen=True)
class ExpectedChange:
    """The tables before and after a command without faults.

    Attributes:
        before: The tables before.
        after: The tables after.
        adds: Whether the command appends rows instead of replacing the window.
    """

    before: Tables
    after: Tables
    adds: bool = False

    @property
    def tables(self) -> set[str]:
        """The tables that change."""
        return {table for table in TABLES if self.before[table] != self.after[table]}

    def backed_up(self, table: str) -> list[tuple[Any, ...]]:
        """The old rows of the window, which the backup must have afterwards."""
        return rows_in_window(self.before[table])

    def row_counts(self, table: str) -> tuple[int, int]:
        """Return the numbers of deleted and inserted rows."""
        old, new = len(self.backed_up(table)), len(rows_in_window(self.after[table]))
        return (0, new - old) if self.adds else (old, new)


def rows_in_window(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows in the window. Column ``who`` of the others is ``before`` or ``after``."""
    return [row for row in rows if row[1] not in ("before", "after")]
