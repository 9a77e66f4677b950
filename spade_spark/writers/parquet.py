"""Writes rows to typed local Parquet files, by day.

The input is a spooled gzip TSV file of one table, read in blocks of 1 MB. A row group of about
128 MB stays in memory until it is encoded. Files are converted one at a time, so a task needs
memory for one row group and its encoding, for any number of tables (measured by ``bench/lake.py``).
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
"""Level 3 makes files 4 % smaller and takes 10 to 25 % longer."""

_BLOCK_BYTES: Final = 1024 * 1024
_HASH_BLOCK_BYTES: Final = 1024 * 1024
_MAX_OPEN_FILES: Final = 64
"""The time column need not be the time of the event, so it can have any number of days."""

_EPOCH: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class ClosedDayFile:
    """One complete Parquet file.

    Attributes:
        day: ``YYYY-MM-DD``, or :data:`~spade_spark.writers.partition_paths.NO_DAY`.
        path: The local file; the caller removes it.
        rows: The number of rows.
        size: The size in bytes.
        sha256: SHA-256 of the file (hex).
        first: The earliest time, as formatted by
            :func:`~spade_spark.writers.partition_paths.sortable_timestamp`; empty without a day.
        last: The latest time, in the same format.
    """

    day: str
    path: Path
    rows: int
    size: int
    sha256: str
    first: str
    last: str


class DayWriter:
    """Writes the Parquet file of one day.

    Args:
        day: The day.
        path: The file to write.
        schema: The columns.
        time_column: The column with the day.
    """

    def __init__(self, day: str, path: Path, schema: pa.Schema, time_column: str) -> None:
        self._day, self._path, self._time_column = day, path, time_column
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=ZSTD_LEVEL
        )
        self._buffer: list[pa.Table] = []
        self._rows = 0
        self._first = self._last = ""
        self.buffered_bytes = 0

    def add(self, rows: pa.Table) -> None:
        """Buffer rows of the day until :meth:`flush`."""
        self._buffer.append(rows)
        self.buffered_bytes += rows.nbytes
        self._rows += len(rows)
        if self._day != NO_DAY:
            first, last = map(sortable_timestamp, _min_max(rows.column(self._time_column)))
            self._first = min(first, self._first or first)
            self._last = max(last, self._last)

    def flush(self) -> None:
        """Write the buffered rows as one row group."""
        if self._buffer:
            rows = pa.concat_tables(self._buffer)
            self._buffer.clear()
            self.buffered_bytes = 0
            self._writer.write_table(rows, row_group_size=len(rows))

    def close(self) -> ClosedDayFile:
        """Complete the file."""
        self.flush()
        self._writer.close()
        sha256 = sha256_of(self._path)
        size = self._path.stat().st_size
        return ClosedDayFile(
            self._day, self._path, self._rows, size, sha256, self._first, self._last
        )


def convert(
    source: Path,
    table: Table,
    folder: Path,
    time_column: str,
    row_group_bytes: int,
    *,
    registry: Registry = TRANSFORMERS,
) -> Iterator[ClosedDayFile]:
    """Convert a gzip TSV file to Parquet files, usually one per day.

    Args:
        source: A file of :mod:`~spade_spark.writers.tsv`.
        table: The table of the rows.
        folder: The directory for the Parquet files.
        time_column: The column with the day.
        row_group_bytes: The size in Arrow's memory at which a row group is written.
        registry: The transformers.

    Raises:
        InputError: A column has an unknown transformer.
        InternalError: A value does not match the type of its column.
    """
    schema = arrow_schema(table, registry)
    reader = RowReader(schema)
    days = _DayWriters(schema, folder, source.stem, time_column, row_group_bytes)
    for text in _blocks(source):
        try:
            rows = reader.read(text)
        except pa.ArrowInvalid as error:
            raise InternalError(
                f"cannot write a row of {table.name} as Parquet: {error}; please report this, "
                "and use --format tsv until it is fixed"
            ) from None
        yield from days.add(rows)
    yield from days.close()


class _DayWriters:
    """The open Parquet files of one table, by day."""

    def __init__(
        self, schema: pa.Schema, folder: Path, name: str, time_column: str, row_group_bytes: int
    ) -> None:
        self._schema = schema
        self._folder, self._name, self._time_column = folder, name, time_column
        self._row_group_bytes = row_group_bytes
        self._open: dict[str, DayWriter] = {}
        self._files_opened = 0
        number = self._schema.get_field_index(time_column)
        self._has_days = number >= 0 and self._schema.field(number).type == TIME

    def add(self, rows: pa.Table) -> Iterator[ClosedDayFile]:
        for day, day_rows in self._by_day(rows):
            if day not in self._open and len(self._open) >= _MAX_OPEN_FILES:
                yield from self.close()
            self._writer(day).add(day_rows)
        while sum(w.buffered_bytes for w in self._open.values()) >= self._row_group_bytes:
            max(self._open.values(), key=lambda writer: writer.buffered_bytes).flush()

    def close(self) -> Iterator[ClosedDayFile]:
        for writer in self._open.values():
            yield writer.close()
        self._open.clear()

    def _writer(self, day: str) -> DayWriter:
        if day not in self._open:
            path = self._folder / f"{self._name}-{self._files_opened:04d}.parquet"
            self._files_opened += 1
            self._open[day] = DayWriter(day, path, self._schema, self._time_column)
        return self._open[day]

    def _by_day(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        if not self._has_days:
            yield NO_DAY, rows
            return
        days = rows.column(self._time_column).cast(pa.date32()).cast(pa.int32())
        numbers = pc.unique(days).to_pylist()
        for number in numbers:
            # A filter treats null as false.
            mask = pc.is_null(days) if number is None else pc.equal(days, number)
            yield _day(number), rows.filter(mask) if len(numbers) > 1 else rows


def _day(number: int | None) -> str:
    """Return the day that is ``number`` days after 1970-01-01; NO_DAY if it is out of range."""
    if number is None or not date.min.toordinal() <= number + _EPOCH <= date.max.toordinal():
        return NO_DAY
    return date.fromordinal(number + _EPOCH).isoformat()


def _min_max(times: Any) -> tuple[Any, Any]:
    bounds = pc.min_max(times).as_py()
    return bounds["min"], bounds["max"]


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the lines of a gzip file in blocks."""
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
    """Return the SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(_HASH_BLOCK_BYTES):
            digest.update(data)
    return digest.hexdigest()
