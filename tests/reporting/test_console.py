"""Confirmations on a terminal, and display failures that do not stop a command."""

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
def reporter(monkeypatch):
    """Return a function that creates a reporter on a terminal where a user types ``answer``."""

    def create(answer, ask=True):
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
        return ConsoleReporter(Console(file=io.StringIO(), force_terminal=True), ask=ask)

    return create


def test_yes_confirms(reporter):
    reporter("y").confirm("Replace 3 rows?")


@pytest.mark.parametrize("answer", ["n", ""])
def test_no_or_an_empty_answer_cancels(reporter, answer):
    with pytest.raises(UsageError, match="cancelled: nothing was started"):
        reporter(answer).confirm("Replace 3 rows?")


def test_without_ask_no_question_is_asked(reporter):
    reporter("n", ask=False).confirm("Replace 3 rows?")


def test_without_a_terminal_no_question_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ConsoleReporter(Console(file=io.StringIO()), ask=True).confirm("Replace 3 rows?")


class ClosedPipe(io.StringIO):
    """An output stream whose reader closed it."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def test_without_a_terminal_each_phase_of_a_table_is_one_line():
    out = io.StringIO()
    with ConsoleReporter(Console(file=out)).loading(["login"]) as show:
        show(LoadProgress("login", LoadPhase.REPLACING, "2 old rows, 3 new rows"))
        show(LoadProgress("login", LoadPhase.UNDONE_BEFORE))
    assert out.getvalue().splitlines() == [
        "table login: replacing (2 old rows, 3 new rows)",
        "table login: already undone",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_load_and_a_transform_continue_after_the_display_is_closed(monkeypatch, caplog, terminal):
    monkeypatch.setattr(Console, "on_broken_pipe", _exit)
    reporter = ConsoleReporter(Console(file=ClosedPipe(), force_terminal=terminal))
    done = []
    # Callers guard their calls to the display.
    with reporter.loading(["login"]) as show, DisplayGuard():
        show(LoadProgress("login", LoadPhase.LOADED))
    done.append("load")
    with reporter.transforming([InputPartition(0, ())]) as watch, DisplayGuard():
        watch(TransformProgress(partitions=1))
    done.append("transform")
    reporter.log("the end")
    assert done == ["load", "transform"]
    assert "the progress display failed" in caplog.text


def _exit(console):
    """Exit as rich does, but without closing the tests' standard output."""
    raise SystemExit(1)
