"""Warehouse faults, injected by the fake Redshift: errors, lost connections, concurrent changes.

The commands are the load of a complete run, the undo of a load, and a quarantine replay whose rows
are already written. None of them runs a transform, so there is time for hundreds of trials.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tests.chaos import parallel
from tests.chaos.baselines import BASELINE_TAG, LOADED_TABLES, Baselines, Command, check_recovery
from tests.chaos.fixtures import TABLES, WINDOW
from tests.chaos.runner import Case, Experiment
from tests.chaos.trial import Trial, trial
from tests.support.redshift import CONFLICTS, Isolation

_WRITES = "CREATE|COPY|INSERT|DELETE|COMMIT"
_DISK_FULL = {"sqlstate": "53100", "message": "Disk Full", "detail": ""}

# Each change has a statement that reverts it.
_REVOKED = (
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

# Changes to rows of a loaded window. Each has a statement that reverts it.
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
_SECONDS = {
    "load": 1.5,
    "undo": 0.7,
    "replay --from-quarantine": 2.3,
}  # approximate time of one trial
_UNDO_MOMENTS = ("version", "^LOCK TABLE")


_CONFLICT = {
    Isolation.SERIALIZABLE: "1023",
    Isolation.SNAPSHOT: "conflict with concurrent transaction",
}
"""The error that a command meets at each statement, by the isolation level."""


def experiments(baselines: Baselines, rng: random.Random) -> Iterator[Experiment]:
    """All warehouse experiments, in both isolation levels."""
    for isolation in (Isolation.SERIALIZABLE, Isolation.SNAPSHOT):
        for experiment in _experiments(baselines.with_isolation(isolation), rng):
            yield replace(experiment, name=f"{experiment.name}, {isolation.name}")


def _experiments(baselines: Baselines, rng: random.Random) -> Iterator[Experiment]:
    conflict = _CONFLICT[baselines.env.isolation]
    for command in (baselines.load, baselines.undo, baselines.quarantine_replay):
        yield _at_each_statement(
            baselines, command, f"{conflict} at each statement", "refuse", **CONFLICTS[conflict]
        )
        yield _at_each_statement(
            baselines, command, "connection dropped before each statement", "drop_before"
        )
        yield _at_each_statement(
            baselines, command, "reply lost after each statement", "drop_after"
        )
        yield _late_commits(baselines, command, rng)
        name = "disk full at each write statement"
        yield _at_each_statement(baselines, command, name, "refuse", only=_WRITES, **_DISK_FULL)
    yield _changes_after_plan(baselines, "load: a privilege revoked after the plan", _REVOKED)
    yield _changes_after_plan(baselines, "load: a table altered after the plan", _ALTERED)
    yield _load_errors(baselines)
    yield _rows_changed(baselines)
    yield _load_superseded(baselines)
    yield from parallel.experiments(baselines, rng)


def _run_with_fault(
    baselines: Baselines, command: Command, inject: Callable[[Trial], None], revert: str = ""
) -> str:
    """Inject a fault into a command. ``revert`` repairs the warehouse before the second run."""
    with command.trial() as run:
        inject(run)
        result = run.run_in_process(*command.options)
        if revert:
            run.env.sql(revert, run.url)
        return check_recovery(run, baselines, result, *command.options)


@dataclass(frozen=True)
class _Fault:
    """A fault of the fake Redshift at a statement."""

    statement: str
    action: str
    options: Mapping[str, Any]

    def __call__(self, run: Trial) -> None:
        run.redshift.inject(self.statement, self.action, **self.options)


@dataclass(frozen=True)
class _Change:
    """A change of the warehouse by another session, right before a statement."""

    statement: str
    sql: str

    def __call__(self, run: Trial) -> None:
        def change() -> None:
            run.env.sql(self.sql, run.url)

        run.redshift.inject(self.statement, "call", function=change)


def _at_each_statement(
    baselines: Baselines, command: Command, name: str, action: str, only: str = "", **options: str
) -> Experiment:
    return Experiment(
        f"{command.name}: {name}",
        tuple(
            Case(
                f"{number}: {statement[:60]}",
                partial(
                    _run_with_fault,
                    baselines,
                    command,
                    _Fault("", action, {**options, "skip": number}),
                ),
            )
            for number, statement in enumerate(command.trace.statements)
            if re.match(only, statement)
        ),
        seconds=_SECONDS[command.name],
    )


def _late_commits(baselines: Baselines, command: Command, rng: random.Random) -> Experiment:
    """The connection drops at a COMMIT that takes effect later, while the program checks for it."""
    commits = sum(statement == "COMMIT" for statement in command.trace.statements)

    def case(number: int, seconds: float) -> Case:
        fault = _Fault("^COMMIT", "drop_then_run", {"skip": number, "seconds": seconds})
        name = f"commit {number}, {seconds:.1f} s late"
        return Case(name, partial(_run_with_fault, baselines, command, fault))

    return Experiment(
        f"{command.name}: late commit with a lost reply",
        tuple(case(number, rng.uniform(0, 1.5)) for number in range(commits) for _ in range(3)),
    )


def _changes_after_plan(
    baselines: Baselines, name: str, changes: tuple[tuple[str, str], ...]
) -> Experiment:
    return Experiment(
        name,
        tuple(
            Case(
                f"{change} before {moment}",
                partial(
                    _run_with_fault, baselines, baselines.load, _Change(moment, change), revert
                ),
            )
            for change, revert in changes
            for moment in _MOMENTS
            # Before the first moment, infra.replay does not exist yet.
            if not (moment == _MOMENTS[0] and "infra.replay" in change)
        ),
        seconds=1.0,
    )


def _load_errors(baselines: Baselines) -> Experiment:
    """A column of one of the five tables is too small for the new rows."""

    def run(table: str) -> str:
        with trial(baselines.env, BASELINE_TAG) as load:
            load.env.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE smallint", load.url)
            result = load.run_in_process("--skip-transform")
            assert result.status == 1
            assert "COPY rejected values" in result.output
            rows = load.rows()
            others = [name for name in TABLES if name != table]
            assert all(rows[name] == baselines.after[name] for name in others), result.output
            load.env.sql(f"ALTER TABLE physical.{table} ALTER COLUMN n TYPE int", load.url)
            return check_recovery(load, baselines, result, "--skip-transform")

    return Experiment(
        "load: a load error in one of five tables",
        tuple(Case(table, partial(run, table)) for table in TABLES),
    )


def _rows_changed(baselines: Baselines) -> Experiment:
    """Rows were changed after the load: undo is refused until the change is reverted."""

    def run(moment: str, change: str, revert: str) -> str:
        with baselines.undo.trial() as undo:
            _Change(moment, change)(undo)
            result = undo.run_in_process(*baselines.undo.options)
            assert result.status == 1, result.output
            assert "was changed after" in result.output
            undo.env.sql(revert, undo.url)
            return check_recovery(undo, baselines, result, *baselines.undo.options)

    return Experiment(
        "undo: rows changed since the load",
        tuple(
            Case(f"{change} before {moment}", partial(run, moment, change, revert))
            for change, revert in _CHANGED
            for moment in _UNDO_MOMENTS
        ),
        seconds=1.0,
    )


def _load_superseded(baselines: Baselines) -> Experiment:
    """The load was undone, or its window was replaced: no quarantined rows are appended."""

    def run(*other: str) -> str:
        with baselines.quarantine_replay.trial() as trial:
            command = trial.command
            trial.command = other
            other_result = trial.run_in_process()
            assert other_result.status == 0, other_result.output
            trial.command, before, log = command, trial.rows(), trial.replay_log()
            for _ in range(2):
                result = trial.run_in_process(*baselines.quarantine_replay.options)
                assert result.status == 1, result.output
                assert trial.rows() == before, "rows were appended to a superseded load"
                assert trial.replay_log() == log
            return f"exit status {result.status}, no table changed"

    others = {
        "it was undone": ("undo", BASELINE_TAG, "--min-rows-ratio", "0"),
        "its window was replaced": ("replay", *WINDOW, *LOADED_TABLES, "--runtag", "another"),
    }
    return Experiment(
        "replay --from-quarantine: the load was undone or replaced",
        tuple(Case(name, partial(run, *other)) for name, other in others.items()),
        seconds=1.0,
    )
