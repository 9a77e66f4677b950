"""A part of the experiments that `make chaos` does, small enough for every run of the tests."""

import os
import time
from functools import partial

import pytest

from tests.chaos.baselines import know
from tests.chaos.experiments import every, part
from tests.chaos.fixtures import KEYS, scene
from tests.chaos.table import Case, Experiment, run_all
from tests.docs.pages import section

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


@pytest.mark.slow
@pytest.mark.spark
def test_the_documentation_shows_exactly_the_experiments_that_exist(known):
    text = section("guarantees.md", "Test results")
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line[:1] == "|"]
    promised = [name for row in rows[2:] for name in names(row)]
    assert sorted(promised) == sorted(each.name for each in every(known, 1, 4))


def names(row):
    """The experiments of a row: of ``load, undo: disk full`` the two of them."""
    commands, colon, what = row.partition(": ")
    return [f"{each}: {what}" for each in commands.split(", ")] if colon else [row]


def test_a_trial_that_breaks_is_counted_and_ends_no_other():
    def breaks():
        raise AssertionError("a row is lost")

    cases = (Case("good", lambda: "done"), Case("bad", breaks), Case("good", lambda: "done"))
    (result,) = run_all([Experiment("some", cases)], 60, print)
    assert result.outcomes == {"done": 2}
    assert len(result.broken) == 1
    assert "a row is lost" in result.broken[0]


def test_time_that_others_did_not_need_is_given_to_what_was_not_done():
    slow = Experiment("slow", (Case("good", partial(after, 0.05)),) * 10, seconds=0.001)
    quick = Experiment("quick", (Case("good", partial(after, 0)),), seconds=1)
    done = run_all([slow, quick], 30, print)
    assert [result.left for result in done] == [0, 0]
    short = run_all([slow, quick], 0.2, print)
    assert short[0].left > 0
    assert short[1].left == 0


def after(seconds):
    time.sleep(seconds)
    return "done"


def test_an_experiment_is_given_its_share_of_the_time_and_no_more():
    cases = (Case("good", lambda: "done"),)
    (result,) = run_all([Experiment("some", cases)], -1, print)
    assert (result.run, result.planned) == (0, 1)
