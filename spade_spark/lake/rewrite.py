"""Copy a run's rows, and the existing rows to keep, to the files of a new partition.

A file whose rows are all inside or all outside the window is copied or skipped without reading its
rows, because its record has the earliest and latest time. Other files are filtered and rewritten in
batches, so that memory is bounded as in :mod:`~spade_spark.writers.parquet`.
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
    """Selects rows inside or outside a window.

    Attributes:
        start: START in the form of
            :func:`~spade_spark.writers.partition_paths.sortable_timestamp`.
        end: END, inclusive.
        inside: Whether to select the rows inside the window, or those outside.
    """

    start: str
    end: str
    inside: bool = True

    def selects_all(self, file: LakeFile | DayFile) -> bool:
        """Whether all rows of ``file`` are selected."""
        return self._contains(file) if self.inside else self._is_disjoint(file)

    def selects_none(self, file: LakeFile | DayFile) -> bool:
        """Whether no row of ``file`` is selected."""
        return self._is_disjoint(file) if self.inside else self._contains(file)

    def mask(self, times: Any) -> Any:
        """Return a mask of the selected rows for an Arrow column of times."""
        start, end = (
            pa.scalar(datetime.fromisoformat(text), TIME) for text in (self.start, self.end)
        )
        within = pc.and_(pc.greater_equal(times, start), pc.less_equal(times, end))
        return within if self.inside else pc.invert(within)

    def _contains(self, file: LakeFile | DayFile) -> bool:
        return self.start <= file.first and file.last <= self.end

    def _is_disjoint(self, file: LakeFile | DayFile) -> bool:
        return file.last < self.start or self.end < file.first


@dataclass(frozen=True)
class PartitionRewriter:
    """Writes the files of one table.

    Attributes:
        lake: The lake's store.
        schema: The schema of the run's files.
        time_column: The time column.
        scratch: A local directory.
        row_group_bytes: Size in memory at which a row group is written.
    """

    lake: Store
    schema: pa.Schema
    time_column: str
    scratch: Path
    row_group_bytes: int

    def copy_rows(
        self, source: Store, file: LakeFile | DayFile, row_filter: RowFilter, day: str, key: str
    ) -> LakeFile | None:
        """Copy the selected rows of ``file`` to the lake as ``key``.

        Returns:
            The new file; None if no row is selected.

        Raises:
            InputError: ``file`` does not match its record, or has a column of another type.
        """
        if row_filter.selects_none(file):
            return None
        with self._downloaded(source, file) as path:
            if row_filter.selects_all(file) and not self._has_other_types(pq.read_schema(path)):
                self.lake.upload(key, path)
                return LakeFile(key, file.rows, file.size, file.sha256, file.first, file.last)
            return self._rewrite(path, source.url + file.key, row_filter, day, key)

    @contextmanager
    def _downloaded(self, source: Store, file: LakeFile | DayFile) -> Iterator[Path]:
        """Download ``file`` and verify its checksum."""
        path = self.scratch / "downloaded.parquet"
        try:
            with closing(source.open(file.key, size=file.size)) as stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out, 1024 * 1024)
            if sha256_of(path) != file.sha256:
                raise InputError(
                    f"{source.url}{file.key} does not match its checksum: it is corrupt or was "
                    "overwritten. Nothing was published from it"
                )
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _rewrite(
        self, path: Path, name: str, row_filter: RowFilter, day: str, key: str
    ) -> LakeFile | None:
        path_out = self.scratch / "rewritten.parquet"
        writer: DayWriter | None = None
        try:
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
                    rows = pa.Table.from_batches([batch])
                    rows = rows.filter(row_filter.mask(rows.column(self.time_column)))
                    if not len(rows):
                        continue
                    rows = self._align_schema(rows, name)
                    writer = writer or DayWriter(day, path_out, rows.schema, self.time_column)
                    writer.add(rows)
                    if writer.buffered_bytes >= self.row_group_bytes:
                        writer.flush()
            if writer is None:
                return None
            file = writer.close()
            self.lake.upload(key, path_out)
            return LakeFile(key, file.rows, file.size, file.sha256, file.first, file.last)
        finally:
            path_out.unlink(missing_ok=True)

    def _has_other_types(self, schema: pa.Schema) -> bool:
        """Whether a column has another type than in the run."""
        return any(
            schema.field(field.name).type != field.type
            for field in self.schema
            if field.name in schema.names
        )

    def _align_schema(self, rows: pa.Table, name: str) -> pa.Table:
        """Cast rows to the run's columns, followed by columns that only these rows have."""
        extra_fields = [field for field in rows.schema if field.name not in self.schema.names]
        arrays = []
        for field in self.schema:
            if field.name not in rows.column_names:
                arrays.append(pa.nulls(len(rows), field.type))
                continue
            try:
                arrays.append(rows.column(field.name).cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    f"{name}: column {field.name} of existing rows outside the window cannot be "
                    f"converted to {field.type} ({error}). These rows are kept, so publish a run "
                    "of full days, which replaces them"
                ) from None
        arrays += [rows.column(field.name) for field in extra_fields]
        schema = pa.schema([*self.schema, *extra_fields], self.schema.metadata)
        return pa.Table.from_arrays(arrays, schema=schema)
