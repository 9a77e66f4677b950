"""Processes that end with the one that started them, however that one ends.

A child is a Python module of this package, run as ``python -m MODULE ARGUMENT…``. The two sides
agree on two things only: the child prints one line when it is ready, and it ends when its standard
input does. The other end of that pipe is held by the parent alone, so that the kernel closes it
whether the parent leaves in good order, by an exception, by SIGTERM or by SIGKILL.

A child stands in a session of its own: the terminal's Ctrl-C reaches the parent only, which then
ends what it started in the order that it wants.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from spade_spark.errors import SpadeError
from spade_spark.interrupts import SIGNALS, deferred_interrupts

if TYPE_CHECKING:
    from typing_extensions import Self

START_SECONDS = 60.0
"""How long a child may take to be ready; they take about one second each,
several where many processes share the machine."""

STOP_SECONDS = 10.0
"""How long a child may take to end before it is killed."""


class ChildProcess:
    """A running child, ready for use inside its ``with`` block.

    Attributes:
        answer: The line that the child printed when it was ready: where it listens.
    """

    answer: str

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments

    def __enter__(self) -> Self:
        """Starts the child and waits until it is ready.

        Raises:
            SpadeError: It ended, or was not ready in time; what it wrote to standard error says
                why.
        """
        command = [sys.executable, "-m", self._module, *self._arguments]
        with ExitStack() as stack:
            with deferred_interrupts():
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                    text=True,
                )
                stack.callback(self._end)
            self.answer = self._first_line()
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(START_SECONDS):
                raise SpadeError(f"{self._module} was not ready after {START_SECONDS:.0f} s")
        line = self._process.stdout.readline().strip()
        if not line:
            raise SpadeError(f"{self._module} did not start; see what it wrote above")
        return line

    def _end(self) -> None:
        end(self._process)


def end(process: subprocess.Popen[Any]) -> None:
    """Ends a child by ending its standard input; kills it where that is not enough."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_kept(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs a program to its end, on this terminal; if we end before it, however, it ends too.

    Returns:
        Its exit status.
    """
    with ExitStack() as stack:
        with deferred_interrupts():
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "spade_spark.sandbox.supervise", *command],
                stdin=subprocess.PIPE,
                start_new_session=True,
                env=environ,
            )
            stack.callback(end, process)
        return process.wait()


@contextmanager
def every_signal_interrupts() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end the block as Ctrl-C does, so that everything is put away.

    A signal that was ignored when the process started stays ignored. A script starts its background
    jobs with SIGINT ignored, and ``nohup`` ignores SIGHUP: neither Ctrl-C, which is meant for the
    script, nor the end of the terminal stops such a job. SIGTERM stops it.
    """
    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, signal.default_int_handler) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def announce(answer: str) -> None:
    """The child's side: says that it is ready, and where."""
    # Not sys.stdout, which would complain at the end where the parent is gone already.
    with suppress(BrokenPipeError):
        os.write(1, f"{answer}\n".encode())


def await_end() -> None:
    """The child's side: returns when the parent is gone or wants the child to end."""
    # Not sys.stdin: a thread that waits inside its lock would upset the interpreter's end.
    while os.read(0, 1024):
        pass


class SupervisedProcess:
    """The child's side: a program that knows nothing of the pipe, ended when our input ends.

    Args:
        command: The program and its arguments.
        stop: The signal that asks the program to end; it is killed where that is not enough.
        options: Further options of :class:`subprocess.Popen`.

    Attributes:
        stopped: Whether it was asked to end.
    """

    def __init__(self, command: Sequence[str], stop: signal.Signals, **options: Any) -> None:
        self.stopped = False
        self._process = subprocess.Popen(  # noqa: S603 - no shell
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_set_up_signals(),  # noqa: PLW1509 - no other thread runs yet
            **options,
        )
        threading.Thread(target=self._stop_at_end_of_input, args=(stop,), daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Waits until the program, and what it started in its group, has ended.

        Returns:
            The program's exit status.
        """
        status = self._process.wait()
        deadline = time.monotonic() + STOP_SECONDS / 2
        while self._signal_group(0) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal_group(signal.SIGKILL)
        return status

    def _stop_at_end_of_input(self, stop: signal.Signals) -> None:
        await_end()
        self.stopped = True
        with suppress(ProcessLookupError):
            self._process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS / 2)
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> bool:
        """Sends a signal to the whole group (0 sends none); says whether anybody is in it."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _set_up_signals() -> Callable[[], None]:
    """What a kept program does right before it starts.

    It takes signals as usual, although a background job ignores some and its children inherit that.
    The program has its own session: no terminal sends it a signal, so each one is meant for it. On
    Linux it ends with its parent, even if the parent is killed.
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)

    def set_up() -> None:
        for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        if prctl:
            prctl(set_parent_death_signal, signal.SIGTERM)

    return set_up
