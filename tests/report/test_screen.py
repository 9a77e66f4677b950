"""A person on a terminal is asked before anything is begun, and nobody else is."""

import io

import pytest
from rich.console import Console

from spade_spark.errors import UsageError
from spade_spark.report.screen import Screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """A screen before which somebody types ``answer``."""

    def show(answer, ask=True):
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
        return Screen(Console(file=io.StringIO(), force_terminal=True), ask=ask)

    return show


def test_a_yes_lets_it_begin(screen):
    screen("y").agree("Replace 3 rows?")


@pytest.mark.parametrize("answer", ["n", ""])
def test_a_no_and_no_answer_begin_nothing(screen, answer):
    with pytest.raises(UsageError, match="nothing was begun, since the answer was no"):
        screen(answer).agree("Replace 3 rows?")


def test_who_is_not_to_be_asked_is_taken_to_agree(screen):
    screen("n", ask=False).agree("Replace 3 rows?")


def test_elsewhere_than_on_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    Screen(Console(file=io.StringIO()), ask=True).agree("Replace 3 rows?")
