"""The Parquet files of one attempt at a partition, made of its TSV files as they are closed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spade_spark.blueprint.schema import read_tables
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.paths import RunPaths
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.storage.base import Store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.writers.parquet_requirements import require_pyarrow
from spade_spark.writers.partition_paths import NO_DAY, DayFile
from spade_spark.writers.tsv import ClosedFile


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
    def ledger(self) -> AuditCounts:
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
