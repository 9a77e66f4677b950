"""An interrupt waits for the end of a block, and what was ignored stays ignored."""

import os
import signal
import subprocess

import pytest

from spade_spark.interrupts import SIGNALS, deferred_interrupts
from spade_spark.sandbox.services import S3Server
from spade_spark.sandbox.subprocesses import run_supervised

pytestmark = pytest.mark.usefixtures("default_signals")


def test_an_interrupt_comes_once_the_block_is_done():
    done = False
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("ignored", SIGNALS)
def test_a_background_job_keeps_ignoring_what_it_was_started_to_ignore(ignored):
    """PySpark sets a handler of its own while it starts."""
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with deferred_interrupts():
            os.kill(os.getpid(), ignored)
            signal.signal(ignored, signal.default_int_handler)
        assert signal.getsignal(ignored) is signal.SIG_IGN
    except KeyboardInterrupt:
        pytest.fail("the signal was not ignored")
    finally:
        signal.signal(ignored, before)


@pytest.mark.parametrize(
    "start",
    [lambda: S3Server().__enter__(), lambda: run_supervised(["sleep", "60"], os.environ)],
    ids=["server", "program"],
)
def test_an_interrupt_while_a_child_starts_leaves_no_child(monkeypatch, start):
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(subprocess, "Popen", Interrupted)
        start()
    try:
        assert [child.poll() is not None for child in started] == [True]
    finally:
        for child in started:
            child.kill()
            child.wait()
