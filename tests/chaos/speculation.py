"""Attempts that overlap: Spark's speculation on, a worker made slow, workers that die.

On a cluster, since Spark speculates on no local master.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.chaos.baselines import Known, settle
from tests.chaos.cluster import Cluster
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import Trial, trial

SPECULATION = "speculation with a slow worker"

_SPARK = """
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
        deaths: Seconds after the first object is asked for at which a Python worker is killed.
    """

    request: str
    seconds: tuple[float, ...]
    deaths: tuple[float, ...]

    @classmethod
    def random(cls, known: Known, dice: random.Random, deaths: int, slowest: float) -> _Slow:
        """The reading of an object is slow, or the writing of rows, or of a completion record."""
        partition = dice.randrange(
            sum("PUT" in r and "_completed" in r for r in known.whole.requests)
        )
        requests = (
            f"GET .*{dice.choice(known.scene.keys)}",
            f"PUT .*/v1/{partition:05d}-",
            f"PUT .*/_completed/{partition:05d}",
        )
        seconds = (dice.uniform(slowest / 2, slowest), dice.uniform(0, slowest))
        moments = tuple(dice.uniform(0, slowest / 2) for _ in range(deaths))
        return cls(dice.choice(requests), seconds, moments)


def experiments(
    known: Known, dice: random.Random, times: int, slowest: float
) -> Iterator[Experiment]:
    """Speculation, alone and with task failures, ``times`` each.

    Args:
        known: What an undisturbed run comes to.
        dice: What decides.
        times: How often.
        slowest: The most seconds that an answer comes late.
    """
    for name, deaths in ((SPECULATION, 0), (f"{SPECULATION} and worker deaths", 3)):
        cases = []
        for number in range(times):
            slow = _Slow.random(known, dice, deaths, slowest)
            tag = f"overlap-{deaths}-{number:03d}"
            cases.append(Case(str(slow), partial(_run, known, tag, slow)))
        yield Experiment(name, tuple(cases), seconds=_SECONDS)


def _run(known: Known, tag: str, slow: _Slow) -> str:
    cluster = known.scene.cluster
    spark = f'{_SPARK}"spark.master" = "{cluster.url}"\n'
    with trial(known.scene, tag, spark=spark) as run:
        for seconds in slow.seconds:
            run.s3.inject(slow.request, "late", seconds=seconds)
        timers = [threading.Timer(seconds, _kill_a_worker, [cluster]) for seconds in slow.deaths]

        def start_timers() -> None:
            for timer in timers:
                timer.start()

        run.s3.inject("GET .*/edge/.*gz", "call", function=start_timers)
        ended = run.apart()
        for timer in timers:
            timer.cancel()
        overlapped = _overlapped(run)
        return f"{settle(run, known, ended)}; {overlapped}"


def _kill_a_worker(cluster: Cluster) -> None:
    for worker in cluster.workers()[:1]:
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
