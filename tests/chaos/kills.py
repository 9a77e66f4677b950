"""kill -9, at random moments of a command: of the driver, of an executor's Python worker.

Half of the moments are points in time. Most of a run's time is Java's start, though, so that the
other half are requests to S3 and statements in the warehouse: the run dies right before one.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.chaos.baselines import Course, Known, settle
from tests.chaos.processes import COMMAND, ProcessTree
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import ON_THREADS, SECONDS, Ended, Trial, trial

WORKER = "replay: kill -9 of a Python worker"

_SECONDS = 12.0  # of one trial, roughly
_SECONDS_WITHOUT_SPARK = 4.0
_BEGIN = 1.0  # of a process, before the command does anything, roughly
_BY_TASKS = re.compile(r"(GET|PUT) \S+(/edge/|/v1/|/_completed/)")


@dataclass(frozen=True)
class _Victim:
    """A command whose driver is killed.

    Attributes:
        course: What it does, undisturbed.
        seconds: How long it takes as a process of its own, roughly.
        trial: Begins a trial.
        command: How the process is begun.
        more: Further words.
    """

    course: Course
    seconds: float
    trial: Callable[[], AbstractContextManager[Trial]]
    command: Sequence[str]
    more: tuple[str, ...] = ()


def experiments(known: Known, dice: random.Random, kills: int) -> Iterator[Experiment]:
    """``kills`` kills of a replay, of drivers and of workers in turn, and as many of the others."""
    drivers = [_replay(known, f"kill-driver-{number:03d}") for number in range(0, kills, 2)]
    yield _of_drivers(known, dice, "replay: kill -9 of the driver", drivers, _SECONDS)
    yield Experiment(
        WORKER,
        tuple(_worker_case(known, dice, number) for number in range(1, kills, 2)),
        seconds=_SECONDS,
    )
    undos = [_undo(known)] * (kills // 2)
    name = "undo: kill -9 of the driver"
    yield _of_drivers(known, dice, name, undos, _SECONDS_WITHOUT_SPARK)
    agains = [_again(known)] * (kills // 2)
    name = "replay --from-quarantine: kill -9 of the driver"
    yield _of_drivers(known, dice, name, agains, _SECONDS_WITHOUT_SPARK)


def _replay(known: Known, tag: str) -> _Victim:
    course = known.whole
    return _Victim(course, course.seconds, partial(trial, known.scene, tag), COMMAND)


def _undo(known: Known) -> _Victim:
    """It starts no Spark."""
    undo = known.undo
    seconds = undo.course.seconds + _BEGIN
    return _Victim(undo.course, seconds, undo.trial, COMMAND, undo.more)


def _again(known: Known) -> _Victim:
    """On threads: with Spark it is a replay like all others, as far as a driver's death goes."""
    again = known.again

    def anew() -> AbstractContextManager[Trial]:
        again.scene.clear(f"out/{again.tag}/")
        return again.trial()

    seconds = again.course.seconds + _BEGIN
    return _Victim(again.course, seconds, anew, ON_THREADS, again.more)


def _of_drivers(
    known: Known, dice: random.Random, name: str, victims: Sequence[_Victim], seconds: float
) -> Experiment:
    """Each victim once: every other one at a point in time."""
    cases = tuple(
        _driver_case(known, dice, victim, at_a_time=number % 2 == 0)
        for number, victim in enumerate(victims)
    )
    return Experiment(name, cases, seconds=seconds)


def _driver_case(known: Known, dice: random.Random, victim: _Victim, *, at_a_time: bool) -> Case:
    if at_a_time:
        seconds = dice.uniform(0, victim.seconds)
        return Case(f"after {seconds:.2f} s", partial(_kill_driver_after, known, victim, seconds))
    course = victim.course
    moment = dice.randrange(len(course.requests) + len(course.statements))
    return Case(_named(course, moment), partial(_kill_driver_at, known, victim, moment))


def _named(course: Course, moment: int) -> str:
    if moment < len(course.requests):
        return f"at request {moment} of {len(course.requests)} to S3"
    statement = moment - len(course.requests)
    return f"at statement {statement}: {course.statements[statement][:50]}"


def _kill_driver_after(known: Known, victim: _Victim, seconds: float) -> str:
    with victim.trial() as run:
        tree = run.begin(*victim.more, command=victim.command)
        timer = threading.Timer(seconds, tree.driver.kill)
        timer.start()
        return _end(known, run, tree, victim.more, timer.cancel)


def _kill_driver_at(known: Known, victim: _Victim, moment: int) -> str:
    requests = len(victim.course.requests)
    with victim.trial() as run:
        trees: list[ProcessTree] = []

        def kill() -> None:
            trees[0].driver.kill()

        if moment < requests:
            run.s3.inject("", "call", skip=moment, function=kill)
        else:
            run.redshift.inject("", "call", skip=moment - requests, function=kill)
        trees.append(run.begin(*victim.more, command=victim.command))
        return _end(known, run, trees[0], victim.more)


def _worker_case(known: Known, dice: random.Random, number: int) -> Case:
    made = sum(_BY_TASKS.match(request) is not None for request in known.whole.requests)
    moment = dice.randrange(made)
    tag = f"kill-worker-{number:03d}"
    name = f"at request {moment} of {made} that tasks make"
    return Case(name, partial(_kill_worker, known, tag, moment, dice.random()))


def _kill_worker(known: Known, tag: str, moment: int, which: float) -> str:
    killed: list[int] = []
    with trial(known.scene, tag) as run:
        trees: list[ProcessTree] = []

        def kill() -> None:
            workers = trees[0].workers()
            if workers:
                worker = workers[int(which * len(workers))]
                worker.kill()
                killed.append(worker.pid)

        run.s3.inject(_BY_TASKS.pattern, "call", skip=moment, function=kill)
        trees.append(run.begin())
        outcome = _end(known, run, trees[0])
    return outcome if killed else f"{outcome} (no worker lived then)"


def _end(
    known: Known,
    run: Trial,
    tree: ProcessTree,
    more: tuple[str, ...] = (),
    and_then: Callable[[], None] = lambda: None,
) -> str:
    status = tree.wait(SECONDS)
    and_then()
    return settle(run, known, Ended(status, tree.output), *more)
