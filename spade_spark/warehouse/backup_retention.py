"""The backups that are there, by what the replay ledger says of them, and the end of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from spade_spark.runs.load_results import BackupInfo
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.backup import BackupTable
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.load_history import ReplayLogRow, replay_log_rows


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
