"""The replay ledger in the warehouse: one row a load or undo of a table, written with the rows.

Rows are only ever added: of several of one run tag and table, the newest tells of what stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import Identifier, Literal, Placeholder, Sql, identifiers, joined
from spade_spark.window import Window

NAME = "replay"
_LOCK_TIMEOUT_MS = 180_000
VERSIONS = "table_version"
_TYPES = {
    "run_tag": "VARCHAR(512) NOT NULL",
    "table_name": "VARCHAR(512) NOT NULL",
    "window_start": "TIMESTAMP NOT NULL",
    "window_end": "TIMESTAMP NOT NULL",
    "rows_deleted": "BIGINT NOT NULL",
    "rows_inserted": "BIGINT NOT NULL",
    "manifest_checksum": "VARCHAR(64) NOT NULL",
    "ts": "TIMESTAMP NOT NULL",
    "backup": "VARCHAR(300) NOT NULL DEFAULT ''",
    "fingerprint": "VARCHAR(128) NOT NULL DEFAULT ''",
}
COLUMNS = tuple(_TYPES)
ADDED = ("backup", "fingerprint")
"""Columns that the first ledgers did not have. Empty: nothing was kept, nothing is known."""


@dataclass(frozen=True)
class ReplayLogKey:
    """What identifies rows of the ledger.

    Attributes:
        control: The schema of the control tables.
        run_tag: The run that was loaded.
        table: The table that it was loaded into.
    """

    control: str
    run_tag: str
    table: str

    def _where(self) -> Sql:
        return Sql(
            ' WHERE "run_tag" = ',
            Literal(self.run_tag),
            ' AND "table_name" = ',
            Literal(self.table),
        )

    def select(self) -> Sql:
        """When the run was loaded into the table, the newest first; no rows where it was not."""
        return Sql(
            'SELECT "ts" FROM ',
            Identifier(self.control, NAME),
            self._where(),
            ' ORDER BY "ts" DESC',
        )

    def insert(
        self,
        window: Window,
        checksum: str,
        *,
        deleted: int | None = None,
        inserted: int | None = None,
        ts: datetime | None = None,
        backup: str = "",
        fingerprint: str | None = "",
    ) -> Sql:
        """The new row; figures that are not known yet (None) make it one for plans only.

        Args:
            window: What was replaced.
            checksum: Of the run's manifest.
            deleted: Rows deleted.
            inserted: Rows inserted.
            ts: When, UTC.
            backup: Where the rows that went are kept; empty for nowhere.
            fingerprint: Of the window's rows as they are from now on.
        """
        values = [
            Literal(self.run_tag),
            Literal(self.table),
            Literal(window.wall_start),
            Literal(window.wall_end),
            Placeholder("rows_deleted") if deleted is None else Literal(deleted),
            Placeholder("rows_inserted") if inserted is None else Literal(inserted),
            Literal(checksum),
            Placeholder("ts") if ts is None else Literal(ts),
            Literal(backup),
            Placeholder("fingerprint") if fingerprint is None else Literal(fingerprint),
        ]
        parts: list[str | Literal | Placeholder] = []
        for value in values:
            parts += [", ", value]
        return Sql(
            "INSERT INTO ",
            Identifier(self.control, NAME),
            " (",
            identifiers(COLUMNS),
            ") VALUES (",
            *parts[1:],
            ")",
        )


def lock(control: str) -> Sql:
    """Locks the ledger until the transaction ends; whoever replaces rows waits here."""
    return Sql("LOCK TABLE ", Identifier(control, NAME))


def was_committed(session: Session, entry: ReplayLogKey, ts: datetime) -> bool:
    """Whether the try that gave its row the time ``ts`` was committed.

    The lost session's transaction holds the ledger's lock until it has ended, one way or the
    other: whoever gets the lock sees how it ended. The wait for it is limited to
    three minutes.
    """
    session.run(Sql("SET statement_timeout TO ", Literal(_LOCK_TIMEOUT_MS)))
    with session.rolled_back():
        session.run(lock(entry.control))
        return (ts,) in session.rows(entry.select())


def create(control: str) -> Sql:
    """Creates the ledger where it is not there."""
    return Sql(
        "CREATE TABLE IF NOT EXISTS ",
        Identifier(control, NAME),
        " (",
        joined(_definition(column) for column in COLUMNS),
        ")",
    )


def add_columns(control: str) -> tuple[Sql, ...]:
    """Brings a ledger of the first form up to date."""
    return tuple(
        Sql("ALTER TABLE ", Identifier(control, NAME), " ADD COLUMN ", _definition(column))
        for column in ADDED
    )


def version(session: Session, control: str, table: str) -> int | None:
    """The table's version in the warehouse: the highest of its name; None where it has none."""
    statement = Sql(
        'SELECT MAX("version") FROM ',
        Identifier(control, VERSIONS),
        ' WHERE "name" = ',
        Literal(table),
    )
    ((highest,),) = session.rows(statement)
    return None if highest is None else int(highest)


def _definition(column: str) -> Sql:
    """A column as CREATE TABLE and ADD COLUMN take it."""
    return Sql(Identifier(column), f" {_TYPES[column]}")
