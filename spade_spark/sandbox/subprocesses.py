"""Child processes that end with their parent, however the parent ends.

A child is a Python module of this package, run as ``python -m MODULE ARGUMENT…``. The child prints
one line when it is ready, and ends when its standard input is closed. That is a pipe whose other
end only the parent has open, so the kernel closes it even if the parent is killed.

Each child has its own session. Ctrl-C on a terminal therefore reaches only the parent, which ends
its children in order.
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

START_TIMEOUT = 60.0
"""Seconds until a child must be ready; it usually takes one, more on a busy machine."""

STOP_TIMEOUT = 10.0
"""Seconds until a child that does not end is killed."""


class ChildProcess:
    """A child that runs during its ``with`` block.

    Attributes:
        ready_line: The line that the child printed when it was ready, such as its URL.
    """

    ready_line: str

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments

    def __enter__(self) -> Self:
        """Start the child and wait until it is ready.

        Raises:
            SpadeError: The child ended, or was not ready in time. Its standard error has the cause.
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
            self.ready_line = self._read_ready_line()
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

    def _read_ready_line(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(START_TIMEOUT):
                raise SpadeError(f"{self._module} was not ready after {START_TIMEOUT:.0f} s")
        line = self._process.stdout.readline().strip()
        if not line:
            raise SpadeError(f"{self._module} did not start; see its output above")
        return line

    def _end(self) -> None:
        end(self._process)


def end(process: subprocess.Popen[Any]) -> None:
    """End a child by closing its standard input; kill it if it does not end."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_supervised(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program, and end it if this process ends first.

    Returns:
        The program's exit status.
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
def interrupt_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does, so that the block cleans up.

    Signals that were ignored when the process started stay ignored: background jobs of a shell
    script ignore SIGINT, and those of ``nohup`` ignore SIGHUP. SIGTERM still ends them.
    """
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in handled}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def report_ready(line: str) -> None:
    """In the child: report that it is ready, with a line such as its URL."""
    # Not sys.stdout, which would raise an error at exit if the parent has ended.
    with suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


def wait_for_parent() -> None:
    """In the child: wait until the parent ends or closes the pipe."""
    # Not sys.stdin: a thread that holds its lock would break the interpreter's shutdown.
    while os.read(0, 1024):
        pass


class SupervisedProcess:
    """In the child: runs another program and ends it when standard input ends.

    Args:
        command: The program and its arguments.
        stop: The signal that asks the program to end; it is killed if it does not.
        options: Further options of :class:`subprocess.Popen`.

    Attributes:
        stopped: Whether standard input has ended.
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
        """Whether the program is running."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait until the program and its process group have ended.

        Returns:
            The program's exit status.
        """
        status = self._process.wait()
        deadline = time.monotonic() + STOP_TIMEOUT / 2
        while self._signal_group(0) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal_group(signal.SIGKILL)
        return status

    def _stop_at_end_of_input(self, stop: signal.Signals) -> None:
        wait_for_parent()
        self.stopped = True
        with suppress(ProcessLookupError):
            self._process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT / 2)
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> bool:
        """Send a signal to the group (0 sends none); return whether the group has a process."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _set_up_signals() -> Callable[[], None]:
    """Return the function that sets up signals before a supervised program starts.

    The program has its own session, so each signal is meant for it, and no signal stays ignored. On
    Linux, the program also ends if its supervisor is killed.
    """
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)

    def set_up() -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if prctl:
            prctl(set_parent_death_signal, signal.SIGTERM)

    return set_up
