"""Runs experiments one after the other within a time limit, and prints a table of the results."""

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
        name: The fault that is injected.
        run: Runs the trial; returns the outcome, or raises AssertionError.
    """

    name: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Experiment:
    """Many trials of one kind of fault.

    Attributes:
        name: The name in the table.
        cases: The trials.
        seconds: Approximate time of one trial. It determines the share of the time limit.
    """

    name: str
    cases: tuple[Case, ...]
    seconds: float = 3.0

    def sample(self, limit: int, rng: random.Random) -> Experiment:
        """The same experiment with at most ``limit`` of its trials, in random order."""
        return replace(self, cases=tuple(rng.sample(self.cases, min(limit, len(self.cases)))))


@dataclass
class Result:
    """The result of an experiment.

    Attributes:
        name: The experiment's name.
        planned: Number of its trials.
        outcomes: Number of passed trials by outcome.
        failures: The failed trials with their tracebacks.
        seconds: Elapsed time.
    """

    name: str
    planned: int
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def run(self) -> int:
        """Number of trials that were run."""
        return sum(self.outcomes.values()) + len(self.failures)

    @property
    def remaining(self) -> int:
        """Number of trials that were not run."""
        return self.planned - self.run


def run_all(
    experiments: Sequence[Experiment], seconds: float, log: Callable[[str], None]
) -> list[Result]:
    """Run the experiments in about ``seconds``.

    Each round divides the remaining time among the incomplete experiments. The table shows how many
    trials were not run because time ran out.
    """
    end = time.monotonic() + seconds
    results = [Result(experiment.name, len(experiment.cases)) for experiment in experiments]
    pairs = list(zip(experiments, results, strict=True))
    while time.monotonic() < end and (pending := [pair for pair in pairs if pair[1].remaining]):
        for number, (experiment, result) in enumerate(pending):
            costs = [other.seconds * count.remaining for other, count in pending[number:]]
            now = time.monotonic()
            _run_trials(experiment, result, now + (end - now) * costs[0] / sum(costs), log)
    return results


def _run_trials(
    experiment: Experiment, result: Result, deadline: float, log: Callable[[str], None]
) -> None:
    """Run the remaining trials until the deadline."""
    started = time.monotonic()
    for number, case in enumerate(experiment.cases[result.run :], result.run + 1):
        if time.monotonic() > deadline:
            break
        try:
            outcome = case.run()
            result.outcomes[outcome] += 1
        except Exception as error:  # noqa: BLE001 - a failed trial must not stop the others
            outcome = f"FAILED: {error}"
            trace = "".join(traceback.format_exception(error)[-3:])
            result.failures.append(f"{experiment.name}, {case.name}: {trace}")
        log(f"{experiment.name} {number}/{result.planned}, {case.name}: {outcome}")
    result.seconds += time.monotonic() - started


def print_results(results: Sequence[Result], console: Console) -> None:
    """Print the table of the results, and the tracebacks of failed trials."""
    table = Table("experiment", "trials run", "outcomes", "failed")
    for result in results:
        trials = f"{result.run}"
        if result.run < result.planned:
            trials += f" of {result.planned}: out of time"
        table.add_row(
            result.name, trials, "\n".join(_outcome_lines(result)), str(len(result.failures))
        )
    console.print(table)
    for result in results:
        for failure in result.failures:
            console.print(f"FAILED {failure}", markup=False, highlight=False, soft_wrap=True)


def _outcome_lines(result: Result) -> Iterator[str]:
    for outcome, count in result.outcomes.most_common():
        yield f"{count} x {outcome}"
