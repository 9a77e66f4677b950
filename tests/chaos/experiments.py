"""All experiments, and the part of them that every test run does."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.chaos import clock, inputs, kills, speculation, storage, warehouse
from tests.chaos.baselines import Known
from tests.chaos.table import Experiment
from tests.chaos.trial import ON_THREADS

_LATE_SECONDS = 30.0
_SLOWEST_SECONDS = 12.0

_DONE_BY_OTHERS = {
    storage.ALL,  # the same is done under Spark
    speculation.SPECULATION,  # the same is done while workers die
    kills.WORKER,  # they die while attempts overlap
}


def every(known: Known, seed: int, kill_count: int) -> list[Experiment]:
    """All of them, each in an order of trials that follows from the seed."""
    dice = random.Random(seed)
    return [each.sample(len(each.cases), dice) for each in _all(known, dice, kill_count)]


def part(known: Known, seed: int) -> list[Experiment]:
    """A trial of each experiment, but for those of which another does all and more."""
    dice = random.Random(seed)
    chosen = (
        *warehouse.experiments(known, dice),
        *inputs.experiments(known, dice),
        *clock.experiments(known, dice, ON_THREADS),
        *storage.experiments(known, dice, 1, 0.2),
        *kills.experiments(known, dice, 4),
        *speculation.experiments(known, dice, 1, 4.0),
    )
    return [each.sample(1, dice) for each in chosen if each.name not in _DONE_BY_OTHERS]


def _all(known: Known, dice: random.Random, kill_count: int) -> Iterator[Experiment]:
    """Those of short trials first: where time runs short, a long one takes less from others."""
    yield from inputs.experiments(known, dice)
    yield from clock.experiments(known, dice)
    yield from warehouse.experiments(known, dice)
    yield from kills.experiments(known, dice, kill_count)
    yield from speculation.experiments(known, dice, 4, _SLOWEST_SECONDS)
    yield from storage.experiments(known, dice, 4, _LATE_SECONDS)
