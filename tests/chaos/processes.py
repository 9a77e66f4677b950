"""The processes of one command: driver, Spark's JVM and Python workers, from Linux's /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-c", "from spade_spark.cli.main import run; run()")

_GRACE_SECONDS = 15.0  # for the children of a dead driver to exit


@dataclass(frozen=True)
class Process:
    """A snapshot of one process.

    Attributes:
        pid: Its process id.
        parent: The process id of its parent.
        session: Its session id, which is the process id of the session leader.
        arguments: Its command line.
    """

    pid: int
    parent: int
    session: int
    arguments: tuple[str, ...]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class ProcessTree:
    """A command in its own session, and all processes that it starts.

    Args:
        arguments: The command's arguments.
        environ: Its environment.
        out: The file for its output; its folder is the working directory.
        command: The program; ``spade-spark`` by default.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        out: Path,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._out = out
        with out.open("wb") as stream:
            self.driver = subprocess.Popen(
                [*command, *arguments],
                env=environ,
                cwd=out.parent,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> list[Process]:
        """All running processes, including the driver."""
        return in_sessions({self.driver.pid})

    def workers(self) -> list[Process]:
        """The Python workers of executors that run in the driver's JVM."""
        return python_workers(self.processes())

    def wait(self, seconds: float) -> int:
        """Wait for the driver; return its exit status, which is -9 if it was killed.

        Its children get some time to exit, and are then killed.
        """
        try:
            return self.driver.wait(seconds)
        finally:
            deadline = time.monotonic() + _GRACE_SECONDS
            while self.driver.poll() is not None and self.processes():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            for process in self.processes():
                process.kill()
            self.driver.wait()

    @property
    def output(self) -> str:
        """Its standard output and standard error."""
        return self._out.read_text("utf-8", "replace")


def in_sessions(sessions: Collection[int]) -> list[Process]:
    """All running processes of these sessions."""
    return [process for process in _all_processes() if process.session in sessions]


def python_workers(processes: Collection[Process]) -> list[Process]:
    """Select Spark's Python workers: the children of the daemon that forks them."""
    daemons = [process for process in processes if "pyspark.daemon" in process.arguments]
    pids = {daemon.pid for daemon in daemons}
    return [process for process in daemons if process.parent in pids]


def _all_processes() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            # A process may exit while it is read. A zombie has already exited.
            with suppress(OSError):
                # The name in parentheses may contain anything: see proc(5).
                stat = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if stat[0] not in "ZX":
                    yield Process(
                        int(folder.name), int(stat[1]), int(stat[3]), tuple(arguments[:-1])
                    )
