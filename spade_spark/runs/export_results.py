"""What came of publishing a run's tables into a lake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TablePublished:
    """One table, whose rows in the window are the run's now.

    Attributes:
        table: The table's name.
        serial: Which state of the table in the lake this is, counted from 1.
        days: The days whose partition was replaced; none where nothing was to be done.
        replaced: Rows that went.
        published: Rows that came.
        carried: Rows of these days outside the window, which stayed.
        outside: Rows of the run outside the window, not published; those of days that an earlier
            command replaced are not counted again.
        undated: Rows of the run that belong to no day, not published.
        files: Files that these days have now.
        ddl: The statements that bring Athena's or Redshift's catalog up to date, in their order.
        if_lacking: Where an earlier command published the run: the statements for columns that were
            added since the table was made, each for a catalog that lacks its column.
        before: Whether an earlier command published the run, so that nothing was to be done.
    """

    table: str
    serial: int
    days: tuple[str, ...]
    replaced: int
    published: int
    carried: int
    outside: int
    undated: int
    files: int
    ddl: tuple[str, ...]
    if_lacking: tuple[str, ...] = ()
    before: bool = False


@dataclass(frozen=True)
class TableNotPublished:
    """One table that was left as it was.

    Attributes:
        table: The table's name.
        reason: What happened and what to do next, whole sentences.
    """

    table: str
    reason: str


ExportOutcome = TablePublished | TableNotPublished
"""What came of one table."""
