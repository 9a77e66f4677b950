"""Files of one table's rows of one day, as runs and lakes keep them: Hive's partitions by ``date``.

The day is that of the row's time as the time column holds it: Pacific wall-clock time, as in the
warehouse. A row without such a time belongs to no day; Hive's name for what has no value stands in
the day's place then, so that no row is lost and none is taken for another day's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

NO_DAY: Final = "__HIVE_DEFAULT_PARTITION__"
"""Stands for the day of rows that have none (``hive.exec.default.partition.name``)."""

DAY_COLUMN: Final = "date"


def sortable_timestamp(time: datetime) -> str:
    """A wall-clock time as text whose order is that of time: ``2017-11-03 10:00:00.000``."""
    return time.isoformat(" ", "milliseconds")


def hive_partition_dir(day: str) -> str:
    """``date=2017-11-03``: what tells the day in a key."""
    return f"{DAY_COLUMN}={day}"


@dataclass(frozen=True)
class DayFile:
    """A Parquet file of one table's rows of one day.

    Attributes:
        table: The table's name.
        version: The Blueprint version that made the rows.
        day: ``YYYY-MM-DD``, or :data:`NO_DAY`.
        key: Its key below its store.
        rows: Rows in it.
        size: Bytes.
        sha256: Of the bytes (hex).
        first: The earliest time in it, as :func:`sortable_timestamp` has it; empty without a day.
        last: The latest.
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
