"""Parquet files by table and day, in Hive partitions by ``date``.

The day of a row is that of its time column: Pacific wall-clock time, as in the warehouse. Rows
without a time are in Hive's default partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

NO_DAY: Final = "__HIVE_DEFAULT_PARTITION__"
"""The partition of rows without a day (``hive.exec.default.partition.name``)."""

DAY_COLUMN: Final = "date"


def sortable_timestamp(time: datetime) -> str:
    """Format a wall-clock time so that text order is time order: ``2017-11-03 10:00:00.000``."""
    return time.isoformat(" ", "milliseconds")


def hive_partition_dir(day: str) -> str:
    """Return the directory of a day: ``date=2017-11-03``."""
    return f"{DAY_COLUMN}={day}"


@dataclass(frozen=True)
class DayFile:
    """A Parquet file with rows of one table and day.

    Attributes:
        table: The name of the table.
        version: The Blueprint version of the rows.
        day: ``YYYY-MM-DD``, or :data:`NO_DAY`.
        key: The key in its store.
        rows: The number of rows.
        size: The size in bytes.
        sha256: SHA-256 of the file (hex).
        first: The earliest time, as formatted by :func:`sortable_timestamp`; empty without a day.
        last: The latest time, in the same format.
    """

    table: str
    version: int
    day: str
    key: str
    rows: int
    size: int
    sha256: str
    first: str = ""
    last: str = ""
