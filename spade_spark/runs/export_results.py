"""The results of publishing a run's tables to a lake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TablePublished:
    """A table whose window in the lake now has the rows of the run.

    Attributes:
        table: The table's name.
        serial: The number of the table's snapshot, counted from 1.
        days: The days whose partition was replaced; empty if there was nothing to do.
        replaced: Rows removed.
        published: Rows added.
        carried: Rows of these days outside the window, which were kept.
        outside: Rows of the run outside the window, which were not published. Days that an earlier
            command replaced are not counted again.
        undated: Rows of the run without a day, which were not published.
        files: Number of files of these days.
        ddl: The statements that update Athena's or Redshift's catalog, in order.
        if_lacking: The statements that add newer columns, each for a catalog that lacks the column.
            Empty unless an earlier command published the run.
        before: Whether an earlier command published the run, so that there was nothing to do.
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
    """A table that was not published and not modified.

    Attributes:
        table: The table's name.
        reason: What happened and what to do next, in full sentences.
    """

    table: str
    reason: str


ExportOutcome = TablePublished | TableNotPublished
"""The result of publishing one table."""
