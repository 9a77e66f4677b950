"""The replay log: one row for each load or undo of a table, written with the table's rows.

Rows are only added. Of several rows of one run tag and table, the latest one counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.sql import (
    Identifier,
    Literal,
    Placeholder,
    Sql,
    identifiers,
    joined,
    literal_lists,
)
from spade_spark.warehouse.table_lock import TableLock
from spade_spark.window import Window

TABLE_NAME = "replay"
_LOCK_TIMEOUT_MS = 180_000
VERSIONS_TABLE = "table_version"
# The default comes before NOT NULL, as in
# https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html
_TYPES = {
    "run_tag": "VARCHAR(512) NOT NULL",
    "table_name": "VARCHAR(512) NOT NULL",
    "window_start": "TIMESTAMP NOT NULL",
    "window_end": "TIMESTAMP NOT NULL",
    "rows_deleted": "BIGINT NOT NULL",
    "rows_inserted": "BIGINT NOT NULL",
    "manifest_checksum": "VARCHAR(64) NOT NULL",
    "ts": "TIMESTAMP NOT NULL",
    "backup": "VARCHAR(300) DEFAULT '' NOT NULL",
    "fingerprint": "VARCHAR(128) DEFAULT '' NOT NULL",
}
COLUMNS = tuple(_TYPES)
ADDED_COLUMNS = ("backup", "fingerprint")
"""Columns that the first version did not have. They are empty in its rows."""


@dataclass(frozen=True)
class ReplayLogKey:
    """Identifies the rows of one run tag and table.

    Attributes:
        control: The schema of the control tables.
        run_tag: The run tag.
        table: The table's name, as in Blueprint.
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
        """Return the query for the times of the loads, the latest first."""
        return Sql(
            'SELECT "ts" FROM ',
            Identifier(self.control, TABLE_NAME),
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
        """Return the INSERT of a new row. None becomes a placeholder, in a plan.

        Args:
            window: The replaced window.
            checksum: The checksum of the run's manifest.
            deleted: The number of rows deleted.
            inserted: The number of rows inserted.
            ts: The time, UTC.
            backup: The backup of the replaced rows; empty if there is none.
            fingerprint: The fingerprint of the window's rows afterwards.
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
            Identifier(self.control, TABLE_NAME),
            " (",
            identifiers(COLUMNS),
            ") VALUES (",
            *parts[1:],
            ")",
        )


def was_committed(session: Session, lock: TableLock, key: ReplayLogKey, ts: datetime) -> bool:
    """Whether the transaction that wrote the row with the time ``ts`` was committed.

    The lost session holds the lock of its table until its transaction has ended. So this waits for
    the lock, for at most three minutes, before it looks for the row.
    """
    session.run(Sql("SET statement_timeout TO ", Literal(_LOCK_TIMEOUT_MS)))
    with session.rolled_back():
        session.run(lock.lock())
        return (ts,) in session.rows(key.select())


def create(control: str) -> Sql:
    """Return the statement that creates the replay log if it does not exist."""
    return Sql(
        "CREATE TABLE IF NOT EXISTS ",
        Identifier(control, TABLE_NAME),
        " (",
        joined(_definition(column) for column in COLUMNS),
        ")",
    )


def missing_columns(existing: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that a replay log with the columns ``existing`` lacks."""
    present = set(existing)
    return tuple(column for column in COLUMNS if column not in present)


def add_columns(control: str, columns: Iterable[str] = ADDED_COLUMNS) -> tuple[Sql, ...]:
    """Return the statements that add columns that the first version did not have."""
    return tuple(
        Sql("ALTER TABLE ", Identifier(control, TABLE_NAME), " ADD COLUMN ", _definition(column))
        for column in columns
    )


def column_problems(control: str, existing: Iterable[str]) -> list[str]:
    """Say what to do about a replay log that lacks columns."""
    log = f"{control}.{TABLE_NAME}"
    missing = missing_columns(existing)
    if not missing:
        return []
    if set(ADDED_COLUMNS).issuperset(missing):
        statements = "; ".join(map(str, add_columns(control, missing)))
        return [
            f"an older version of spade-spark created {log}; to upgrade it, give --migrate to "
            f"spade-spark replay or undo, or run: {statements}"
        ]
    return [
        f"{log} has no column {', '.join(missing)}, so it is not a replay log: correct "
        "warehouse.control"
    ]


def version(session: Session, control: str, table: str) -> int | None:
    """Return the table's version in the warehouse, the highest one recorded, or None."""
    return versions(session, control, [table]).get(table)


def versions(session: Session, control: str, tables: Iterable[str]) -> dict[str, int]:
    """Return the highest recorded version of each of ``tables`` that has one."""
    found: dict[str, int] = {}
    for names in literal_lists(tables):
        statement = Sql(
            'SELECT "name", MAX("version") FROM ',
            Identifier(control, VERSIONS_TABLE),
            ' WHERE "name" IN ',
            names,
            ' GROUP BY "name"',
        )
        for name, highest in session.rows(statement):
            if highest is not None:
                # A CHAR column pads the names. Comparisons ignore trailing blanks.
                key = name.rstrip(" ")
                found[key] = max(int(highest), found.get(key, int(highest)))
    return found


def _definition(column: str) -> Sql:
    """Return the column's definition for CREATE TABLE and ADD COLUMN."""
    return Sql(Identifier(column), " ", _TYPES[column])
