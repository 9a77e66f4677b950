"""Progress display: confirmations on a terminal, and display failures that do not stop the work."""

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
    """Returns a reporter on a terminal where a user types ``answer``."""

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


def test_without_ask_nothing_is_asked(reporter):
    reporter("n", ask=False).confirm("Replace 3 rows?")


def test_off_a_terminal_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ConsoleReporter(Console(file=io.StringIO()), ask=True).confirm("Replace 3 rows?")


class ClosedPipe(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def test_off_a_terminal_each_phase_of_a_table_is_one_line():
    out = io.StringIO()
    with ConsoleReporter(Console(file=out)).loading(["login"]) as show:
        show(LoadProgress("login", LoadPhase.REPLACING, "2 rows by 3"))
        show(LoadProgress("login", LoadPhase.UNDONE_BEFORE))
    assert out.getvalue() == "load login: replacing 2 rows by 3\nload login: undone before\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_display_stops_neither_a_load_nor_a_transform(monkeypatch, caplog, terminal):
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
