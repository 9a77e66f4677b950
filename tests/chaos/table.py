"""Experiments, run one after the other within a time, and the table of what came of them."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Case:
    """One trial of an experiment.

    Attributes:
        name: What is done to the replay.
        run: Does it; returns the outcome in a few words, or raises AssertionError.
    """

    name: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Experiment:
    """Trials of one kind.

    Attributes:
        name: As the table shows it.
        cases: The trials.
        seconds: What one trial may take, roughly: the experiment's share of the time follows.
    """

    name: str
    cases: tuple[Case, ...]
    seconds: float = 3.0

    def sample(self, most: int, dice: random.Random) -> Experiment:
        """The same with ``most`` of its trials, in random order."""
        return replace(self, cases=tuple(dice.sample(self.cases, min(most, len(self.cases)))))


@dataclass
class Result:
    """What came of an experiment.

    Attributes:
        name: The experiment's.
        planned: How many trials it has.
        outcomes: Trials by outcome; those that broke the assertion are not among them.
        broken: The trials that broke the assertion, with how.
        seconds: Time taken.
    """

    name: str
    planned: int
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def run(self) -> int:
        """How many trials were run."""
        return sum(self.outcomes.values()) + len(self.broken)

    @property
    def left(self) -> int:
        """How many were not."""
        return self.planned - self.run


def run_all(
    experiments: Sequence[Experiment], seconds: float, say: Callable[[str], None]
) -> list[Result]:
    """Runs the experiments within ``seconds``, roughly.

    In each round every experiment that is not done has its share of the time that is left. What
    is not done when the time is over is left out, and the table says so.
    """
    end = time.monotonic() + seconds
    results = [Result(each.name, len(each.cases)) for each in experiments]
    both = list(zip(experiments, results, strict=True))
    while time.monotonic() < end and (left := [each for each in both if each[1].left]):
        for number, (experiment, result) in enumerate(left):
            costs = [each.seconds * result.left for each, result in left[number:]]
            now = time.monotonic()
            _go_on(experiment, result, now + (end - now) * costs[0] / sum(costs), say)
    return results


def _go_on(
    experiment: Experiment, result: Result, deadline: float, say: Callable[[str], None]
) -> None:
    """Runs the trials that were not run yet until the deadline."""
    began = time.monotonic()
    for number, case in enumerate(experiment.cases[result.run :], result.run + 1):
        if time.monotonic() > deadline:
            break
        try:
            outcome = case.run()
            result.outcomes[outcome] += 1
        except Exception as error:  # noqa: BLE001 - a trial that breaks ends no other
            outcome = f"BROKEN: {error}"
            trace = "".join(traceback.format_exception(error)[-3:])
            result.broken.append(f"{experiment.name}, {case.name}: {trace}")
        say(f"{experiment.name} {number}/{result.planned}, {case.name}: {outcome}")
    result.seconds += time.monotonic() - began


def show(results: Sequence[Result], console: Console) -> None:
    """The table: experiment, times run, outcomes."""
    table = Table("experiment", "times run", "outcomes", "broken")
    for result in results:
        times = f"{result.run}"
        if result.run < result.planned:
            times += f" of {result.planned}: out of time"
        table.add_row(result.name, times, "\n".join(_lines(result)), str(len(result.broken)))
    console.print(table)
    for result in results:
        for broken in result.broken:
            console.print(f"BROKEN {broken}", markup=False, highlight=False, soft_wrap=True)


def _lines(result: Result) -> Iterator[str]:
    for outcome, count in result.outcomes.most_common():
        yield f"{count} x {outcome}"
