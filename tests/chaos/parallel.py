"""Two replays at the same time, without a common lease: only the warehouse keeps them apart.

The second replay has another output folder, and so another table of leases, as if it ran in another
installation. A fault hits one of the two at a random statement.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tests.chaos.baselines import (
    BASELINE_TAG,
    LOADED_TABLES,
    PARALLEL_TAG,
    Baselines,
    parallel_output,
)
from tests.chaos.fixtures import TABLES, in_order
from tests.chaos.runner import Case, Experiment
from tests.chaos.state_diff import rows_in_window
from tests.chaos.trial import ON_THREADS, SECONDS, Trial, trial
from tests.support.redshift import CONFLICTS

_FAULTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("no fault", {}),
    ("1023", {"action": "refuse", **CONFLICTS["1023"]}),
    ("deadlock", {"action": "refuse", **CONFLICTS["deadlock"]}),
    ("conflict", {"action": "refuse", **CONFLICTS["conflict with concurrent transaction"]}),
    ("connection dropped", {"action": "drop_before"}),
    ("reply lost", {"action": "drop_after"}),
)
_TRIALS_PER_FAULT = 2


def experiments(baselines: Baselines, rng: random.Random) -> Iterator[Experiment]:
    """Two replays of the same tables, and of different tables."""
    first, second = LOADED_TABLES
    yield _experiment(baselines, "the same tables", LOADED_TABLES, LOADED_TABLES, rng)
    yield _experiment(baselines, "different tables", (first,), (second,), rng)


def _experiment(
    baselines: Baselines,
    name: str,
    tables: Sequence[str],
    other_tables: Sequence[str],
    rng: random.Random,
) -> Experiment:
    cases = []
    for fault, options in _FAULTS:
        for _ in range(_TRIALS_PER_FAULT):
            skip = rng.randrange(len(baselines.load.trace.statements))
            run = partial(_run, baselines, tables, other_tables, {**options, "skip": skip})
            cases.append(Case(f"{fault} at statement {skip}", run))
    return Experiment(f"two replays of {name} at once", tuple(cases), seconds=8.0)


def _run(
    baselines: Baselines,
    tables: Sequence[str],
    other_tables: Sequence[str],
    fault: Mapping[str, Any],
) -> str:
    env = baselines.env
    with trial(env, BASELINE_TAG, tables=tables) as one:
        other = replace(one, tag=PARALLEL_TAG, tables=other_tables, environ=parallel_output(env))
        _let_them_meet(one)
        if "action" in fault:
            one.redshift.inject("", **fault)
        commands = [run.start("--skip-transform", command=ON_THREADS) for run in (one, other)]
        statuses = [command.wait(SECONDS) for command in commands]
        output = "\n".join(command.output for command in commands)
        assert statuses == [0, 0], output
        _check(one, baselines, {BASELINE_TAG: tables, PARALLEL_TAG: other_tables})
        return "both done, correct"


def _let_them_meet(run: Trial) -> None:
    """Make two of the transactions that replace rows begin at the same time."""
    barrier = threading.Barrier(2, timeout=10)

    def meet() -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait()

    run.redshift.inject("^LOCK TABLE", "call", function=meet, times=2)


def _check(run: Trial, baselines: Baselines, loads: Mapping[str, Sequence[str]]) -> None:
    """Check that all loads took effect one after the other, each exactly once."""
    loaded = {table for tables in loads.values() for table in tables}
    rows = run.rows()
    for table in TABLES:
        expected = baselines.after if table in loaded else baselines.before
        assert rows[table] == expected[table], f"{table} has {rows[table]}"
    query = "SELECT run_tag, table_name, rows_deleted, rows_inserted, backup FROM infra.replay"
    log = run.env.sql(f"{query} ORDER BY ts", run.url)
    expected_loads = Counter((tag, table) for tag, tables in loads.items() for table in tables)
    assert Counter((tag, table) for tag, table, *_ in log) == expected_loads, log
    current = dict(baselines.before)
    for _, table, deleted, inserted, backup in log:
        replaced = rows_in_window(current[table])
        name = '"' + backup.replace(".", '"."', 1) + '"'
        kept = in_order(run.env.sql(f"SELECT time::text, who, n FROM {name}", run.url))
        assert kept == replaced, f"the backup of {table} has {kept}, not {replaced}"
        current[table] = baselines.after[table]
        assert (deleted, inserted) == (len(replaced), len(rows_in_window(current[table]))), log
