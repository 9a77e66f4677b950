"""The warehouse, through the wire-protocol server: whatever it can do to a load.

Loads of a run that was made before, so that hundreds of them fit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.chaos.scene import TABLES
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import LOAD, LOADED, Known, Trial, settle, trial

_DISK_FULL = {"sqlstate": "53100", "message": "Disk Full", "detail": ""}

# What is done, and what undoes it.
_TAKEN = (
    ("REVOKE INSERT ON physical.login FROM loader", "GRANT INSERT ON physical.login TO loader"),
    ("REVOKE DELETE ON physical.login FROM loader", "GRANT DELETE ON physical.login TO loader"),
    ("REVOKE SELECT ON physical.login FROM loader", "GRANT SELECT ON physical.login TO loader"),
    ("REVOKE USAGE ON SCHEMA physical FROM loader", "GRANT USAGE ON SCHEMA physical TO loader"),
    ("REVOKE USAGE ON SCHEMA infra FROM loader", "GRANT USAGE ON SCHEMA infra TO loader"),
    ("REVOKE ALL ON infra.replay FROM loader", "GRANT ALL ON infra.replay TO loader"),
)
_ALTERED = (
    (
        "ALTER TABLE physical.login RENAME COLUMN who TO whom",
        "ALTER TABLE physical.login RENAME COLUMN whom TO who",
    ),
    (
        "ALTER TABLE physical.login RENAME COLUMN time TO at",
        "ALTER TABLE physical.login RENAME COLUMN at TO time",
    ),
    (
        "ALTER TABLE physical.login RENAME TO logins",
        "ALTER TABLE physical.logins RENAME TO login",
    ),
    (
        "ALTER TABLE physical.login ALTER COLUMN n TYPE smallint",
        "ALTER TABLE physical.login ALTER COLUMN n TYPE int",
    ),
    (
        "ALTER TABLE physical.login ADD COLUMN must int NOT NULL DEFAULT 0; "
        "ALTER TABLE physical.login ALTER COLUMN must DROP DEFAULT",
        "ALTER TABLE physical.login DROP COLUMN must",
    ),
    (
        "ALTER TABLE physical.login ADD COLUMN may int",
        "ALTER TABLE physical.login DROP COLUMN may",
    ),
    (
        "INSERT INTO infra.table_version VALUES ('login', 2, '2018-01-01')",
        "DELETE FROM infra.table_version WHERE version = 2",
    ),
)
_MOMENTS = ("^CREATE TABLE IF NOT", "^CREATE TEMP TABLE", "^COPY", "^LOCK TABLE")


def experiments(known: Known, dice: random.Random) -> Iterator[Experiment]:
    """All that is done to the warehouse."""
    yield _at_each_statement(known, "1023 at each statement", "refuse")
    yield _at_each_statement(known, "connection dropped before each statement", "drop_before")
    yield _at_each_statement(known, "answer lost after each statement", "drop_after")
    yield _late_commits(known, dice)
    yield _at_each_statement(known, "disk full at each statement", "refuse", **_DISK_FULL)
    yield _meanwhile(known, "a permission taken away after the plan", _TAKEN)
    yield _meanwhile(known, "a table altered after the plan", _ALTERED)
    yield _load_errors(known)


def _load(known: Known, disturb: Callable[[Trial], None], mend: str = "") -> str:
    """A load that is disturbed."""
    with trial(known.scene, known.made, words=LOADED) as load:
        disturb(load)
        ended = load.here(*LOAD)
        if mend:
            load.scene.sql(mend, load.url)
        return settle(load, known, ended, *LOAD)


@dataclass(frozen=True)
class _Fault:
    """The stand-in is told to fail at a statement."""

    statement: str
    action: str
    how: Mapping[str, Any]

    def __call__(self, load: Trial) -> None:
        load.redshift.inject(self.statement, self.action, **self.how)


@dataclass(frozen=True)
class _Change:
    """What somebody else does to the warehouse right before a statement."""

    statement: str
    sql: str

    def __call__(self, load: Trial) -> None:
        def change() -> None:
            load.scene.sql(self.sql, load.url)

        load.redshift.inject(self.statement, "call", function=change)


def _at_each_statement(known: Known, name: str, action: str, **how: str) -> Experiment:
    return Experiment(
        name,
        tuple(
            Case(
                f"{number}: {statement[:60]}",
                partial(_load, known, _Fault("", action, {**how, "skip": number})),
            )
            for number, statement in enumerate(known.load)
        ),
    )


def _late_commits(known: Known, dice: random.Random) -> Experiment:
    """The connection drops at a commit, which goes through only while it is looked for."""
    commits = [number for number, each in enumerate(known.load) if each == "COMMIT"]
    return Experiment(
        "a commit that goes through late, its answer lost",
        tuple(
            Case(
                f"commit {number}, {seconds:.1f} s late",
                partial(
                    _load,
                    known,
                    _Fault("^COMMIT", "drop_then_run", {"skip": number, "seconds": seconds}),
                ),
            )
            for number in range(len(commits))
            for seconds in (dice.uniform(0, 1.5) for _ in range(3))
        ),
    )


def _meanwhile(known: Known, name: str, changes: tuple[tuple[str, str], ...]) -> Experiment:
    return Experiment(
        name,
        tuple(
            Case(f"{change} before {moment}", partial(_load, known, _Change(moment, change), undo))
            for change, undo in changes
            for moment in _MOMENTS
            if not (moment == _MOMENTS[0] and "infra.replay" in change)  # it is not there yet
        ),
    )


def _load_errors(known: Known) -> Experiment:
    """One of the five tables has a column that is too small for the new rows."""

    def run(table: str) -> str:
        with trial(known.scene, known.made) as load:
            load.scene.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE smallint", load.url)
            ended = load.here("--skip-transform")
            assert ended.status == 1
            assert "COPY refused values" in ended.said
            now = load.rows()
            others = [each for each in TABLES if each != table]
            assert all(now[each] == known.right[each] for each in others), ended.said
            load.scene.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE int", load.url)
            return settle(load, known, ended, "--skip-transform")

    return Experiment(
        "a load error in one of five tables",
        tuple(Case(table, partial(run, table)) for table in TABLES),
    )
