"""A part of the experiments that `make chaos` does, small enough for every run of the tests."""

import os

import pytest

from tests.chaos.experiments import part
from tests.chaos.known import know
from tests.chaos.scene import KEYS, scene
from tests.chaos.table import Case, Experiment, run_all

SEED = 20171103
SECONDS = 700.0  # two minutes on an idle machine


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setitem(os.environ, name, value)
        with scene(tmp_path_factory.mktemp("chaos")) as stage:
            yield know(stage)


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(900)
def test_whatever_happens_to_a_replay_no_row_is_lost_or_doubled(known, capsys):
    results = run_all(part(known, SEED), SECONDS, print)
    with capsys.disabled():
        for result in results:
            print(f"\n{result.name}: {dict(result.outcomes)}", end="")
    assert all(result.run == result.planned for result in results), "out of time"
    broken = [text for result in results for text in result.broken]
    assert not broken, "\n\n".join(broken)


def test_a_trial_that_breaks_is_counted_and_ends_no_other():
    def breaks():
        raise AssertionError("a row is lost")

    cases = (Case("good", lambda: "done"), Case("bad", breaks), Case("good", lambda: "done"))
    (result,) = run_all([Experiment("some", cases)], 60, print)
    assert result.outcomes == {"done": 2}
    assert len(result.broken) == 1
    assert "a row is lost" in result.broken[0]


def test_an_experiment_is_given_its_share_of_the_time_and_no_more():
    cases = (Case("good", lambda: "done"),)
    (result,) = run_all([Experiment("some", cases)], -1, print)
    assert (result.run, result.planned) == (0, 1)
