"""Create what a load or an undo needs beside its tables, if it does not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spade_spark.errors import WarehouseError
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.retry_policies import PREFLIGHT_RETRIES
from spade_spark.warehouse.sql import Identifier, Sql
from spade_spark.warehouse.table_lock import TableLock, table_lock
from spade_spark.warehouse.target_rows import WarehouseSchemas


def ensure_control_objects(
    warehouse: Warehouse, schemas: WarehouseSchemas, tables: Iterable[str]
) -> None:
    """Create the replay log, the tables' lock tables and the schema of backups, where missing.

    Raises:
        WarehouseError: They cannot be created.
    """
    control = schemas.control
    locks = [table_lock(warehouse, control, table) for table in tables]
    with Session(warehouse.connection_info) as session:
        existing = information_schema.tables(session, control)
        if replay_log.TABLE_NAME not in existing:
            _create_table(session, control, replay_log.TABLE_NAME, replay_log.create(control))
        for lock in locks:
            if lock.name not in existing:
                _create_table(session, control, lock.name, lock.create())
        _ensure_backup_schema(session, warehouse, schemas)


def migrate_replay_log(warehouse: Warehouse, control: str) -> tuple[Sql, ...]:
    """Add the columns that the replay log of an older version lacks.

    Returns:
        The statements that were run; none if nothing is missing or the log does not exist.

    Raises:
        WarehouseError: A column cannot be added.
        TransientError: All attempts failed. The same command can be run again.
    """

    def migrate() -> tuple[Sql, ...]:
        # Read again at each attempt: a lost connection may have added a column.
        with Session(warehouse.connection_info) as session:
            columns = information_schema.columns(session, control, replay_log.TABLE_NAME)
            missing = replay_log.missing_columns(column.name for column in columns)
            if not columns or not set(replay_log.ADDED_COLUMNS).issuperset(missing):
                return ()  # reported by the preflight
            statements = replay_log.add_columns(control, missing)
            for statement in statements:
                session.run(statement)
            return statements

    try:
        return PREFLIGHT_RETRIES.call(migrate)
    except StatementError as error:
        raise WarehouseError(
            f"the replay log {control}.{replay_log.TABLE_NAME} cannot be upgraded: {error}; have "
            "the owner of the table run this statement"
        ) from None


def ensure_lock_table(session: Session, lock: TableLock) -> None:
    """Create a lock table if it does not exist.

    Raises:
        WarehouseError: It cannot be created.
    """
    if lock.name not in information_schema.tables(session, lock.control):
        _create_table(session, lock.control, lock.name, lock.create())


def _create_table(session: Session, schema: str, name: str, statement: Sql) -> None:
    _create(session, statement, lambda: name in information_schema.tables(session, schema))


def _ensure_backup_schema(
    session: Session, warehouse: Warehouse, schemas: WarehouseSchemas
) -> None:
    """Create the schema of the backups if backups are enabled and it does not exist."""
    schema = warehouse.fold(schemas.backup)
    if schema and not information_schema.schema_exists(session, schema):
        statement = Sql("CREATE SCHEMA IF NOT EXISTS ", Identifier(schema))
        _create(session, statement, lambda: information_schema.schema_exists(session, schema))


def _create(session: Session, statement: Sql, exists: Callable[[], bool]) -> None:
    """Create an object that did not exist; another session may create it at the same time.

    The caller has checked, because CREATE ... IF NOT EXISTS requires the privilege even if it
    creates nothing. On PostgreSQL, it can also fail if another session creates the object now.

    Raises:
        WarehouseError: It cannot be created.
    """
    try:
        session.run(statement)
    except StatementError:
        if not exists():
            raise
