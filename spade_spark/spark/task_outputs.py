"""Writes the output of one attempt at a partition: local files, uploaded when they are closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import QuarantineFile, RowFile, UntrackedFile
from spade_spark.runs.paths import RunPaths
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.storage.base import Store, open_store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.writers.parquet_requirements import require_pyarrow
from spade_spark.writers.partition_paths import NO_DAY, DayFile
from spade_spark.writers.tsv import ClosedFile, RowFiles

# Keys of spooled files without a table; no table has an empty name.
_UNTRACKED = ("", 0)
_QUARANTINE = ("", 1)


class TaskOutputs:
    """The files of one attempt.

    Args:
        context: The context of the run.
        name: The name of the attempt, which is part of the keys of its objects.
        store: The output store.
        spool: An empty local directory.

    Attributes:
        files: The uploaded row files.
        untracked: The uploaded files of untracked events.
        quarantine: The uploaded files of quarantined records.
        parquet: The Parquet output; None if the run does not write Parquet.
    """

    def __init__(self, context: BroadcastContext, name: str, store: Store, spool: Path) -> None:
        self.files: list[RowFile] = []
        self.untracked: list[UntrackedFile] = []
        self.quarantine: list[QuarantineFile] = []
        self._context, self._name, self._store = context, name, store
        self._paths = RunPaths(context.run_tag)
        self._spooled = RowFiles(spool, context.settings.output.max_file_bytes)
        self._files_uploaded = 0
        formats = context.settings.output.format
        self._tsv = "tsv" in formats
        self.parquet = ParquetOutput(context, name, store, spool) if "parquet" in formats else None

    def add_rows(self, table: Table, rows: bytes, count: int) -> None:
        """Add rows of a table, each terminated by a line feed."""
        self._upload(self._spooled.write((table.name, table.version), rows, count))

    def add_untracked(self, lines: Sequence[str]) -> None:
        """Add JSON lines of untracked events, without line terminators."""
        if lines:
            text = "\n".join(lines).encode() + b"\n"
            self._upload(self._spooled.write(_UNTRACKED, text, len(lines)))

    def add_quarantined(self, line: bytes) -> None:
        """Add a JSON line of the quarantine, with its line terminator."""
        self._upload(self._spooled.write(_QUARANTINE, line, 1))

    def close(self) -> None:
        """Close and upload the open files."""
        self._upload(self._spooled.close())

    def _upload(self, closed: Iterable[ClosedFile]) -> None:
        for file in closed:
            name = f"{self._name}-{self._files_uploaded:04d}.gz"
            self._files_uploaded += 1
            match (file.table, file.version):
                case key if key == _UNTRACKED:
                    self._upload_untracked(file, name)
                case key if key == _QUARANTINE:
                    self._upload_quarantine(file, name)
                case _:
                    self._upload_rows(file, name)
            file.path.unlink()

    def _upload_rows(self, file: ClosedFile, name: str) -> None:
        if self.parquet:
            self.parquet.add(file)
        if not self._tsv:
            return
        key = self._paths.tsv_file(file.table, file.version, name)
        etag = self._store.upload(key, file.path)
        row_file = RowFile(file.table, file.version, key, file.rows, file.bytes, file.sha256, etag)
        self.files.append(row_file)

    def _upload_untracked(self, file: ClosedFile, name: str) -> None:
        output, store = self._context.settings.output, self._store
        if output.untracked:
            store = open_store(output.untracked, self._context.settings.s3)
            key = self._paths.untracked_by_day(self._context.day, name)
        else:
            key = self._paths.untracked(name)
        store.upload(key, file.path)
        self.untracked.append(UntrackedFile(store.url + key, file.rows, file.bytes))

    def _upload_quarantine(self, file: ClosedFile, name: str) -> None:
        key = self._paths.quarantine(name)
        self._store.upload(key, file.path)
        self.quarantine.append(QuarantineFile(key, file.rows, file.bytes))


class ParquetOutput:
    """Writes and uploads Parquet files.

    Args:
        context: The context of the run.
        name: The name of the attempt, which is part of the keys of its objects.
        store: The output store.
        spool: A local directory.

    Attributes:
        files: The uploaded files.
    """

    def __init__(self, context: BroadcastContext, name: str, store: Store, spool: Path) -> None:
        require_pyarrow()
        self.files: list[DayFile] = []
        self._context, self._name, self._store, self._spool = context, name, store, spool
        self._paths = RunPaths(context.run_tag)
        self._tables = read_tables(context.schemas, is_transformer).tables

    @property
    def counts(self) -> AuditCounts:
        """The audit counts of the rows written."""
        rows: Counter[str] = Counter()
        undated: Counter[str] = Counter()
        for file in self.files:
            rows[file.table] += file.rows
            if file.day == NO_DAY:
                undated[file.table] += file.rows
        return AuditCounts(parquet=dict(rows), undated=dict(undated))

    def add(self, source: ClosedFile) -> None:
        """Convert the rows of a TSV file to Parquet.

        Raises:
            InternalError: A value does not match the type of its column.
        """
        # A run that writes only TSV does not need pyarrow.
        from spade_spark.writers.parquet import convert  # noqa: PLC0415 - see above

        table = self._tables[source.table]
        size = self._context.settings.output.row_group_bytes
        for parquet_file in convert(
            source.path, table, self._spool, self._context.time_column, size
        ):
            name = f"{self._name}-{len(self.files):04d}.parquet"
            key = self._paths.parquet_file(table.name, parquet_file.day, name)
            self._store.upload(key, parquet_file.path)
            parquet_file.path.unlink()
            self.files.append(
                DayFile(
                    table=table.name,
                    version=table.version,
                    day=parquet_file.day,
                    key=key,
                    rows=parquet_file.rows,
                    size=parquet_file.size,
                    sha256=parquet_file.sha256,
                    first=parquet_file.first,
                    last=parquet_file.last,
                )
            )
