"""A sample of the experiments of ``make chaos``, short enough for the test suite."""

import os
import time
from functools import partial

import pytest

from tests.chaos.baselines import record_baselines
from tests.chaos.experiments import all_experiments, sample_experiments
from tests.chaos.fixtures import KEYS, prepared_environment
from tests.chaos.runner import Case, Experiment, run_all
from tests.docs.pages import section

SEED = 20171103
SECONDS = 700.0  # two minutes on an idle machine


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setitem(os.environ, name, value)
        with prepared_environment(tmp_path_factory.mktemp("chaos")) as env:
            yield record_baselines(env)


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(900)
def test_no_row_is_lost_or_duplicated_whatever_fails(baselines, capsys):
    results = run_all(sample_experiments(baselines, SEED), SECONDS, print)
    with capsys.disabled():
        for result in results:
            print(f"\n{result.name}: {dict(result.outcomes)}", end="")
    assert all(result.run == result.planned for result in results), "out of time"
    failures = [text for result in results for text in result.failures]
    assert not failures, "\n\n".join(failures)


@pytest.mark.slow
@pytest.mark.spark
def test_the_documentation_shows_exactly_the_experiments_that_exist(baselines):
    text = section("guarantees.md", "Test results")
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line[:1] == "|"]
    documented = [name for row in rows[2:] for name in names(row)]
    assert sorted(documented) == sorted(
        experiment.name for experiment in all_experiments(baselines, 1, 4)
    )


def names(row):
    """Split a row of several experiments: ``load, undo: disk full`` has two of them."""
    commands, colon, fault = row.partition(": ")
    return [f"{command}: {fault}" for command in commands.split(", ")] if colon else [row]


def test_a_failed_trial_is_counted_and_does_not_stop_the_others():
    def fail():
        raise AssertionError("a row is lost")

    cases = (Case("good", lambda: "done"), Case("bad", fail), Case("good", lambda: "done"))
    (result,) = run_all([Experiment("some", cases)], 60, print)
    assert result.outcomes == {"done": 2}
    assert len(result.failures) == 1
    assert "a row is lost" in result.failures[0]


def test_unused_time_goes_to_the_incomplete_experiments():
    slow = Experiment("slow", (Case("good", partial(wait, 0.05)),) * 10, seconds=0.001)
    quick = Experiment("quick", (Case("good", partial(wait, 0)),), seconds=1)
    complete = run_all([slow, quick], 30, print)
    assert [result.remaining for result in complete] == [0, 0]
    short = run_all([slow, quick], 0.2, print)
    assert short[0].remaining > 0
    assert short[1].remaining == 0


def wait(seconds):
    time.sleep(seconds)
    return "done"


def test_no_trial_starts_after_the_time_limit():
    cases = (Case("good", lambda: "done"),)
    (result,) = run_all([Experiment("some", cases)], -1, print)
    assert (result.run, result.planned) == (0, 1)
