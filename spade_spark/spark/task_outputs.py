"""What one attempt at a partition writes: spooled to local files, uploaded as they are closed."""

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

# Stand for what is no table's among the spooled files; no table has an empty name.
_UNTRACKED = ("", 0)
_QUARANTINE = ("", 1)


class TaskOutputs:
    """The files of one attempt.

    Args:
        job: The run.
        name: The attempt's name, which all its objects carry.
        store: The output store.
        spool: A local directory, empty.

    Attributes:
        files: The rows' files that were uploaded.
        untracked: Those of events without a table.
        quarantine: Those of records that no row could be made of.
        parquet: The rows' Parquet files; None where they were not asked for.
    """

    def __init__(self, job: BroadcastContext, name: str, store: Store, spool: Path) -> None:
        self.files: list[RowFile] = []
        self.untracked: list[UntrackedFile] = []
        self.quarantine: list[QuarantineFile] = []
        self._job, self._name, self._store = job, name, store
        self._layout = RunPaths(job.run_tag)
        self._spooled = RowFiles(spool, job.settings.output.max_file_bytes)
        self._shipped = 0
        formats = job.settings.output.format
        self._tsv = "tsv" in formats
        self.parquet = ParquetOutput(job, name, store, spool) if "parquet" in formats else None

    def add_rows(self, table: Table, rows: bytes, count: int) -> None:
        """Rows of a table, each ended by a line feed."""
        self._ship(self._spooled.write((table.name, table.version), rows, count))

    def add_untracked(self, lines: Sequence[str]) -> None:
        """JSON lines of untracked events, without line ends."""
        if lines:
            text = "\n".join(lines).encode() + b"\n"
            self._ship(self._spooled.write(_UNTRACKED, text, len(lines)))

    def add_quarantined(self, lines: Iterable[bytes]) -> None:
        """JSON lines of the quarantine, with their line ends."""
        for line in lines:
            self._ship(self._spooled.write(_QUARANTINE, line, 1))

    def close(self) -> None:
        """Uploads all that is still open."""
        self._ship(self._spooled.close())

    def _ship(self, closed: Iterable[ClosedFile]) -> None:
        for file in closed:
            name = f"{self._name}-{self._shipped:04d}.gz"
            self._shipped += 1
            match (file.table, file.version):
                case key if key == _UNTRACKED:
                    self._ship_untracked(file, name)
                case key if key == _QUARANTINE:
                    self._ship_quarantine(file, name)
                case _:
                    self._ship_rows(file, name)
            file.path.unlink()

    def _ship_rows(self, file: ClosedFile, name: str) -> None:
        if self.parquet:
            self.parquet.add(file)
        if not self._tsv:
            return
        key = self._layout.rows(file.table, file.version, name)
        self._store.upload(key, file.path)
        made = RowFile(file.table, file.version, key, file.rows, file.bytes, file.sha256)
        self.files.append(made)

    def _ship_untracked(self, file: ClosedFile, name: str) -> None:
        output, store = self._job.settings.output, self._store
        if output.untracked:
            store = open_store(output.untracked, self._job.settings.s3)
            key = self._layout.untracked_by_day(self._job.day, name)
        else:
            key = self._layout.untracked(name)
        store.upload(key, file.path)
        self.untracked.append(UntrackedFile(store.url + key, file.rows, file.bytes))

    def _ship_quarantine(self, file: ClosedFile, name: str) -> None:
        key = self._layout.quarantine(name)
        self._store.upload(key, file.path)
        self.quarantine.append(QuarantineFile(key, file.rows, file.bytes))


class ParquetOutput:
    """Makes and uploads Parquet files.

    Args:
        job: The run.
        name: The attempt's name, which all its objects carry.
        store: The output store.
        spool: A local directory.

    Attributes:
        files: Those that were uploaded.
    """

    def __init__(self, job: BroadcastContext, name: str, store: Store, spool: Path) -> None:
        require_pyarrow()
        self.files: list[DayFile] = []
        self._job, self._name, self._store, self._spool = job, name, store, spool
        self._layout = RunPaths(job.run_tag)
        self._tables = read_tables(job.schemas, is_transformer).tables

    @property
    def counts(self) -> AuditCounts:
        """What was written."""
        rows: Counter[str] = Counter()
        undated: Counter[str] = Counter()
        for file in self.files:
            rows[file.table] += file.rows
            if file.day == NO_DAY:
                undated[file.table] += file.rows
        return AuditCounts(parquet=dict(rows), undated=dict(undated))

    def add(self, source: ClosedFile) -> None:
        """The rows of a TSV file.

        Raises:
            InternalError: A value is not of its column's type.
        """
        # Imported where it is needed: a run that writes TSV alone does without pyarrow.
        from spade_spark.writers.parquet import convert  # noqa: PLC0415 - see above

        table = self._tables[source.table]
        size = self._job.settings.output.row_group_bytes
        for made in convert(source.path, table, self._spool, self._job.time_column, size):
            name = f"{self._name}-{len(self.files):04d}.parquet"
            key = self._layout.day(table.name, made.day, name)
            self._store.upload(key, made.path)
            made.path.unlink()
            self.files.append(
                DayFile(
                    table=table.name,
                    version=table.version,
                    day=made.day,
                    key=key,
                    rows=made.rows,
                    size=made.size,
                    sha256=made.sha256,
                    first=made.first,
                    last=made.last,
                )
            )
