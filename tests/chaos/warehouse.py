"""The warehouse, through the wire-protocol server: whatever it can do to a load or an undo.

Loads of a run that was made before, undos of a load, and a quarantine tried again whose rows are
made: no transform is in the way, so that hundreds of trials fit.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.chaos.baselines import LOADED, MADE, Command, Known, settle
from tests.chaos.fixtures import TABLES, WINDOW
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import Trial, trial

_WRITES = "CREATE|COPY|INSERT|DELETE|COMMIT"
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

# What somebody does to rows of a window that a load has replaced, and what undoes it.
_CHANGED = (
    (
        "INSERT INTO physical.login VALUES ('2017-11-03 10:20:00', 'stranger', 1)",
        "DELETE FROM physical.login WHERE who = 'stranger'",
    ),
    (
        "UPDATE physical.login SET n = n + 1000000 WHERE who = 'ann'",
        "UPDATE physical.login SET n = n - 1000000 WHERE who = 'ann'",
    ),
    (
        "CREATE TABLE away AS SELECT * FROM physical.login WHERE who = 'ann'; "
        "DELETE FROM physical.login WHERE who = 'ann'",
        "INSERT INTO physical.login SELECT * FROM away; DROP TABLE away",
    ),
    (
        "UPDATE physical.login SET who = NULL WHERE who = 'ann'",
        "UPDATE physical.login SET who = 'ann' WHERE who IS NULL",
    ),
)
_SECONDS = {"load": 1.5, "undo": 0.7, "replay --from-quarantine": 2.3}  # of one trial, roughly
_BEFORE_THE_UNDO = ("version", "^LOCK TABLE")


def experiments(known: Known, dice: random.Random) -> Iterator[Experiment]:
    """All that is done to the warehouse."""
    for command in (known.load, known.undo, known.again):
        yield _at_each_statement(known, command, "1023 at each statement", "refuse")
        yield _at_each_statement(
            known, command, "connection dropped before each statement", "drop_before"
        )
        yield _at_each_statement(known, command, "reply lost after each statement", "drop_after")
        yield _late_commits(known, command, dice)
        name = "disk full at each write statement"
        yield _at_each_statement(known, command, name, "refuse", only=_WRITES, **_DISK_FULL)
    yield _meanwhile(known, "load: a privilege revoked after the plan", _TAKEN)
    yield _meanwhile(known, "load: a table altered after the plan", _ALTERED)
    yield _load_errors(known)
    yield _changed_since(known)
    yield _no_longer_there(known)


def _disturbed(
    known: Known, command: Command, disturb: Callable[[Trial], None], mend: str = ""
) -> str:
    """A command that is disturbed."""
    with command.trial() as run:
        disturb(run)
        ended = run.here(*command.more)
        if mend:
            run.scene.sql(mend, run.url)
        return settle(run, known, ended, *command.more)


@dataclass(frozen=True)
class _Fault:
    """The stand-in is told to fail at a statement."""

    statement: str
    action: str
    how: Mapping[str, Any]

    def __call__(self, run: Trial) -> None:
        run.redshift.inject(self.statement, self.action, **self.how)


@dataclass(frozen=True)
class _Change:
    """What somebody else does to the warehouse right before a statement."""

    statement: str
    sql: str

    def __call__(self, run: Trial) -> None:
        def change() -> None:
            run.scene.sql(self.sql, run.url)

        run.redshift.inject(self.statement, "call", function=change)


def _at_each_statement(
    known: Known, command: Command, name: str, action: str, only: str = "", **how: str
) -> Experiment:
    return Experiment(
        f"{command.name}: {name}",
        tuple(
            Case(
                f"{number}: {statement[:60]}",
                partial(_disturbed, known, command, _Fault("", action, {**how, "skip": number})),
            )
            for number, statement in enumerate(command.course.statements)
            if re.match(only, statement)
        ),
        seconds=_SECONDS[command.name],
    )


def _late_commits(known: Known, command: Command, dice: random.Random) -> Experiment:
    """The connection drops at a commit, which goes through only while it is looked for."""
    commits = sum(each == "COMMIT" for each in command.course.statements)

    def case(number: int, seconds: float) -> Case:
        fault = _Fault("^COMMIT", "drop_then_run", {"skip": number, "seconds": seconds})
        name = f"commit {number}, {seconds:.1f} s late"
        return Case(name, partial(_disturbed, known, command, fault))

    return Experiment(
        f"{command.name}: late commit with a lost reply",
        tuple(case(number, dice.uniform(0, 1.5)) for number in range(commits) for _ in range(3)),
    )


def _meanwhile(known: Known, name: str, changes: tuple[tuple[str, str], ...]) -> Experiment:
    return Experiment(
        name,
        tuple(
            Case(
                f"{change} before {moment}",
                partial(_disturbed, known, known.load, _Change(moment, change), undo),
            )
            for change, undo in changes
            for moment in _MOMENTS
            if not (moment == _MOMENTS[0] and "infra.replay" in change)  # it is not there yet
        ),
        seconds=1.0,
    )


def _load_errors(known: Known) -> Experiment:
    """One of the five tables has a column that is too small for the new rows."""

    def run(table: str) -> str:
        with trial(known.scene, MADE) as load:
            load.scene.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE smallint", load.url)
            ended = load.here("--skip-transform")
            assert ended.status == 1
            assert "COPY rejected values" in ended.said
            now = load.rows()
            others = [each for each in TABLES if each != table]
            assert all(now[each] == known.right[each] for each in others), ended.said
            load.scene.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE int", load.url)
            return settle(load, known, ended, "--skip-transform")

    return Experiment(
        "load: a load error in one of five tables",
        tuple(Case(table, partial(run, table)) for table in TABLES),
    )


def _changed_since(known: Known) -> Experiment:
    """Somebody changed rows after the load: they are not undone until that is mended."""

    def run(moment: str, change: str, mend: str) -> str:
        with known.undo.trial() as undo:
            _Change(moment, change)(undo)
            ended = undo.here(*known.undo.more)
            assert ended.status == 1, ended.said
            assert "was changed since" in ended.said
            undo.scene.sql(mend, undo.url)
            return settle(undo, known, ended, *known.undo.more)

    return Experiment(
        "undo: rows changed since the load",
        tuple(
            Case(f"{change} before {moment}", partial(run, moment, change, mend))
            for change, mend in _CHANGED
            for moment in _BEFORE_THE_UNDO
        ),
        seconds=1.0,
    )


def _no_longer_there(known: Known) -> Experiment:
    """The load that rows are added to was undone, or its window replaced: nothing is added."""

    def run(*other: str) -> str:
        with known.again.trial() as again:
            command = again.command
            again.command = other
            done = again.here()
            assert done.status == 0, done.said
            again.command, before, ledger = command, again.rows(), again.ledger()
            for _ in range(2):
                ended = again.here(*known.again.more)
                assert ended.status == 1, ended.said
                assert again.rows() == before, "added to a load that does not stand"
                assert again.ledger() == ledger
            return f"exit status {ended.status}, tables untouched"

    others = {
        "it was undone": ("undo", MADE, "--min-rows-ratio", "0"),
        "its window was replaced": ("replay", *WINDOW, *LOADED, "--runtag", "another"),
    }
    return Experiment(
        "replay --from-quarantine: the load was undone or replaced",
        tuple(Case(name, partial(run, *other)) for name, other in others.items()),
        seconds=1.0,
    )
