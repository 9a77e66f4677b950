"""The protocol of a warehouse, which hides the differences between Redshift and PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.credentials import CopyCredentials, copy_credentials
from spade_spark.warehouse.dialects.postgres import Postgres
from spade_spark.warehouse.dialects.redshift import Redshift
from spade_spark.warehouse.information_schema import Distribution, TableStatistics, WarehouseColumn
from spade_spark.warehouse.logins import connection_info
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.sql import Identifier, Sql


class Warehouse(Protocol):
    """A warehouse. It holds no connection: each table is loaded on one of its own."""

    @property
    def connection_info(self) -> ConnectionInfo:
        """How to connect."""

    @property
    def name(self) -> str:
        """``Redshift`` or ``PostgreSQL``."""

    @property
    def max_name_bytes(self) -> int:
        """The maximum length of a table name in bytes."""

    def fold(self, name: str) -> str:
        """Return a Blueprint name as the warehouse's catalog stores it."""

    def has_roles(self, session: Session) -> bool:
        """Whether the user has roles whose privileges has_table_privilege may not include."""

    def column_problems(self, columns: Sequence[WarehouseColumn]) -> list[str]:
        """Return the reasons why columns cannot be loaded."""

    def storage_problems(self, session: Session, output: str) -> list[str]:
        """Return the reasons why a load cannot read files below ``output``, as far as known.

        The check writes nothing.
        """

    def distributions(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> dict[str, Distribution]:
        """Return how the rows of ``tables`` are distributed, where the warehouse knows it."""

    def create_stage(
        self,
        stage: str,
        schema: str,
        table: str,
        columns: Sequence[WarehouseColumn],
        distribution: Distribution | None,
    ) -> Sql:
        """Return the statement that creates the temporary table ``stage`` for these columns.

        Its rows are distributed like those of the target, as far as ``distribution`` is known.
        """

    def table_attributes(self, distribution: Distribution | None) -> Sql:
        """Return the attributes of a CREATE TABLE AS, each after a space; empty for the default."""

    def copy(self, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles) -> Sql:
        """Return the COPY into ``stage``."""

    def load_stage(
        self, session: Session, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles
    ) -> dict[str, int]:
        """Copy the files into ``stage``; return the number of truncated values by column.

        Raises:
            CopyError: COPY rejected values.
            WarehouseError: Files are missing, unreadable, or differ in size from the manifest.
        """

    def can_hash(self, column: WarehouseColumn) -> bool:
        """Whether :meth:`row_hash` accepts the column."""

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return an expression that hashes these columns of a row to a summable number."""

    def hashes_staged_rows(self, columns: Sequence[WarehouseColumn]) -> bool:
        """Whether staged or backed up rows have the hashes that they will have in the target.

        Args:
            columns: All columns of the target, which :meth:`tables_that_change_rows` does not name;
                each of them will be filled.
        """

    def tables_that_change_rows(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> frozenset[str]:
        """Return those of ``tables`` that may store other rows than are inserted."""

    @property
    def has_table_write_locks(self) -> bool:
        """Whether other writers of a table wait from its first change to the commit."""

    @property
    def reports_created_rows(self) -> bool:
        """Whether the answer to CREATE TABLE AS has the number of rows."""

    def earlier_row_hashes(self, columns: Sequence[WarehouseColumn]) -> tuple[Sql, ...]:
        """Return the expressions that earlier versions of this program used for the same."""

    def table_sizes(self, session: Session, schema: str) -> dict[str, int]:
        """Return the size in bytes of each table of a schema, as far as the user may know it."""

    @property
    def vacuum_share(self) -> float:
        """The share of deleted rows from which VACUUM is worth running."""

    def vacuum(self, target: Identifier) -> Sql:
        """Return the statement that reclaims the space of deleted rows."""

    def statistics(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> dict[str, TableStatistics]:
        """Return what the catalog knows about the rows of tables, as far as the user may know it.

        Raises:
            WarehouseError: The warehouse rejects the query.
        """

    def insert_values(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return the select list that converts staged values to those of the target."""


def open_warehouse(
    settings: WarehouseSettings, s3: S3Settings, credentials: CopyCredentials | None = None
) -> Warehouse:
    """Connect to ``settings.url`` and recognize the server by its version.

    Args:
        settings: The warehouse's settings.
        s3: The settings of S3, where the files are.
        credentials: COPY's credentials; by default the configured role, or this process's AWS keys.

    Raises:
        SettingsError: The URL is missing or invalid.
        ConnectionLostError: The warehouse does not answer.
        WarehouseError: The warehouse rejects the connection.
    """
    info = connection_info(settings, s3)
    ((version,),) = query_with_retries(info, lambda session: session.rows(Sql("SELECT version()")))
    if "Redshift" not in version:
        return Postgres(info, s3, _major_version(version))
    if credentials is not None:
        return Redshift(info, s3, lambda: credentials)
    return Redshift(info, s3, copy_credentials(settings.iam_role, s3))


def _major_version(version: str) -> int:
    """Return 16 for ``PostgreSQL 16.14 on x86_64-pc-linux-gnu, ...``, and 0 for other servers."""
    match = re.match(r"PostgreSQL (\d+)", version)
    return int(match[1]) if match else 0
