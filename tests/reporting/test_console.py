"""The screen: questions on a terminal, and displays that fail without ending the work."""

import io

import pytest
from rich.console import Console

from spade_spark.errors import UsageError
from spade_spark.plan import InputPartition
from spade_spark.progress import DisplayGuard, LoadPhase, LoadProgress, TransformProgress
from spade_spark.reporting.console import ConsoleReporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """A screen before which somebody types ``answer``."""

    def show(answer, ask=True):
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
        return ConsoleReporter(Console(file=io.StringIO(), force_terminal=True), ask=ask)

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
    ConsoleReporter(Console(file=io.StringIO()), ask=True).confirm("Replace 3 rows?")


class ClosedPipe(io.StringIO):
    """What a display writes to once its reader has gone."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def test_each_phase_of_a_table_is_a_line_of_text():
    out = io.StringIO()
    with ConsoleReporter(Console(file=out)).loading(["login"]) as show:
        show(LoadProgress("login", LoadPhase.REPLACING, "2 rows by 3"))
        show(LoadProgress("login", LoadPhase.UNDONE_BEFORE))
    assert out.getvalue() == "load login: replacing 2 rows by 3\nload login: undone before\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_display_ends_neither_a_load_nor_a_transform(monkeypatch, caplog, terminal):
    monkeypatch.setattr(Console, "on_broken_pipe", _exit)
    screen = ConsoleReporter(Console(file=ClosedPipe(), force_terminal=terminal))
    done = []
    # The caller guards its calls of the display.
    with screen.loading(["login"]) as show, DisplayGuard():
        show(LoadProgress("login", LoadPhase.LOADED))
    done.append("load")
    with screen.transforming([InputPartition(0, ())]) as watch, DisplayGuard():
        watch(TransformProgress(partitions=1))
    done.append("transform")
    screen.log("the end")
    assert done == ["load", "transform"]
    assert "the progress display failed" in caplog.text


def _exit(console):
    """As rich's own, without closing the standard output of the tests."""
    raise SystemExit(1)
