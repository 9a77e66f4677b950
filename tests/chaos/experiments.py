"""All experiments, and the sample of them that the test suite runs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.chaos import clock, inputs, kills, speculation, storage, warehouse
from tests.chaos.baselines import Baselines
from tests.chaos.runner import Experiment
from tests.chaos.trial import ON_THREADS

_LATE_SECONDS = 30.0
_SLOWEST_SECONDS = 12.0

_COVERED_BY_OTHER_EXPERIMENTS = {
    storage.ALL,  # by the same faults under Spark
    speculation.SPECULATION,  # by speculation with worker deaths
    kills.WORKER,  # by speculation with worker deaths
}


def all_experiments(baselines: Baselines, seed: int, kill_count: int) -> list[Experiment]:
    """All experiments, with their trials in random order."""
    rng = random.Random(seed)
    return [
        experiment.sample(len(experiment.cases), rng)
        for experiment in _all(baselines, rng, kill_count)
    ]


def sample_experiments(baselines: Baselines, seed: int) -> list[Experiment]:
    """One trial of each experiment that no other experiment covers."""
    rng = random.Random(seed)
    experiments = (
        *warehouse.experiments(baselines, rng),
        *inputs.experiments(baselines, rng),
        *clock.experiments(baselines, rng, ON_THREADS),
        *storage.experiments(baselines, rng, 1, 0.2),
        *kills.experiments(baselines, rng, 4),
        *speculation.experiments(baselines, rng, 1, 4.0),
    )
    return [
        experiment.sample(1, rng)
        for experiment in experiments
        if experiment.name not in _COVERED_BY_OTHER_EXPERIMENTS
    ]


def _all(baselines: Baselines, rng: random.Random, kill_count: int) -> Iterator[Experiment]:
    """Yield experiments with short trials first, so that more are complete if time runs out."""
    yield from inputs.experiments(baselines, rng)
    yield from clock.experiments(baselines, rng)
    yield from warehouse.experiments(baselines, rng)
    yield from kills.experiments(baselines, rng, kill_count)
    yield from speculation.experiments(baselines, rng, 4, _SLOWEST_SECONDS)
    yield from storage.experiments(baselines, rng, 4, _LATE_SECONDS)
