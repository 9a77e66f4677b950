"""Backups: a copy of the replaced rows, made in the transaction that deletes them.

A backup has exactly the columns of its target, so SQL can restore its rows too::

    INSERT INTO "physical"."login" SELECT * FROM "replay_backup"."20171103T101500__login"

The load's row in the replay log names the backup.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from spade_spark.errors import InternalError, WarehouseError
from spade_spark.runs.load_results import BackupInfo
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.control_objects import ensure_lock_table
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import Distribution, SchemaGrants
from spade_spark.warehouse.load_history import LoadHistory, ReplayLogRow, replay_log_rows
from spade_spark.warehouse.sql import Identifier, Sql, fit_name
from spade_spark.warehouse.table_lock import table_lock
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas

_SUFFIX = re.compile(r"__(?:[2-9]|[1-9][0-9]{1,5})\Z")  # of the second and later names


@dataclass(frozen=True)
class BackupTable:
    """A backup. The replay log contains its text, ``schema.name``."""

    schema: str
    name: str

    @property
    def table(self) -> Identifier:
        """The qualified name."""
        return Identifier(self.schema, self.name)

    def count(self) -> Sql:
        """Return the query that counts the rows."""
        return Sql("SELECT COUNT(*) FROM ", self.table)

    def exists(self, session: Session) -> bool:
        """Whether the table still exists.

        A view does not count: another user can create one with this name, and the functions in it
        would run with the rights of the user who reads it.
        """
        return bool(information_schema.columns(session, self.schema, self.name))

    def drop(self) -> Sql:
        """Return the statement that drops the table."""
        return Sql("DROP TABLE ", self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def backup_table(rows: TargetRows, taken: Collection[str] = ()) -> BackupTable:
    """Choose the name of the backup of ``rows``, which is not in ``taken``."""
    base = _base_name(rows.warehouse, rows.run_tag, rows.table)
    name = unique_table_name(base, rows.warehouse.max_name_bytes, taken)
    return BackupTable(rows.warehouse.fold(rows.schemas.backup), name)


def logged_backup(
    text: str, run_tag: str, table: str, warehouse: Warehouse, schemas: WarehouseSchemas
) -> BackupTable:
    """Return the backup that the replay log names for a load or an undo.

    A user who can write to the replay log can name any table there. So only the names that
    :func:`backup_table` chooses for the same run tag and table are accepted.

    Args:
        text: The backup as the replay log names it.
        run_tag: The tag of the load or undo.
        table: The table, as in Blueprint.
        warehouse: The warehouse.
        schemas: The schemas of its tables.

    Raises:
        WarehouseError: Another table is named, which must be neither read nor dropped.
    """
    schema, _, name = text.partition(".")  # the schema's name cannot contain a dot
    own_schema = warehouse.fold(schemas.backup_schema)
    base = _base_name(warehouse, run_tag, table)
    if schema != own_schema or not _is_unique_name_of(base, name, warehouse.max_name_bytes):
        own = f"{own_schema}.{unique_table_name(base, warehouse.max_name_bytes)}"
        raise WarehouseError(
            f"{table} was not modified: the replay log names {text} as the backup of run tag "
            f"{run_tag}, but its backup would be {own}: {text} is neither read nor dropped. If "
            "warehouse.backup_schema was changed, set it to the schema of the backup; if not, find "
            f"out who changed {schemas.control}.{replay_log.TABLE_NAME}"
        )
    return BackupTable(schema, name)


def unique_table_name(base: str, max_bytes: int, taken: Collection[str] = ()) -> str:
    """Return ``base``, shortened if necessary, with ``__2``, ``__3``, ... if it is taken."""
    names = (fit_name(base, max_bytes, f"__{number}" if number > 1 else "") for number in count(1))
    return next(name for name in names if name not in taken)


def _base_name(warehouse: Warehouse, run_tag: str, table: str) -> str:
    return warehouse.fold(f"{run_tag}__{table}")


def _is_unique_name_of(base: str, name: str, max_bytes: int) -> bool:
    """Whether :func:`unique_table_name` can return ``name`` for ``base``."""
    if name == fit_name(base, max_bytes):
        return True
    suffix = _SUFFIX.search(name)
    return suffix is not None and name == fit_name(base, max_bytes, suffix[0])


def backup_sql(rows: TargetRows, backup: BackupTable, distribution: Distribution | None) -> Sql:
    """Return the statement that copies the rows. It is transactional on both warehouses.

    The backup is distributed like the target, so that no rows are sent to other nodes.
    """
    return Sql(
        "CREATE TABLE ",
        backup.table,
        rows.warehouse.table_attributes(distribution),
        " AS SELECT * FROM ",
        rows.target,
        " WHERE ",
        rows.in_window(),
    )


@dataclass(frozen=True)
class BackedUpRows:
    """The backup that a transaction has made.

    Attributes:
        name: The backup as the replay log names it; empty if backups are disabled.
        count: The number of its rows; None if backups are disabled.
    """

    name: str = ""
    count: int | None = None


def back_up(
    session: Session,
    rows: TargetRows,
    distribution: Distribution | None,
    history: Iterable[ReplayLogRow],
) -> BackedUpRows:
    """Copy the window's rows to a new table, within the transaction, if backups are enabled.

    The name of a backup that was dropped is not used again: the replay log still has it, and an
    undo of that load would restore the rows of another one.

    Args:
        session: The session to use.
        rows: The rows.
        distribution: How the target's rows are distributed, if known.
        history: All rows of the table in the replay log.

    Raises:
        WarehouseError: The warehouse rejected a statement.
    """
    if not rows.schemas.backup:
        return BackedUpRows()
    schema = rows.warehouse.fold(rows.schemas.backup)
    logged = {row.backup.partition(".")[2] for row in history}
    backup = backup_table(rows, information_schema.tables(session, schema) | logged)
    copied = session.run(backup_sql(rows, backup, distribution))
    if not rows.warehouse.reports_created_rows:
        ((copied,),) = session.rows(backup.count())
    return BackedUpRows(str(backup), copied)


def delete_rows(session: Session, rows: TargetRows, backed_up: BackedUpRows) -> int:
    """Delete the window's rows, of which a backup was made; return their number.

    Raises:
        WarehouseError: The warehouse rejected the statement.
        InternalError: The numbers of rows copied and deleted differ.
    """
    deleted = session.run(rows.delete())
    if backed_up.count is not None and deleted != backed_up.count:
        raise InternalError(
            f"{rows.table} was not modified: {backed_up.count} rows were copied to "
            f"{backed_up.name}, but {deleted} would have been deleted; report this as a bug"
        )
    return deleted


def schema_problems(session: Session, warehouse: Warehouse, schemas: WarehouseSchemas) -> list[str]:
    """Return what prevents backups from being written; nothing is changed."""
    schema = warehouse.fold(schemas.backup)
    if not schema:
        return []
    grants = information_schema.grants_by_schema(session, [schema])
    database = information_schema.database_grants(session)
    return write_problems(schema, grants.get(schema), can_create_schemas=database.create)


def write_problems(
    schema: str, grants: SchemaGrants | None, *, can_create_schemas: bool
) -> list[str]:
    """Return what prevents backups from being written to ``schema``.

    Args:
        schema: The schema of the backups.
        grants: The user's privileges on it; None if it does not exist.
        can_create_schemas: Whether the user may create it.
    """
    name = Identifier(schema).sql()
    without = "or set warehouse.backup = false to replace rows without a backup"
    if grants is None:
        if can_create_schemas:
            return []
        return [
            f"the backup schema {schema} does not exist, and the warehouse user cannot "
            f"create it: CREATE SCHEMA {name} and GRANT USAGE, CREATE ON it, {without}"
        ]
    return [
        f"the warehouse user has no {privilege} privilege on the backup schema {schema}: GRANT "
        f"{privilege} ON SCHEMA {name}, {without}"
        for privilege, granted in (("USAGE", grants.usage), ("CREATE", grants.create))
        if not granted
    ]


def existing_backups(
    session: Session, warehouse: Warehouse, schemas: WarehouseSchemas, history: LoadHistory
) -> dict[ReplayLogRow, BackupTable]:
    """Return the backups that still exist, by their rows in the replay log.

    Tables that this program did not make for a row are left out.

    Args:
        session: The session to use.
        warehouse: The warehouse.
        schemas: The schemas of its tables.
        history: The whole replay log.
    """
    tables = information_schema.tables(session, warehouse.fold(schemas.backup_schema))
    found = {}
    for row in history.rows:
        if history.next_use_of_backup(row):
            continue
        with suppress(WarehouseError):
            backup = logged_backup(row.backup, row.run_tag, row.table, warehouse, schemas)
            if backup.name in tables:
                found[row] = backup
    return found


def backups_before(
    session: Session, warehouse: Warehouse, schemas: WarehouseSchemas, moment: datetime
) -> tuple[BackupInfo, ...]:
    """Return the existing backups made before ``moment``, the oldest first."""
    history = LoadHistory(replay_log_rows(session, schemas.control))
    existing = {
        row: backup
        for row, backup in existing_backups(session, warehouse, schemas, history).items()
        if row.at < moment
    }
    schema = warehouse.fold(schemas.backup_schema)
    sizes = warehouse.table_sizes(session, schema) if existing else {}
    return tuple(
        BackupInfo(
            run_tag=row.run_tag,
            table=row.table,
            backup=row.backup,
            rows=row.deleted,
            size=sizes.get(backup.name),
            at=row.at,
        )
        for row, backup in existing.items()
    )


def check_backup_names(
    session: Session, warehouse: Warehouse, schemas: WarehouseSchemas, run_tags: Collection[str]
) -> None:
    """Check that the replay log names only tables of this program as backups of these run tags.

    Raises:
        WarehouseError: It names another table.
    """
    for row in replay_log_rows(session, schemas.control):
        if row.backup and row.run_tag in run_tags:
            logged_backup(row.backup, row.run_tag, row.table, warehouse, schemas)


def drop(
    session: Session, warehouse: Warehouse, schemas: WarehouseSchemas, backup: BackupInfo
) -> None:
    """Drop a backup while its table is locked, so that no undo is using it.

    Raises:
        WarehouseError: The warehouse rejected the statement, or the table is not a backup.
    """
    table = logged_backup(backup.backup, backup.run_tag, backup.table, warehouse, schemas)
    lock = table_lock(warehouse, schemas.control, backup.table)
    ensure_lock_table(session, lock)
    with session.transaction():
        session.run(lock.lock())
        session.run(table.drop())
