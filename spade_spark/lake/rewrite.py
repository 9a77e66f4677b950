"""One day's files: those of a run and those that stay, copied whole or row by row.

A file whose times all lie on one side of the window is copied as it is, or left; which, its record
says. Of any other the rows are read and written anew, some at a time, so that memory is bounded as
in :mod:`~spade_spark.writers.parquet`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spade_spark.errors import InputError
from spade_spark.lake.snapshot import LakeFile
from spade_spark.storage.base import Store
from spade_spark.writers.arrow_types import TIME
from spade_spark.writers.parquet import DayWriter, sha256_of
from spade_spark.writers.partition_paths import DayFile

_BATCH_ROWS: Final = 64 * 1024


@dataclass(frozen=True)
class RowFilter:
    """A window, or all that is outside it.

    Attributes:
        start: START, as :func:`~spade_spark.writers.partition_paths.sortable_timestamp` has it.
        end: END, which is inside.
        inside: Whether the window is meant, or the rest.
    """

    start: str
    end: str
    inside: bool = True

    def has_all(self, file: LakeFile | DayFile) -> bool:
        """Whether all rows of ``file`` are meant."""
        within = self.start <= file.first and file.last <= self.end
        return within if self.inside else self._apart(file)

    def has_none(self, file: LakeFile | DayFile) -> bool:
        """Whether none of them is."""
        within = self.start <= file.first and file.last <= self.end
        return self._apart(file) if self.inside else within

    def mask(self, times: Any) -> Any:
        """Which of ``times``, an Arrow column, are meant."""
        start, end = (pa.scalar(datetime.fromisoformat(text), TIME) for text in self.ends)
        within = pc.and_(pc.greater_equal(times, start), pc.less_equal(times, end))
        return within if self.inside else pc.invert(within)

    @property
    def ends(self) -> tuple[str, str]:
        """START and END."""
        return self.start, self.end

    def _apart(self, file: LakeFile | DayFile) -> bool:
        return file.last < self.start or self.end < file.first


@dataclass(frozen=True)
class PartitionRewriter:
    """What every file of one table needs.

    Attributes:
        lake: The lake's store.
        schema: The columns of the run's files.
        time_column: The column that the window is about.
        scratch: A local directory.
        row_group_bytes: Bytes in Arrow's memory at which a row group is written.
    """

    lake: Store
    schema: pa.Schema
    time_column: str
    scratch: Path
    row_group_bytes: int

    def copy_rows(
        self, source: Store, file: LakeFile | DayFile, span: RowFilter, day: str, key: str
    ) -> LakeFile | None:
        """Puts the rows of ``file`` that ``span`` means into the lake as ``key``.

        Returns:
            The file that counts; None where no row is meant.

        Raises:
            InputError: ``file`` is not as its record says, or has a column of another type.
        """
        if span.has_none(file):
            return None
        with self._fetched(source, file) as path:
            if span.has_all(file) and not self._differs(pq.read_schema(path)):
                self.lake.upload(key, path)
                return LakeFile(key, file.rows, file.size, file.sha256, file.first, file.last)
            return self._rewrite(path, source.url + file.key, span, day, key)

    @contextmanager
    def _fetched(self, source: Store, file: LakeFile | DayFile) -> Iterator[Path]:
        """A local copy, whose bytes are those of the record."""
        path = self.scratch / "fetched.parquet"
        try:
            with closing(source.open(file.key, size=file.size)) as stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out, 1024 * 1024)
            if sha256_of(path) != file.sha256:
                raise InputError(
                    f"{source.url}{file.key} has other bytes than its record says: it was damaged "
                    "or written over; nothing was published from it"
                )
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _rewrite(
        self, path: Path, name: str, span: RowFilter, day: str, key: str
    ) -> LakeFile | None:
        made = self.scratch / "made.parquet"
        writer: DayWriter | None = None
        try:
            with pq.ParquetFile(path) as read:
                for batch in read.iter_batches(_BATCH_ROWS, use_threads=False):
                    rows = pa.Table.from_batches([batch])
                    rows = rows.filter(span.mask(rows.column(self.time_column)))
                    if not len(rows):
                        continue
                    rows = self._align_schema(rows, name)
                    writer = writer or DayWriter(day, made, rows.schema, self.time_column)
                    writer.add(rows)
                    if writer.buffered_bytes >= self.row_group_bytes:
                        writer.flush()
            if writer is None:
                return None
            done = writer.close()
            self.lake.upload(key, made)
            return LakeFile(key, done.rows, done.size, done.sha256, done.first, done.last)
        finally:
            made.unlink(missing_ok=True)

    def _differs(self, schema: pa.Schema) -> bool:
        """Whether a column has another type than the run's of that name."""
        return any(
            schema.field(each.name).type != each.type
            for each in self.schema
            if each.name in schema.names
        )

    def _align_schema(self, rows: pa.Table, name: str) -> pa.Table:
        """Rows with the run's columns, in their types, and behind them what else they have."""
        columns = {each.name: each for each in self.schema}
        more = [each for each in rows.schema if each.name not in columns]
        arrays = []
        for each in self.schema:
            if each.name not in rows.column_names:
                arrays.append(pa.nulls(len(rows), each.type))
                continue
            try:
                arrays.append(rows.column(each.name).cast(each.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    f"{name}: rows outside the window, which stay, have a column {each.name} that "
                    f"is no {each.type} ({error}); publish a run of whole days, which replaces them"
                ) from None
        arrays += [rows.column(each.name) for each in more]
        schema = pa.schema([*self.schema, *more], self.schema.metadata)
        return pa.Table.from_arrays(arrays, schema=schema)
