"""Baselines: the results of commands without faults, and the check of each trial against them.

After a command with a fault, each table has either its old rows or exactly the rows of the
baseline. The replay log and the audit counts are consistent, and a backup has the deleted rows.
After the same command runs again without faults, all tables are correct and the exit status is 0.
A trial returns how the first command ended, and raises AssertionError if a check fails.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.fixtures import TABLES, ChaosEnvironment, Tables, in_order
from tests.chaos.state_diff import ExpectedChange
from tests.chaos.trial import ON_THREADS, CommandResult, Trial, check_run, trial
from tests.support import edge_logs
from tests.support.redshift import Isolation

BASELINE_TAG = "undisturbed"
"""The run tag of the replay without faults. Trials of loads use its files."""

PARALLEL_TAG = "parallel"
"""The run tag of a second replay without faults, which writes to another place."""

LOADED_TABLES = ("login", "chat")
"""The tables that load trials replace, undo trials restore, and quarantine trials append to."""

SEQUENTIAL = ("--poolsize", "1")
"""Load one table after the other, so that the order of the statements is always the same."""

_AFTER_LOAD = "chaos_loaded"


@dataclass(frozen=True)
class CommandTrace:
    """What a command does without faults.

    Attributes:
        requests: Its requests to S3, in order.
        statements: Its SQL statements, in order.
        seconds: Its duration.
    """

    requests: tuple[str, ...]
    statements: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Command:
    """A command for trials to inject faults into.

    Attributes:
        name: Its name in experiments.
        env: The shared servers and data.
        tag: Its run tag.
        trial_options: Arguments of :func:`tests.chaos.trial.trial`.
        options: Additional command-line options.
        trace: What it does without faults.
    """

    name: str
    env: ChaosEnvironment
    tag: str
    trial_options: Mapping[str, Any]
    options: tuple[str, ...] = ()
    trace: CommandTrace = field(default_factory=lambda: CommandTrace((), (), 0.0))

    def trial(self) -> AbstractContextManager[Trial]:
        return trial(self.env, self.tag, **self.trial_options)


@dataclass(frozen=True)
class Baselines:
    """The results of the commands without faults.

    Attributes:
        env: The shared servers and data.
        before: The tables before a replay.
        after: The tables after a replay of all tables.
        replay_trace: What the replay of all tables does.
        load: The load of :data:`LOADED_TABLES` without a transform.
        undo: The undo of that load.
        quarantine_replay: A replay of the run's quarantine after that load.
    """

    env: ChaosEnvironment
    before: Tables
    after: Tables
    replay_trace: CommandTrace
    load: Command
    undo: Command
    quarantine_replay: Command

    def with_isolation(self, isolation: Isolation) -> Baselines:
        """The same commands on warehouses with another isolation level."""
        env = replace(self.env, isolation=isolation)
        return replace(
            self,
            env=env,
            load=replace(self.load, env=env),
            undo=replace(self.undo, env=env),
            quarantine_replay=replace(self.quarantine_replay, env=env),
        )

    def replay(self, tables: Sequence[str] = TABLES) -> ExpectedChange:
        """How a replay of some tables should change the warehouse."""
        return _expected_change(self.before, self.after, tables)


def record_baselines(env: ChaosEnvironment) -> Baselines:
    """Run all commands that experiments use, without faults."""
    with trial(env, BASELINE_TAG) as run:
        before = run.rows()
        started = time.monotonic()
        result = run.run_subprocess()
        replay_trace = _trace(run, started)
        assert result.status == 0, result.output
        after = run.rows()
        assert all(after[table] != before[table] for table in TABLES)
        run.check_tables(ExpectedChange(before, after))
    with trial(env, PARALLEL_TAG, tables=LOADED_TABLES, environ=parallel_output(env)) as run:
        result = run.run_subprocess(command=ON_THREADS)
        assert result.status == 0, result.output
    repaired = _repair_quarantine(env)
    loading = _expected_change(before, after, LOADED_TABLES)
    load = Command(
        "load",
        env,
        BASELINE_TAG,
        {"tables": LOADED_TABLES, "change": loading},
        ("--skip-transform", *SEQUENTIAL),
    )
    undo = Command(
        "undo",
        env,
        f"undo-{BASELINE_TAG}",
        {
            "template": _AFTER_LOAD,
            "command": ("undo", BASELINE_TAG),
            "change": ExpectedChange(loading.after, before),
        },
        (*SEQUENTIAL, "--min-rows-ratio", "0"),  # it restores only 3 rows per table
    )
    appended = {table: in_order([*loading.after[table], *repaired[table]]) for table in TABLES}
    quarantine_replay = Command(
        "replay --from-quarantine",
        env,
        f"{BASELINE_TAG}.quarantine",
        {
            "template": _AFTER_LOAD,
            "command": ("replay", "--from-quarantine", BASELINE_TAG),
            "change": ExpectedChange(loading.after, appended, adds=True),
        },
        SEQUENTIAL,
    )
    return Baselines(
        env,
        before,
        after,
        replay_trace,
        _with_trace(load, template=_AFTER_LOAD),
        _with_trace(undo),
        _with_trace(quarantine_replay),
    )


def parallel_output(env: ChaosEnvironment) -> dict[str, str]:
    """The setting that moves a run to another place, where it does not see the leases of others."""
    return {"SPADE_OUTPUT__BASE": f"s3://{env.bucket}/parallel/"}


def check_recovery(trial: Trial, baselines: Baselines, result: CommandResult, *options: str) -> str:
    """Check the tables after a fault, run the command again without faults, and check once more.

    Args:
        trial: The trial.
        baselines: The results of commands without faults.
        result: How the command with the fault ended.
        options: Additional options of the second run.

    Returns:
        A short description of how the command with the fault ended.
    """
    trial.clear_faults()
    change = trial.change or baselines.replay(trial.tables)
    changed = trial.check_tables(change)
    assert result.status != 0 or changed == change.tables, (
        "exit status 0, but not all tables changed"
    )
    second = trial.run_in_process(*options)
    assert trial.check_tables(change) == change.tables, f"second run: {second.output}"
    assert second.status == 0, f"second run: {second.output}"
    ending = {0: "done", -9: "killed"}.get(result.status, f"exit status {result.status}")
    if not changed:
        return f"{ending}, no table changed"
    return f"{ending}, correct" if changed == change.tables else f"{ending}, partly done"


def _with_trace(command: Command, template: str = "") -> Command:
    """Run a command without faults and record its trace.

    Args:
        command: The command.
        template: Save the resulting warehouse as a template of this name.
    """
    with command.trial() as run:
        started = time.monotonic()
        result = run.run_in_process(*command.options)
        trace = _trace(run, started)
        assert result.status == 0, result.output
        assert run.change is not None
        changed = run.check_tables(run.change)
        assert changed == run.change.tables == set(LOADED_TABLES), result.output
        if template:
            run.env.save_template(run.url, template)
    return replace(command, trace=trace)


def _trace(run: Trial, started: float) -> CommandTrace:
    seconds = time.monotonic() - started
    return CommandTrace(tuple(run.s3.requests), tuple(run.redshift.statements), seconds)


def _expected_change(before: Tables, after: Tables, tables: Sequence[str]) -> ExpectedChange:
    replayed = set(tables) & set(TABLES) or set(TABLES)
    return ExpectedChange(
        before, {table: (after if table in replayed else before)[table] for table in TABLES}
    )


def _repair_quarantine(env: ChaosEnvironment) -> Tables:
    """Make all quarantined records decodable, except the last one of each file.

    Trials of ``--from-quarantine`` then have rows to load, as after a fix of the decoder.

    Returns:
        The rows of the repaired records.
    """
    manifest = check_run(env, BASELINE_TAG)
    assert manifest is not None
    rows: Tables = {table: [] for table in TABLES}
    number = 0
    for file in manifest.quarantine:
        *malformed, last = gzip.decompress(env.store.read(f"out/{file.key}")).splitlines()
        lines = []
        for line in malformed:
            table = LOADED_TABLES[number % len(LOADED_TABLES)]
            properties = {"who": "repaired", "n": number}
            repaired = edge_logs.record(table, properties, "2017-11-03T17:30:00Z").decode()
            lines.append(json.dumps({**json.loads(line), "raw": repaired}).encode())
            rows[table].append(("2017-11-03 10:30:00", "repaired", number))
            number += 1
        env.store.write(f"out/{file.key}", edge_logs.log([*lines, last]))
    assert all(rows[table] for table in LOADED_TABLES)
    return rows
