"""A warehouse for one test: its own schemas in a shared database, files in a bucket, a window."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from spade_spark.progress import LoadPhase, LoadProgress
from spade_spark.retry import RetryPolicy
from spade_spark.runs.load_results import (
    LoadAlreadyDone,
    LoadFailed,
    LoadFile,
    LoadOutcome,
    TableFiles,
    TableLoaded,
)
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse.control_objects import ensure_control_objects
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window
from tests.support.redshift import Isolation

WINDOW = Window.parse("2017-11-04 13:00:00", "2017-11-04 14:00:00")
FAST_RETRIES = RetryPolicy(max_attempts=4, max_seconds=20, initial_wait=0.01, max_wait=0.05)
GUARDS = LoadGuards()

COLUMNS = {"time": "timestamp", "name": "varchar(5)", "n": "integer"}
OLD = (
    ("2017-11-04 12:59:59", "early", 1),
    ("2017-11-04 13:00:00", "old", 2),
    ("2017-11-04 14:00:00", "old", 3),
    ("2017-11-04 14:00:01", "late", 4),
)
NEW = (b'"2017-11-04 13:30:00"\t"new"\t"20"', b'"2017-11-04 14:00:00"\t"new"\t"30"')
REPLACED = [
    ("2017-11-04 12:59:59", "early", 1),
    ("2017-11-04 13:30:00", "new", 20),
    ("2017-11-04 14:00:00", "new", 30),
    ("2017-11-04 14:00:01", "late", 4),
]

on_each_isolation_level = pytest.mark.parametrize(
    "harness", ["PostgreSQL", "Redshift", "Redshift, SNAPSHOT"], indirect=True
)
"""Runs a test of the fixture ``harness`` on Redshift in both isolation levels."""

in_each_isolation_level = pytest.mark.parametrize(
    "redshift",
    [Isolation.SERIALIZABLE, Isolation.SNAPSHOT],
    ids=lambda level: level.name,
    indirect=True,
)
"""Runs a test of the fixture ``redshift`` in both isolation levels."""


@dataclass
class WarehouseHarness:
    """Loads tables into one warehouse and looks at the result."""

    url: str
    s3: S3Settings
    client: Any
    bucket: str
    iam_role: str = ""
    more_settings: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        self.execute(f"CREATE SCHEMA {self.schema}")
        self.execute(f"CREATE SCHEMA {self.control}")
        self.execute(
            f"CREATE TABLE {self.control}.table_version "
            "(name varchar(100), version integer, ts timestamp)"
        )

    @property
    def schema(self) -> str:
        return f"physical_{self.id}"

    @property
    def control(self) -> str:
        return f"infra_{self.id}"

    @property
    def backups(self) -> str:
        return f"backup_{self.id}"

    @property
    def settings(self) -> WarehouseSettings:
        return WarehouseSettings.model_validate(
            {
                "url": self.url,
                "schema": self.schema,
                "control": self.control,
                "iam_role": self.iam_role,
                "backup_schema": self.backups,
                **self.more_settings,
            }
        )

    @property
    def schemas(self) -> WarehouseSchemas:
        return schemas_from_settings(self.settings)

    @property
    def warehouse(self) -> Warehouse:
        return open_warehouse(self.settings, self.s3)

    @property
    def output(self) -> str:
        return f"s3://{self.bucket}/"

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in its own connection and commit it; return its rows."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def create_table(
        self,
        name: str = "login",
        columns: dict[str, str] | None = None,
        rows: Sequence[tuple[Any, ...]] = OLD,
        version: int = 3,
    ) -> str:
        """Create a table with rows and a version; return its name."""
        defined = [f'"{column}" {type_}' for column, type_ in (columns or COLUMNS).items()]
        self.execute(f'CREATE TABLE {self.schema}."{name}" ({", ".join(defined)})')
        for row in rows:
            placeholders = ", ".join(["%s"] * len(row))
            self.execute(f'INSERT INTO {self.schema}."{name}" VALUES ({placeholders})', *row)
        self.execute(
            f"INSERT INTO {self.control}.table_version VALUES (%s, %s, '2017-01-01')", name, version
        )
        return name

    def create_control_objects(self, *tables: str) -> None:
        """Create the replay log, the schema of backups and the lock tables."""
        ensure_control_objects(self.warehouse, self.schemas, tables)

    def write_files(
        self,
        *rows: bytes,
        table: str = "login",
        columns: Sequence[str] = tuple(COLUMNS),
        parts: int = 1,
        version: int = 3,
        manifest_rows: int | None = None,
    ) -> TableFiles:
        """Upload gzip files with these rows, and a COPY manifest."""
        prefix = f"tag/{table}/v{version}/"
        files = []
        for part in range(parts):
            part_rows = rows[part::parts]
            data = gzip.compress(b"".join(row + b"\n" for row in part_rows), 1, mtime=0)
            key = f"{prefix}part-{part}-{uuid.uuid4().hex[:6]}.gz"
            etag = self.client.put_object(Bucket=self.bucket, Key=key, Body=data)["ETag"]
            listed_rows = len(part_rows) if manifest_rows is None else manifest_rows
            sha256 = hashlib.sha256(data).hexdigest()
            url = f"s3://{self.bucket}/{key}"
            files.append(LoadFile(url, len(data), listed_rows, sha256, etag.strip('"')))
        entries = [
            {"url": file.url, "mandatory": True, "meta": {"content_length": file.size}}
            for file in files
        ]
        manifest = json.dumps({"entries": entries}).encode()
        key = f"tag/{table}-{uuid.uuid4().hex[:6]}.manifest"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=manifest)
        checksum = hashlib.sha256(manifest).hexdigest()
        url = f"s3://{self.bucket}/{key}"
        return TableFiles(table, version, tuple(columns), tuple(files), url, checksum)

    def load(
        self,
        *files: TableFiles,
        run_tag: str = "tag",
        window: Window = WINDOW,
        guards: LoadGuards = GUARDS,
        retries: RetryPolicy = FAST_RETRIES,
        **options: Any,
    ) -> tuple[LoadOutcome, ...]:
        return load_tables(
            self.warehouse,
            files,
            window,
            run_tag=run_tag,
            guards=guards,
            retries=retries,
            **{"settings": self.settings, "verify_lock": no_lock, **options},
        )

    def load_table(self, files: TableFiles, **options: Any) -> TableLoaded:
        """Load one table; this must succeed."""
        (outcome,) = self.load(files, **options)
        assert isinstance(outcome, TableLoaded), outcome
        return outcome

    def fail_to_load(self, files: TableFiles, **options: Any) -> LoadFailed:
        """Load one table; this must fail."""
        (outcome,) = self.load(files, **options)
        assert isinstance(outcome, LoadFailed), outcome
        return outcome

    def skip_load(self, files: TableFiles, **options: Any) -> LoadAlreadyDone:
        """Load one table that was already loaded; this must be skipped."""
        (outcome,) = self.load(files, **options)
        assert isinstance(outcome, LoadAlreadyDone), outcome
        return outcome

    def rows(self, table: str = "login", columns: str = "*") -> list[tuple[Any, ...]]:
        """Return the table's rows in order of time, with times as text."""
        rows = self.execute(f'SELECT {columns} FROM {self.schema}."{table}" ORDER BY time')
        return [tuple(str(v) if hasattr(v, "year") else v for v in row) for row in rows]

    @contextmanager
    def concurrent_reader(self) -> Iterator[set[tuple[tuple[str, int], ...]]]:
        """Read the table while the block runs; yield the set of all row counts by name."""
        seen: set[tuple[tuple[str, int], ...]] = set()
        stop = threading.Event()

        def read() -> None:
            with closing(psycopg2.connect(self.url)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    while not stop.is_set():
                        cursor.execute(
                            f"SELECT name, COUNT(*) FROM {self.schema}.login GROUP BY name"
                        )
                        seen.add(tuple((name, count) for name, count in cursor.fetchall()))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()

    def replay_log(self) -> list[tuple[Any, ...]]:
        """Return the rows of the replay log, without their times."""
        return self.execute(
            "SELECT run_tag, table_name, rows_deleted, rows_inserted, manifest_checksum "
            f"FROM {self.control}.replay ORDER BY table_name, run_tag"
        )


def phases(reported: list[LoadProgress]) -> list[LoadPhase]:
    return [progress.phase for progress in reported]


def no_lock() -> None:
    """A lock check that always passes."""


__all__ = [
    "FAST_RETRIES",
    "GUARDS",
    "NEW",
    "OLD",
    "REPLACED",
    "WINDOW",
    "WarehouseHarness",
    "in_each_isolation_level",
    "no_lock",
    "on_each_isolation_level",
    "phases",
]
