"""What Redshift and PostgreSQL do differently in a load, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse.connection import ConnectionInfo, Session
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.postgres import Postgres
from spade_spark.warehouse.dialects.redshift import Redshift
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.retries import query_with_retries
from spade_spark.warehouse.sql import Sql


class Warehouse(Protocol):
    """A warehouse that rows are loaded into. It holds no connection: each table has its own."""

    @property
    def connection_info(self) -> ConnectionInfo:
        """Where it is."""

    @property
    def name(self) -> str:
        """``Redshift`` or ``PostgreSQL``."""

    @property
    def max_name_bytes(self) -> int:
        """The most bytes of a table's name."""

    def fold(self, name: str) -> str:
        """A name of Blueprint's as the warehouse's catalog spells it."""

    def column_problems(self, session: Session, columns: Sequence[WarehouseColumn]) -> list[str]:
        """What keeps columns of a table from being loaded, one sentence each."""

    def storage_problems(self, session: Session, output: str) -> list[str]:
        """What keeps the files below ``output`` from being read by a load, as far as can be told.

        Nothing is written to find out.
        """

    def create_stage(
        self, stage: str, schema: str, table: str, columns: Sequence[WarehouseColumn]
    ) -> Sql:
        """Creates the temporary table ``stage``, like the target, with these columns."""

    def copy(self, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles) -> Sql:
        """The COPY that fills ``stage``."""

    def load_stage(
        self, session: Session, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles
    ) -> dict[str, int]:
        """Copies the files into ``stage``; returns how many values were cut, by column.

        Raises:
            CopyError: Values that do not fit their column, with file, line, column and reason.
            WarehouseError: Files that are missing, not readable, or not of the manifest's size.
        """

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """A number made of a row's values in these columns, whose sum over rows fits its type."""

    def table_sizes(self, session: Session, schema: str) -> dict[str, int]:
        """Bytes of each table of a schema, as far as this user is told."""

    def insert_values(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """The select list that gives the target's values from the stage's."""


def open_warehouse(
    settings: WarehouseSettings, s3: S3Settings, credentials: CopyCredentials | None = None
) -> Warehouse:
    """Asks the warehouse at ``settings.url`` what it is.

    Args:
        settings: The warehouse's settings.
        s3: The S3 API where the files lie.
        credentials: What COPY shows S3; left out, the configured role or the session's keys.

    Raises:
        SettingsError: No URL, or one that cannot be read.
        ConnectionLostError: Nobody answers.
        WarehouseError: The warehouse refuses the connection.
    """
    connection_info = ConnectionInfo.parse(settings.url.get_secret_value())
    ((version,),) = query_with_retries(
        connection_info, lambda session: session.rows(Sql("SELECT version()"))
    )
    if "Redshift" not in version:
        return Postgres(connection_info, s3)
    return Redshift(connection_info, s3, credentials or CopyCredentials.find(settings.iam_role, s3))
