"""The rows that go, kept in a table of their own in the transaction that deletes them.

The table has the target's columns and no others, so that its rows can be put back by hand as well::

    INSERT INTO "physical"."login" SELECT * FROM "replay_backup"."20171103T101500__login"

The ledger's row of the load names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from spade_spark.errors import InternalError
from spade_spark.runs.load_results import BackupInfo
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.load_history import ReplayLogRow, replay_log_rows
from spade_spark.warehouse.sql import Identifier, Sql
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas

_DIGEST = 16  # hexadecimal digits


@dataclass(frozen=True)
class BackupTable:
    """A table of rows that were kept; as text, as the ledger has it, ``schema.name``."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> BackupTable:
        """Reads the ledger's text; a schema's name has no dot in it."""
        schema, _, name = text.partition(".")
        return cls(schema, name)

    @property
    def table(self) -> Identifier:
        """The table."""
        return Identifier(self.schema, self.name)

    def count(self) -> Sql:
        """Its rows."""
        return Sql("SELECT COUNT(*) FROM ", self.table)

    def exists(self, session: Session) -> bool:
        """Whether it is there still."""
        return self.name in information_schema.tables(session, self.schema)

    def drop(self) -> Sql:
        """Removes it."""
        return Sql("DROP TABLE ", self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def backup_table(rows: TargetRows, taken: Collection[str] = ()) -> BackupTable:
    """What the backup of ``rows`` is called where these names are taken."""
    fold = rows.warehouse.fold
    wanted = fold(f"{rows.run_tag}__{rows.table}")
    name = unique_table_name(wanted, rows.warehouse.max_name_bytes, taken)
    return BackupTable(fold(rows.schemas.backup), name)


def unique_table_name(wanted: str, longest: int, taken: Collection[str] = ()) -> str:
    """``wanted``, within ``longest`` bytes, with ``__2``, ``__3``, ... where it is taken.

    A name that is too long the warehouse would cut by itself, without a word, and two tables could
    be one. What is cut here ends in a digest of the whole.
    """
    names = (_within(wanted, longest, f"__{number}" if number > 1 else "") for number in count(1))
    return next(name for name in names if name not in taken)


def backup_sql(rows: TargetRows, backup: BackupTable) -> Sql:
    """Copies the window's rows; on both warehouses a part of the transaction that it runs in."""
    return Sql(
        "CREATE TABLE ",
        backup.table,
        " AS SELECT * FROM ",
        rows.target,
        " WHERE ",
        rows.in_window(),
    )


def create_backup(session: Session, rows: TargetRows) -> tuple[BackupTable, int]:
    """Copies the window's rows to a new table, in the transaction that runs, under the lock.

    Returns:
        The table, and how many rows it has.

    Raises:
        WarehouseError: It cannot be created.
    """
    schema = rows.warehouse.fold(rows.schemas.backup)
    backup = backup_table(rows, information_schema.tables(session, schema))
    session.run(backup_sql(rows, backup))
    ((kept,),) = session.rows(backup.count())
    return backup, kept


def backup_and_delete(session: Session, rows: TargetRows) -> tuple[str, int]:
    """Deletes the window's rows, once they are kept if that is wanted.

    Returns:
        The ledger's text about the backup, empty where none was wanted, and the rows deleted.

    Raises:
        WarehouseError: The warehouse refuses.
        InternalError: Other rows were deleted than were kept.
    """
    if not rows.schemas.backup:
        return "", session.run(rows.delete())
    backup, kept = create_backup(session, rows)
    deleted = session.run(rows.delete())
    if deleted != kept:
        raise InternalError(
            f"{rows.table} was left as it was: {kept} rows were kept in {backup}, but {deleted} "
            "would have been deleted; report this"
        )
    return str(backup), deleted


def backup_only(session: Session, rows: TargetRows) -> tuple[str, int]:
    """Keeps the window's rows, if that is wanted, and deletes none: others are added to them.

    Returns:
        As :func:`backup_and_delete`; no rows are deleted.
    """
    return (str(create_backup(session, rows)[0]) if rows.schemas.backup else ""), 0


def ensure_schema(session: Session, warehouse: Warehouse, schemas: WarehouseSchemas) -> None:
    """Creates the schema of backups where rows are to be kept and it is not there.

    Raises:
        WarehouseError: It cannot be created.
    """
    schema = warehouse.fold(schemas.backup)
    # Looked for first: CREATE asks for the right to create even where there is nothing to do.
    if schema and not information_schema.schema_exists(session, schema):
        session.run(Sql("CREATE SCHEMA IF NOT EXISTS ", Identifier(schema)))


def schema_problems(session: Session, warehouse: Warehouse, schemas: WarehouseSchemas) -> list[str]:
    """What keeps rows from being kept, a sentence each; nothing is changed."""
    schema = warehouse.fold(schemas.backup)
    name = Identifier(schema).sql()
    without = "or set warehouse.backup = false to replace rows without a way back"
    if not schema:
        return []
    if not information_schema.schema_exists(session, schema):
        if information_schema.can_create_schemas(session):
            return []
        return [
            f"there is no schema {schema} for the rows that go, and the user may not create it: "
            f"CREATE SCHEMA {name} and GRANT USAGE, CREATE ON it, {without}"
        ]
    return [
        f"the user may not keep the rows that go in the schema {schema}: GRANT {privilege} ON "
        f"SCHEMA {name}, {without}"
        for privilege in ("USAGE", "CREATE")
        if not information_schema.has_schema_privilege(session, schema, privilege)
    ]


def _within(wanted: str, longest: int, suffix: str) -> str:
    room = longest - len(suffix)
    data = wanted.encode()
    if len(data) <= room:
        return wanted + suffix
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST]
    head = data[: room - _DIGEST - 2].decode(errors="ignore")
    return f"{head}__{digest}{suffix}"


def existing_backups(session: Session, rows: Iterable[ReplayLogRow]) -> frozenset[str]:
    """The backups of ``rows``, as the ledger spells them, that are there."""
    named = {row.backup: BackupTable.parse(row.backup) for row in rows if row.backup}
    there = {
        schema: information_schema.tables(session, schema)
        for schema in {each.schema for each in named.values()}
    }
    return frozenset(text for text, each in named.items() if each.name in there[each.schema])


def backups_before(
    session: Session, warehouse: Warehouse, control: str, moment: datetime
) -> tuple[BackupInfo, ...]:
    """The backups that were made before ``sortable_timestamp`` and are there, the oldest first."""
    rows = [row for row in replay_log_rows(session, control) if row.at < moment]
    there = existing_backups(session, rows)
    old = [(row, BackupTable.parse(row.backup)) for row in rows if row.backup in there]
    sizes = {
        schema: warehouse.table_sizes(session, schema)
        for schema in {each.schema for _, each in old}
    }
    return tuple(
        BackupInfo(
            run_tag=row.run_tag,
            table=row.table,
            backup=row.backup,
            rows=row.deleted,
            size=sizes[each.schema].get(each.name),
            at=row.at,
        )
        for row, each in old
    )


def drop(session: Session, control: str, kept: BackupInfo) -> None:
    """Drops a backup, once no undo is at work on it.

    Raises:
        WarehouseError: The warehouse refuses.
    """
    with session.transaction():
        session.run(replay_log.lock(control))
        session.run(BackupTable.parse(kept.backup).drop())
