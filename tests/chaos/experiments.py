"""All experiments, and the part of them that every test run does."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.chaos import clock, inputs, kills, overlap, storage, warehouse
from tests.chaos.table import Experiment
from tests.chaos.trial import Known

LATE_SECONDS = 30.0


def every(known: Known, seed: int, kill_count: int) -> list[Experiment]:
    """All of them, each in an order of trials that follows from the seed."""
    dice = random.Random(seed)
    return [each.sample(len(each.cases), dice) for each in _all(known, dice, kill_count)]


def part(known: Known, seed: int) -> list[Experiment]:
    """Some trials of each experiment: fewer where a trial starts Spark."""
    dice = random.Random(seed)
    chosen = (
        (warehouse.experiments(known, dice), 1),
        (inputs.experiments(known, dice), 1),
        (storage.experiments(known, dice, 1, 0.2), 1),
        (kills.experiments(known, dice, 4), 1),
        (overlap.experiments(known, dice, 1), 1),
    )
    return [each.sample(most, dice) for experiments, most in chosen for each in experiments]


def _all(known: Known, dice: random.Random, kill_count: int) -> Iterator[Experiment]:
    """Those of short trials first: where time runs short, a long one takes less from others."""
    yield from inputs.experiments(known, dice)
    yield from clock.experiments(known, dice)
    yield from warehouse.experiments(known, dice)
    yield from kills.experiments(known, dice, kill_count)
    yield from overlap.experiments(known, dice, 6)
    yield from storage.experiments(known, dice, 6, LATE_SECONDS)
