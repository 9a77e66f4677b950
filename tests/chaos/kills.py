"""kill -9, at random moments of a run: of the driver, of an executor's Python worker.

Half of the moments are points in time. Most of a run's time is Java's start, though, so that the
other half are requests to S3 and statements in the warehouse: the run dies right before one.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial

from tests.chaos.processes import Family
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import SECONDS, Ended, Known, Trial, settle, trial

_SECONDS = 16.0  # of one trial, roughly
_BY_TASKS = re.compile(r"(GET|PUT) \S+(/edge/|/v1/|/_completed/)")


def experiments(known: Known, dice: random.Random, kills: int) -> Iterator[Experiment]:
    """``kills`` kills, of drivers and of workers in turn."""
    yield Experiment(
        "kill -9 of the driver",
        tuple(_driver_case(known, dice, number) for number in range(0, kills, 2)),
        seconds=_SECONDS,
    )
    yield Experiment(
        "kill -9 of a Python worker",
        tuple(_worker_case(known, dice, number) for number in range(1, kills, 2)),
        seconds=_SECONDS,
    )


def _driver_case(known: Known, dice: random.Random, number: int) -> Case:
    tag = f"kill-driver-{number:03d}"
    if number % 4 == 0:
        seconds = dice.uniform(0, known.seconds)
        return Case(f"after {seconds:.2f} s", partial(_kill_driver_after, known, tag, seconds))
    moment = dice.randrange(len(known.requests) + len(known.statements))
    return Case(_named(known, moment), partial(_kill_driver_at, known, tag, moment))


def _named(known: Known, moment: int) -> str:
    if moment < len(known.requests):
        return f"at request {moment} of {len(known.requests)} to S3"
    statement = moment - len(known.requests)
    return f"at statement {statement}: {known.statements[statement][:50]}"


def _kill_driver_after(known: Known, tag: str, seconds: float) -> str:
    with trial(known.scene, tag) as run:
        family = run.begin()
        timer = threading.Timer(seconds, family.driver.kill)
        timer.start()
        return _end(known, run, family, timer.cancel)


def _kill_driver_at(known: Known, tag: str, moment: int) -> str:
    with trial(known.scene, tag) as run:
        families: list[Family] = []

        def kill() -> None:
            families[0].driver.kill()

        if moment < len(known.requests):
            run.s3.inject("", "call", skip=moment, function=kill)
        else:
            run.redshift.inject("", "call", skip=moment - len(known.requests), function=kill)
        families.append(run.begin())
        return _end(known, run, families[0])


def _worker_case(known: Known, dice: random.Random, number: int) -> Case:
    made = sum(_BY_TASKS.match(request) is not None for request in known.requests)
    moment = dice.randrange(made)
    tag = f"kill-worker-{number:03d}"
    name = f"at request {moment} of {made} that tasks make"
    return Case(name, partial(_kill_worker, known, tag, moment, dice.random()))


def _kill_worker(known: Known, tag: str, moment: int, which: float) -> str:
    killed: list[int] = []
    with trial(known.scene, tag) as run:
        families: list[Family] = []

        def kill() -> None:
            workers = families[0].workers()
            if workers:
                worker = workers[int(which * len(workers))]
                worker.kill()
                killed.append(worker.pid)

        run.s3.inject(_BY_TASKS.pattern, "call", skip=moment, function=kill)
        families.append(run.begin())
        outcome = _end(known, run, families[0])
    return outcome if killed else f"{outcome} (no worker lived then)"


def _end(
    known: Known, run: Trial, family: Family, and_then: Callable[[], None] = lambda: None
) -> str:
    status = family.end(SECONDS)
    and_then()
    return settle(run, known, Ended(status, family.said))
