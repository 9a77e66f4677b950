"""kill -9 of the driver, or of an executor's Python worker, at random moments of a command.

Half of the kills come after a random time. The start of the JVM takes most of that time, so the
other half come right before a random request to S3 or SQL statement.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.chaos.baselines import Baselines, CommandTrace, check_recovery
from tests.chaos.processes import COMMAND, ProcessTree
from tests.chaos.runner import Case, Experiment
from tests.chaos.trial import ON_THREADS, SECONDS, CommandResult, Trial, trial

WORKER = "replay: kill -9 of a Python worker"

_SECONDS = 12.0  # approximate time of one trial
_SECONDS_WITHOUT_SPARK = 4.0
_STARTUP_SECONDS = 1.0  # approximate time before the command does anything
_TASK_REQUEST = re.compile(r"(GET|PUT) \S+(/edge/|/v1/|/_completed/)")


@dataclass(frozen=True)
class _KillTarget:
    """A command whose driver is killed.

    Attributes:
        trace: What it does without faults.
        seconds: Its approximate duration as a subprocess.
        trial: Prepares a trial.
        command: The program.
        options: Additional command-line options.
    """

    trace: CommandTrace
    seconds: float
    trial: Callable[[], AbstractContextManager[Trial]]
    command: Sequence[str]
    options: tuple[str, ...] = ()


def experiments(baselines: Baselines, rng: random.Random, kills: int) -> Iterator[Experiment]:
    """Yield ``kills`` trials of a replay, half of them of workers, and half as many of others."""
    drivers = [_replay(baselines, f"kill-driver-{number:03d}") for number in range(0, kills, 2)]
    yield _driver_experiment(baselines, rng, "replay: kill -9 of the driver", drivers, _SECONDS)
    yield Experiment(
        WORKER,
        tuple(_worker_case(baselines, rng, number) for number in range(1, kills, 2)),
        seconds=_SECONDS,
    )
    undos = [_undo(baselines)] * (kills // 2)
    name = "undo: kill -9 of the driver"
    yield _driver_experiment(baselines, rng, name, undos, _SECONDS_WITHOUT_SPARK)
    quarantine_replays = [_quarantine_replay(baselines)] * (kills // 2)
    name = "replay --from-quarantine: kill -9 of the driver"
    yield _driver_experiment(baselines, rng, name, quarantine_replays, _SECONDS_WITHOUT_SPARK)


def _replay(baselines: Baselines, tag: str) -> _KillTarget:
    trace = baselines.replay_trace
    return _KillTarget(trace, trace.seconds, partial(trial, baselines.env, tag), COMMAND)


def _undo(baselines: Baselines) -> _KillTarget:
    """An undo, which does not start Spark."""
    undo = baselines.undo
    seconds = undo.trace.seconds + _STARTUP_SECONDS
    return _KillTarget(undo.trace, seconds, undo.trial, COMMAND, undo.options)


def _quarantine_replay(baselines: Baselines) -> _KillTarget:
    """A quarantine replay on threads: Spark makes no difference when the driver dies."""
    command = baselines.quarantine_replay

    def new_trial() -> AbstractContextManager[Trial]:
        command.env.clear(f"out/{command.tag}/")
        return command.trial()

    seconds = command.trace.seconds + _STARTUP_SECONDS
    return _KillTarget(command.trace, seconds, new_trial, ON_THREADS, command.options)


def _driver_experiment(
    baselines: Baselines,
    rng: random.Random,
    name: str,
    targets: Sequence[_KillTarget],
    seconds: float,
) -> Experiment:
    """One trial per target. Every second target is killed after a random time."""
    cases = tuple(
        _driver_case(baselines, rng, target, after_a_time=number % 2 == 0)
        for number, target in enumerate(targets)
    )
    return Experiment(name, cases, seconds=seconds)


def _driver_case(
    baselines: Baselines, rng: random.Random, target: _KillTarget, *, after_a_time: bool
) -> Case:
    if after_a_time:
        seconds = rng.uniform(0, target.seconds)
        return Case(
            f"after {seconds:.2f} s", partial(_kill_driver_after, baselines, target, seconds)
        )
    trace = target.trace
    moment = rng.randrange(len(trace.requests) + len(trace.statements))
    return Case(
        _describe_moment(trace, moment), partial(_kill_driver_at, baselines, target, moment)
    )


def _describe_moment(trace: CommandTrace, moment: int) -> str:
    if moment < len(trace.requests):
        return f"at request {moment} of {len(trace.requests)} to S3"
    statement = moment - len(trace.requests)
    return f"at statement {statement}: {trace.statements[statement][:50]}"


def _kill_driver_after(baselines: Baselines, target: _KillTarget, seconds: float) -> str:
    with target.trial() as run:
        tree = run.start(*target.options, command=target.command)
        timer = threading.Timer(seconds, tree.driver.kill)
        timer.start()
        return _finish(baselines, run, tree, target.options, timer.cancel)


def _kill_driver_at(baselines: Baselines, target: _KillTarget, moment: int) -> str:
    requests = len(target.trace.requests)
    with target.trial() as run:
        trees: list[ProcessTree] = []

        def kill() -> None:
            trees[0].driver.kill()

        if moment < requests:
            run.s3.inject("", "call", skip=moment, function=kill)
        else:
            run.redshift.inject("", "call", skip=moment - requests, function=kill)
        trees.append(run.start(*target.options, command=target.command))
        return _finish(baselines, run, trees[0], target.options)


def _worker_case(baselines: Baselines, rng: random.Random, number: int) -> Case:
    total = sum(
        _TASK_REQUEST.match(request) is not None for request in baselines.replay_trace.requests
    )
    moment = rng.randrange(total)
    tag = f"kill-worker-{number:03d}"
    name = f"at request {moment} of {total} from tasks"
    return Case(name, partial(_kill_worker, baselines, tag, moment, rng.random()))


def _kill_worker(baselines: Baselines, tag: str, moment: int, choice: float) -> str:
    killed: list[int] = []
    with trial(baselines.env, tag) as run:
        trees: list[ProcessTree] = []

        def kill() -> None:
            workers = trees[0].workers()
            if workers:
                worker = workers[int(choice * len(workers))]
                worker.kill()
                killed.append(worker.pid)

        run.s3.inject(_TASK_REQUEST.pattern, "call", skip=moment, function=kill)
        trees.append(run.start())
        outcome = _finish(baselines, run, trees[0])
    return outcome if killed else f"{outcome} (no worker was running)"


def _finish(
    baselines: Baselines,
    run: Trial,
    tree: ProcessTree,
    options: tuple[str, ...] = (),
    cleanup: Callable[[], None] = lambda: None,
) -> str:
    status = tree.wait(SECONDS)
    cleanup()
    return check_recovery(run, baselines, CommandResult(status, tree.output), *options)
