"""Backups: a copy of the replaced rows, made in the transaction that deletes them.

A backup has exactly the columns of its target, so SQL can restore its rows too::

    INSERT INTO "physical"."login" SELECT * FROM "replay_backup"."20171103T101500__login"

The load's row in the replay log names the backup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from spade_spark.errors import InternalError
from spade_spark.runs.load_results import BackupInfo
from spade_spark.warehouse import information_schema
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.control_objects import ensure_lock_table
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import Distribution, SchemaGrants
from spade_spark.warehouse.load_history import ReplayLogRow, replay_log_rows
from spade_spark.warehouse.sql import Identifier, Sql, fit_name
from spade_spark.warehouse.table_lock import table_lock
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas


@dataclass(frozen=True)
class BackupTable:
    """A backup. The replay log contains its text, ``schema.name``."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> BackupTable:
        """Parse the text in the replay log; the schema's name cannot contain a dot."""
        schema, _, name = text.partition(".")
        return cls(schema, name)

    @property
    def table(self) -> Identifier:
        """The qualified name."""
        return Identifier(self.schema, self.name)

    def count(self) -> Sql:
        """Return the query that counts the rows."""
        return Sql("SELECT COUNT(*) FROM ", self.table)

    def exists(self, session: Session) -> bool:
        """Whether the table still exists."""
        return self.name in information_schema.tables(session, self.schema)

    def drop(self) -> Sql:
        """Return the statement that drops the table."""
        return Sql("DROP TABLE ", self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def backup_table(rows: TargetRows, taken: Collection[str] = ()) -> BackupTable:
    """Choose the name of the backup of ``rows``, which is not in ``taken``."""
    fold = rows.warehouse.fold
    base = fold(f"{rows.run_tag}__{rows.table}")
    name = unique_table_name(base, rows.warehouse.max_name_bytes, taken)
    return BackupTable(fold(rows.schemas.backup), name)


def unique_table_name(base: str, max_bytes: int, taken: Collection[str] = ()) -> str:
    """Return ``base``, shortened if necessary, with ``__2``, ``__3``, ... if it is taken."""
    names = (fit_name(base, max_bytes, f"__{number}" if number > 1 else "") for number in count(1))
    return next(name for name in names if name not in taken)


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


def create_backup(
    session: Session, rows: TargetRows, distribution: Distribution | None
) -> tuple[BackupTable, int]:
    """Copy the window's rows to a new table, within the current transaction.

    Returns:
        The backup and the number of its rows.

    Raises:
        WarehouseError: The table cannot be created.
    """
    schema = rows.warehouse.fold(rows.schemas.backup)
    backup = backup_table(rows, information_schema.tables(session, schema))
    session.run(backup_sql(rows, backup, distribution))
    ((copied,),) = session.rows(backup.count())
    return backup, copied


def backup_and_delete(
    session: Session, rows: TargetRows, distribution: Distribution | None
) -> tuple[str, int]:
    """Back up the window's rows, if backups are enabled, and delete them.

    Returns:
        The backup as the replay log names it, empty without one; the number of deleted rows.

    Raises:
        WarehouseError: The warehouse rejected a statement.
        InternalError: The numbers of rows copied and deleted differ.
    """
    if not rows.schemas.backup:
        return "", session.run(rows.delete())
    backup, copied = create_backup(session, rows, distribution)
    deleted = session.run(rows.delete())
    if deleted != copied:
        raise InternalError(
            f"{rows.table} was not modified: {copied} rows were copied to {backup}, but {deleted} "
            "would have been deleted; report this as a bug"
        )
    return str(backup), deleted


def backup_only(
    session: Session, rows: TargetRows, distribution: Distribution | None
) -> tuple[str, int]:
    """Back up the window's rows, if backups are enabled, without deleting any.

    Returns:
        As :func:`backup_and_delete`.
    """
    if not rows.schemas.backup:
        return "", 0
    backup, _ = create_backup(session, rows, distribution)
    return str(backup), 0


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


def existing_backups(session: Session, rows: Iterable[ReplayLogRow]) -> frozenset[str]:
    """Return the backups of ``rows`` that still exist, as the replay log names them."""
    backups = {row.backup: BackupTable.parse(row.backup) for row in rows if row.backup}
    tables = {
        schema: information_schema.tables(session, schema)
        for schema in {backup.schema for backup in backups.values()}
    }
    return frozenset(
        text for text, backup in backups.items() if backup.name in tables[backup.schema]
    )


def backups_before(
    session: Session, warehouse: Warehouse, control: str, moment: datetime
) -> tuple[BackupInfo, ...]:
    """Return the existing backups made before ``moment``, the oldest first."""
    rows = [row for row in replay_log_rows(session, control) if row.at < moment]
    existing = existing_backups(session, rows)
    old = [(row, BackupTable.parse(row.backup)) for row in rows if row.backup in existing]
    sizes = {
        schema: warehouse.table_sizes(session, schema)
        for schema in {backup.schema for _, backup in old}
    }
    return tuple(
        BackupInfo(
            run_tag=row.run_tag,
            table=row.table,
            backup=row.backup,
            rows=row.deleted,
            size=sizes[backup.schema].get(backup.name),
            at=row.at,
        )
        for row, backup in old
    )


def drop(session: Session, warehouse: Warehouse, control: str, backup: BackupInfo) -> None:
    """Drop a backup while its table is locked, so that no undo is using it.

    Raises:
        WarehouseError: The warehouse rejected the statement.
    """
    lock = table_lock(warehouse, control, backup.table)
    ensure_lock_table(session, lock)
    with session.transaction():
        session.run(lock.lock())
        session.run(BackupTable.parse(backup.backup).drop())
