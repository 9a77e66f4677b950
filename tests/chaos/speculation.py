"""Overlapping task attempts: Spark's speculation with a slow worker, and with killed workers.

The trials run on a cluster, because Spark does not speculate on a local master.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.chaos.baselines import Baselines, check_recovery
from tests.chaos.cluster import Cluster
from tests.chaos.runner import Case, Experiment
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
_SECONDS = 25.0  # approximate time of one trial
_ATTEMPT = re.compile(r"PUT .*/v1/(\d+-\d+-[0-9a-f]+)-\d+\.gz")


@dataclass(frozen=True)
class _Delay:
    """Which requests of a task are delayed, and when Python workers are killed.

    Attributes:
        request: A regular expression for the requests whose responses are delayed.
        seconds: The delay of each such request, in order.
        kills: When to kill a Python worker, in seconds after the first read of an object.
    """

    request: str
    seconds: tuple[float, ...]
    kills: tuple[float, ...]

    @classmethod
    def random(
        cls, baselines: Baselines, rng: random.Random, deaths: int, slowest: float
    ) -> _Delay:
        """Delay reads of an object, or writes of rows or of a completion record."""
        partition = rng.randrange(
            sum(
                "PUT" in request and "_completed" in request
                for request in baselines.replay_trace.requests
            )
        )
        requests = (
            f"GET .*{rng.choice(baselines.env.keys)}",
            f"PUT .*/v1/{partition:05d}-",
            f"PUT .*/_completed/{partition:05d}",
        )
        seconds = (rng.uniform(slowest / 2, slowest), rng.uniform(0, slowest))
        moments = tuple(rng.uniform(0, slowest / 2) for _ in range(deaths))
        return cls(rng.choice(requests), seconds, moments)


def experiments(
    baselines: Baselines, rng: random.Random, times: int, slowest: float
) -> Iterator[Experiment]:
    """Yield speculation alone and speculation with killed workers, ``times`` trials each.

    Args:
        baselines: The results of commands without faults.
        rng: The source of random choices.
        times: Number of trials.
        slowest: The longest delay in seconds.
    """
    for name, deaths in ((SPECULATION, 0), (f"{SPECULATION} and worker deaths", 3)):
        cases = []
        for number in range(times):
            slow = _Delay.random(baselines, rng, deaths, slowest)
            tag = f"overlap-{deaths}-{number:03d}"
            cases.append(Case(str(slow), partial(_run, baselines, tag, slow)))
        yield Experiment(name, tuple(cases), seconds=_SECONDS)


def _run(baselines: Baselines, tag: str, slow: _Delay) -> str:
    cluster = baselines.env.cluster
    spark = f'{_SPARK}"spark.master" = "{cluster.url}"\n'
    with trial(baselines.env, tag, spark=spark) as run:
        for seconds in slow.seconds:
            run.s3.inject(slow.request, "late", seconds=seconds)
        timers = [threading.Timer(seconds, _kill_a_worker, [cluster]) for seconds in slow.kills]

        def start_timers() -> None:
            for timer in timers:
                timer.start()

        run.s3.inject("GET .*/edge/.*gz", "call", function=start_timers)
        result = run.run_subprocess()
        for timer in timers:
            timer.cancel()
        overlap = _describe_overlap(run)
        return f"{check_recovery(run, baselines, result)}; {overlap}"


def _kill_a_worker(cluster: Cluster) -> None:
    for worker in cluster.workers()[:1]:
        worker.kill()


def _describe_overlap(run: Trial) -> str:
    """Say whether a partition was started or written more than once."""
    starts = sum(
        re.search("GET .*/_completed/0", request) is not None for request in run.s3.requests
    )
    attempts = {match[1] for match in map(_ATTEMPT.search, run.s3.requests) if match}
    partitions = {attempt.partition("-")[0] for attempt in attempts}
    if len(attempts) > len(partitions):
        return "rows written twice"
    return "attempts overlapped" if starts > len(partitions) else "no second attempt"
