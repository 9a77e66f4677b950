"""S3 faults: a share of all requests fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from tests.chaos.baselines import Baselines, check_recovery
from tests.chaos.runner import Case, Experiment
from tests.chaos.trial import trial
from tests.support.faulty_s3 import KINDS, Kind

ALL = "5 % of S3 requests: all of these faults"

_SHARE = 0.05
_SECONDS = 4.0  # approximate time of one trial without delayed responses
_NAMES = {
    "error": "HTTP 500",
    "unavailable": "HTTP 503",
    "throttled": "throttled three times in a row",
    "cut": "connection cut in the middle of the body",
    "late": "delayed responses",
    "wrong_length": "half a body with a matching length",
}


def experiments(
    baselines: Baselines, rng: random.Random, times: int, late_seconds: float
) -> Iterator[Experiment]:
    """Each kind of fault alone, then all kinds together, then all kinds under Spark."""
    late = _SECONDS + 2 * late_seconds
    for kind in KINDS:
        cases = _cases(baselines, rng, (kind,), max(1, times // 2), late_seconds)
        name = f"5 % of S3 requests: {_NAMES.get(kind, kind)}"
        yield Experiment(name, cases, seconds=late if kind == "late" else _SECONDS)
    yield Experiment(
        ALL,
        _cases(baselines, rng, KINDS, times, late_seconds),
        seconds=late,
    )
    yield Experiment(
        "5 % of S3 requests under Spark: all of these faults",
        _cases(baselines, rng, KINDS, max(1, times // 3), late_seconds, with_spark=True),
        seconds=late,
    )


def _cases(
    baselines: Baselines,
    rng: random.Random,
    kinds: tuple[Kind, ...],
    times: int,
    late_seconds: float,
    *,
    with_spark: bool = False,
) -> tuple[Case, ...]:
    cases = []
    for _ in range(times):
        seed = rng.randrange(1_000_000)
        tag = f"s3-{'-'.join(kinds) if len(kinds) == 1 else 'all'}-{seed}".replace("_", "-")
        faults = {"seed": seed, "share": _SHARE, "kinds": kinds, "late_seconds": late_seconds}
        run = partial(_run, baselines, tag, faults, with_spark=with_spark)
        cases.append(Case(f"seed {seed}", run))
    return tuple(cases)


def _run(baselines: Baselines, tag: str, faults: dict[str, object], *, with_spark: bool) -> str:
    with trial(baselines.env, tag, faults) as run:
        result = run.run_subprocess() if with_spark else run.run_in_process()
        if not run.s3.triggered:
            return "no request was affected"
        return check_recovery(run, baselines, result)
