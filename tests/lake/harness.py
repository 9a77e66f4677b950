"""Runs with Parquet files, written without a replay, and a lake to publish them to."""

from __future__ import annotations

import gzip
import io
from datetime import datetime, timezone

from rich.console import Console

from spade_spark.blueprint.schema import read_tables
from spade_spark.gocompat.quote import quote
from spade_spark.lake.publish import ExportGuards
from spade_spark.lake.snapshot import load_snapshot
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.export_results import TablePublished
from spade_spark.runs.manifest import Manifest, ManifestTable
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import S3Settings, Settings
from spade_spark.storage.base import open_store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.window import Window
from spade_spark.workflows.lake_export import ExportRequest, publish
from spade_spark.writers.parquet import convert
from spade_spark.writers.partition_paths import DayFile
from tests.support import edge_logs
from tests.support.duckdb_query import query

HOURS = ("2017-11-03 10:00:00", "2017-11-03 11:59:59")
NOVEMBER_3 = ("2017-11-03 00:00:00", "2017-11-03 23:59:59")
LOGIN = edge_logs.LOGIN


class LakeHarness:
    """Runs in a directory, and a lake.

    Args:
        folder: A directory.
        lake: The lake's URL; by default a directory in ``folder``.
        s3: The S3 settings of ``lake``.
    """

    def __init__(self, folder, lake="", s3=None):
        self.folder = folder
        s3 = s3 or S3Settings()
        self.settings = Settings.model_validate(
            {"output": {"base": f"{folder}/out/"}, "s3": s3.model_dump()}
        )
        self.store = open_store(self.settings.output.base, s3)
        self.to = lake or f"{folder}/lake/"
        self.lake = open_store(self.to, s3)

    def run(self, tag, *rows, window=HOURS, table=LOGIN, files=1, formats="parquet", **more):
        """Write a completed run of ``rows``: a time, a login and a number each, as text.

        ``more`` is passed to the manifest.
        """
        schemas = edge_logs.schemas(table)
        ((name, table_schema),) = read_tables(schemas, is_transformer).tables.items()
        day_files = [
            file
            for part in range(files)
            for file in self._files(tag, table_schema, rows[part::files], part)
        ]
        run = RunStore(self.store, tag)
        run.write_schemas(schemas)
        run.write_manifest(
            Manifest(
                run_tag=tag,
                plan="plan",
                window=Window.parse(*window).arguments,
                created=datetime(2026, 1, 1, tzinfo=timezone.utc),
                tables=(
                    ManifestTable(
                        name,
                        table_schema.version,
                        tuple(column.outbound for column in table_schema.columns),
                        (),
                        tuple(day_files),
                    ),
                ),
                counts=AuditCounts(),
                format=formats,
                **more,
            )
        )
        return tag

    def _files(self, tag, table, rows, part):
        source = self.folder / f"{part:04d}.gz"
        text = "".join("\t".join(map(quote, row)) + "\n" for row in rows)
        source.write_bytes(gzip.compress(text.encode()))
        for file in convert(source, table, self.folder, "time", 1 << 20):
            key = RunPaths(tag).parquet_file(table.name, file.day, file.path.name)
            self.store.upload(key, file.path)
            file.path.unlink()
            yield DayFile(
                table.name,
                table.version,
                file.day,
                key,
                file.rows,
                file.size,
                file.sha256,
                file.first,
                file.last,
            )

    def publish(self, tag, *tables, dialect="athena", allow_damaged=0, **guards):
        request = ExportRequest(
            tag, self.to, tables, dialect, "", ExportGuards(**guards), allow_damaged
        )
        return publish(request, self.settings, ConsoleReporter(Console(file=io.StringIO())))

    def published(self, tag, **guards):
        """Publish one table, which must succeed."""
        (outcome,) = self.publish(tag, **guards).tables
        assert isinstance(outcome, TablePublished), outcome
        return outcome

    def refused(self, tag, **guards):
        """Publish one table, which must fail; return the reason."""
        (outcome,) = self.publish(tag, **guards).tables
        assert not isinstance(outcome, TablePublished), outcome
        return outcome.reason

    @property
    def current(self):
        return load_snapshot(self.lake, "login").snapshot

    def rows(self):
        """The table's rows according to the snapshot, times as text."""
        current = self.current
        if current is None:
            return []
        paths = [self._local(file.key) for day in current.partitions.values() for file in day.files]
        if not paths:
            return []
        _, rows = query(
            "SELECT time::text, login, n "
            f"FROM read_parquet({paths}, union_by_name=true) ORDER BY 1, 2"
        )
        return rows

    def _local(self, key):
        if not self.to.startswith("s3://"):
            return f"{self.to}{key}"
        path = self.folder / "read" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.lake.read(key))
        return str(path)
