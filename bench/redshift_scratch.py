"""A scratch schema on a cluster, with the files that a check loads."""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from spade_spark.errors import SpadeError
from spade_spark.runs.load_results import LoadFile, TableFiles
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.storage.base import open_store
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.sql import Sql
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings

_TIMEOUT_MS = 60_000


@dataclass
class Scratch:
    """Schemas and files under a name that nothing else uses.

    Attributes:
        url: The warehouse's URL.
        s3: The settings of S3.
        prefix: Where the files are written, such as ``s3://bucket/prefix/``.
        iam_role: The role of COPY; empty for this process's AWS keys.
    """

    url: str
    s3: S3Settings
    prefix: str
    iam_role: str = ""
    name: str = field(default_factory=lambda: f"spade_check_{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.warehouse: Warehouse = open_warehouse(self.settings, self.s3)

    @property
    def settings(self) -> WarehouseSettings:
        """Settings with which the program uses the scratch schemas."""
        return WarehouseSettings.model_validate(
            {
                "url": self.url,
                "schema": self.name,
                "control": f"{self.name}_control",
                "backup_schema": f"{self.name}_backup",
                "iam_role": self.iam_role,
            }
        )

    @property
    def schemas(self) -> WarehouseSchemas:
        """The scratch schemas."""
        return schemas_from_settings(self.settings)

    @property
    def output(self) -> str:
        """Where the files of this run are written."""
        return f"{self.prefix.rstrip('/')}/{self.name}/"

    def __enter__(self) -> Scratch:
        try:
            self.rows(f'CREATE SCHEMA "{self.name}"')
            self.rows(f'CREATE SCHEMA "{self.name}_control"')
        except SpadeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for schema in (self.name, f"{self.name}_control", f"{self.name}_backup"):
            self.rows(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')

    def table(self, name: str, columns: str) -> str:
        """Create a table in the scratch schema; return its qualified name."""
        qualified = f'"{self.name}"."{name}"'
        self.rows(f"CREATE TABLE {qualified} ({columns})")
        return qualified

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement in a session of the program; return the rows of a query."""
        with Session(self.warehouse.connection_info) as session:
            if sql.startswith(("SELECT", "SHOW")):
                return session.rows(Sql(sql))
            session.run(Sql(sql))
            return []

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A cursor of a connection of its own, in autocommit mode and with a statement timeout."""
        info = self.warehouse.connection_info
        with closing(psycopg2.connect(**info.parameters(info.login()))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout TO {_TIMEOUT_MS}")
                yield cursor

    def write_files(
        self, table: str, columns: tuple[str, ...], *rows: bytes, size: int | None = None
    ) -> TableFiles:
        """Write a file with these rows, and its COPY manifest, which may state another size."""
        store = open_store(self.output, self.s3)
        data = gzip.compress(b"".join(row + b"\n" for row in rows))
        key = f"{table}-{uuid.uuid4().hex[:8]}"
        sha256 = hashlib.sha256(data).hexdigest()
        file = LoadFile(f"{self.output}{key}.gz", len(data), len(rows), sha256)
        entry = {"url": file.url, "mandatory": True, "meta": {"content_length": size or file.size}}
        manifest = json.dumps({"entries": [entry]}).encode()
        store.write(f"{key}.gz", data)
        store.write(f"{key}.manifest", manifest)
        return TableFiles(
            table=table,
            version=1,
            columns=columns,
            files=(file,),
            copy_manifest=f"{self.output}{key}.manifest",
            checksum=hashlib.sha256(manifest).hexdigest(),
        )


def message(error: SpadeError | psycopg2.Error) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
