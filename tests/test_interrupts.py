"""An interrupt waits for the end of a block; an ignored signal stays ignored."""

import os
import signal
import subprocess

import pytest

from spade_spark.interrupts import SIGNALS, deferred_interrupts
from spade_spark.sandbox.services import S3Server
from spade_spark.sandbox.subprocesses import run_supervised

pytestmark = pytest.mark.usefixtures("default_signals")


def test_an_interrupt_is_delivered_after_the_block():
    done = False
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("ignored", SIGNALS)
def test_an_ignored_signal_stays_ignored_if_the_block_sets_a_handler(ignored):
    """PySpark sets its own handler when it starts."""
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
def test_an_interrupt_during_the_start_of_a_child_leaves_no_process(monkeypatch, start):
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
