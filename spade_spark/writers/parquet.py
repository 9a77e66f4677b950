"""Rows to typed Parquet files in a local directory, a file a day.

A row group is as many rows as take some 128 MB in Arrow's memory, which is what it costs here: it
is held whole until it is encoded, column by column, and then let go. One table's rows are converted
at a time, read again from the gzip TSV file that they were spooled to, in blocks of 1 MB. So what
a task needs beside is one row group and what encoding adds to it, however many tables it has and
whatever they hold (``bench/lake.py`` measures it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InternalError
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.writers.arrow_rows import RowReader
from spade_spark.writers.arrow_types import TIME, arrow_schema
from spade_spark.writers.partition_paths import NO_DAY, sortable_timestamp

ZSTD_LEVEL: Final = 1
"""Of zstd: 3 makes files 4 % smaller and takes 10 to 25 % longer to make them."""

_BLOCK_BYTES: Final = 1024 * 1024
_HASHED_BYTES: Final = 1024 * 1024
_MOST_DAYS: Final = 64
"""Files open at once: a time column need not be the record's time."""

_EPOCH: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class ClosedDay:
    """One Parquet file that is whole.

    Attributes:
        day: ``YYYY-MM-DD``, or :data:`~spade_spark.writers.partition_paths.NO_DAY`.
        path: Where it lies; the caller removes it.
        rows: Rows in it.
        size: Bytes.
        sha256: Of the bytes (hex).
        first: The earliest time in it, as
            :func:`~spade_spark.writers.partition_paths.sortable_timestamp`
            formats it; empty without a day.
        last: The latest.
    """

    day: str
    path: Path
    rows: int
    size: int
    sha256: str
    first: str
    last: str


class DayWriter:
    """One Parquet file of one day, in the making.

    Args:
        day: The day.
        path: Where it is made.
        schema: The columns.
        time_column: The name of the column that the day is of.
    """

    def __init__(self, day: str, path: Path, schema: pa.Schema, time_column: str) -> None:
        self._day, self._path, self._time_column = day, path, time_column
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=ZSTD_LEVEL
        )
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._first = self._last = ""
        self.waiting_bytes = 0

    def add(self, rows: pa.Table) -> None:
        """Rows of the day, which wait until :meth:`flush`."""
        self._waiting.append(rows)
        self.waiting_bytes += rows.nbytes
        self._rows += len(rows)
        if self._day != NO_DAY:
            first, last = (
                sortable_timestamp(time) for time in _ends(rows.column(self._time_column))
            )
            self._first = min(first, self._first or first)
            self._last = max(last, self._last)

    def flush(self) -> None:
        """Writes what waits as one row group."""
        if self._waiting:
            rows = pa.concat_tables(self._waiting)
            self._waiting.clear()
            self.waiting_bytes = 0
            self._writer.write_table(rows, row_group_size=len(rows))

    def close(self) -> ClosedDay:
        """The file, whole."""
        self.flush()
        self._writer.close()
        sha256 = sha256_of(self._path)
        size = self._path.stat().st_size
        return ClosedDay(self._day, self._path, self._rows, size, sha256, self._first, self._last)


def convert(
    source: Path,
    table: Table,
    folder: Path,
    time_column: str,
    row_group_bytes: int,
    *,
    registry: Registry = TRANSFORMERS,
) -> Iterator[ClosedDay]:
    """The rows of a gzip TSV file as Parquet files, a file a day.

    Args:
        source: The file, as :mod:`~spade_spark.writers.tsv` makes it.
        table: What it has rows of.
        folder: Where the files are made.
        time_column: The column whose day decides.
        row_group_bytes: Bytes in Arrow's memory at which a row group is written.
        registry: The transformers.

    Raises:
        InputError: A column has an unknown transformer.
        InternalError: A value is not of its column's type.
    """
    schema = arrow_schema(table, registry)
    reader = RowReader(schema)
    days = _Days(schema, folder, source.stem, time_column, row_group_bytes)
    for text in _blocks(source):
        try:
            rows = reader.read(text)
        except pa.ArrowInvalid as error:
            raise InternalError(
                f"a row of {table.name} cannot be written as Parquet: {error}; please report this, "
                "and go without --format parquet meanwhile"
            ) from None
        yield from days.add(rows)
    yield from days.close()


class _Days:
    """The open files of one table's days."""

    def __init__(
        self, schema: pa.Schema, folder: Path, name: str, time_column: str, row_group_bytes: int
    ) -> None:
        self._schema = schema
        self._folder, self._name, self._time_column = folder, name, time_column
        self._row_group_bytes = row_group_bytes
        self._open: dict[str, DayWriter] = {}
        self._begun = 0
        number = self._schema.get_field_index(time_column)
        self._dated = number >= 0 and self._schema.field(number).type == TIME

    def add(self, rows: pa.Table) -> Iterator[ClosedDay]:
        for day, those in self._by_day(rows):
            if day not in self._open and len(self._open) >= _MOST_DAYS:
                yield from self.close()
            self._writer(day).add(those)
        while sum(each.waiting_bytes for each in self._open.values()) >= self._row_group_bytes:
            max(self._open.values(), key=lambda each: each.waiting_bytes).flush()

    def close(self) -> Iterator[ClosedDay]:
        for writer in self._open.values():
            yield writer.close()
        self._open.clear()

    def _writer(self, day: str) -> DayWriter:
        if day not in self._open:
            path = self._folder / f"{self._name}-{self._begun:04d}.parquet"
            self._begun += 1
            self._open[day] = DayWriter(day, path, self._schema, self._time_column)
        return self._open[day]

    def _by_day(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        if not self._dated:
            yield NO_DAY, rows
            return
        days = rows.column(self._time_column).cast(pa.date32()).cast(pa.int32())
        numbers = pc.unique(days).to_pylist()
        for number in numbers:
            # A filter takes null for false.
            mine = pc.is_null(days) if number is None else pc.equal(days, number)
            yield _day(number), rows.filter(mine) if len(numbers) > 1 else rows


def _day(number: int | None) -> str:
    """The day that is so many days after 1970; none for what no calendar of a reader's has."""
    if number is None or not date.min.toordinal() <= number + _EPOCH <= date.max.toordinal():
        return NO_DAY
    return date.fromordinal(number + _EPOCH).isoformat()


def _ends(times: Any) -> tuple[Any, Any]:
    ends = pc.min_max(times).as_py()
    return ends["min"], ends["max"]


def _blocks(path: Path) -> Iterator[bytes]:
    """The lines of a gzip file, many at a time."""
    rest = b""
    with igzip.open(path, "rb") as stream:  # type: ignore[no-untyped-call] # it has no types
        while data := stream.read(_BLOCK_BYTES):
            lines, end, tail = data.rpartition(b"\n")
            if end:
                yield b"".join((rest, lines, end))
                rest = tail
            else:
                rest += tail


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(_HASHED_BYTES):
            digest.update(data)
    return digest.hexdigest()
