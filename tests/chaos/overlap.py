"""Attempts that overlap: Spark's speculation on, a worker made slow, workers that die.

On a cluster of two executors on this machine, since Spark speculates on no local master.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.chaos.processes import Family
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import SECONDS, Ended, Known, Trial, settle, trial

_SPARK = """
"spark.master" = "local-cluster[2,1,1024]"
"spark.driver.host" = "127.0.0.1"
"spark.driver.bindAddress" = "127.0.0.1"
"spark.executor.memory" = "512m"
"spark.speculation" = "true"
"spark.speculation.interval" = "50ms"
"spark.speculation.quantile" = "0.1"
"spark.speculation.multiplier" = "1.1"
"spark.speculation.minTaskRuntime" = "0"
"spark.speculation.efficiency.enabled" = "false"
"spark.task.maxFailures" = "8"
"""
_SECONDS = 25.0  # of one trial, roughly
_ATTEMPT = re.compile(r"PUT .*/v1/(\d+-\d+-[0-9a-f]+)-\d+\.gz")


@dataclass(frozen=True)
class _Slow:
    """What makes a task slow, and when others die.

    Attributes:
        request: A regular expression of the requests that are answered late.
        seconds: How late, one request after the other.
        deaths: Seconds after the plan is written at which a Python worker is killed.
    """

    request: str
    seconds: tuple[float, ...]
    deaths: tuple[float, ...]

    @classmethod
    def random(cls, known: Known, dice: random.Random, deaths: int) -> _Slow:
        """The reading of an object is slow, or the writing of rows, or of a completion record."""
        partition = dice.randrange(sum("PUT" in r and "_completed" in r for r in known.requests))
        requests = (
            f"GET .*{dice.choice(known.scene.keys)}",
            f"PUT .*/v1/{partition:05d}-",
            f"PUT .*/_completed/{partition:05d}",
        )
        seconds = (dice.uniform(6, 12), dice.uniform(0, 10))
        return cls(
            dice.choice(requests), seconds, tuple(dice.uniform(5, 12) for _ in range(deaths))
        )


def experiments(known: Known, dice: random.Random, times: int) -> Iterator[Experiment]:
    """Speculation, alone and with task failures, ``times`` each."""
    for name, deaths in (("speculation, a worker slow", 0), ("the same, and workers die", 3)):
        cases = []
        for number in range(times):
            slow = _Slow.random(known, dice, deaths)
            tag = f"overlap-{deaths}-{number:03d}"
            cases.append(Case(str(slow), partial(_run, known, tag, slow)))
        yield Experiment(name, tuple(cases), seconds=_SECONDS)


def _run(known: Known, tag: str, slow: _Slow) -> str:
    with trial(known.scene, tag, spark=_SPARK) as run:
        for seconds in slow.seconds:
            run.s3.inject(slow.request, "late", seconds=seconds)
        families: list[Family] = []
        timers = [threading.Timer(seconds, _kill_a_worker, [families]) for seconds in slow.deaths]

        def start_timers() -> None:
            for timer in timers:
                timer.start()

        run.s3.inject("PUT .*/_plan.json", "call", function=start_timers)
        families.append(run.begin())
        ended = Ended(families[0].end(SECONDS), families[0].said)
        for timer in timers:
            timer.cancel()
        overlapped = _overlapped(run)
        return f"{settle(run, known, ended)}; {overlapped}"


def _kill_a_worker(families: list[Family]) -> None:
    for worker in families[0].workers()[:1]:
        worker.kill()


def _overlapped(run: Trial) -> str:
    """Whether partitions were begun, or written, more than once."""
    begun = sum(
        re.search("GET .*/_completed/0", request) is not None for request in run.s3.requests
    )
    attempts = {found[1] for found in map(_ATTEMPT.search, run.s3.requests) if found}
    partitions = {attempt.partition("-")[0] for attempt in attempts}
    if len(attempts) > len(partitions):
        return "rows written twice"
    return "attempts overlapped" if begun > len(partitions) else "no second attempt"
