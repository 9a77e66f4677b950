"""The processes of one command: its driver, Spark's Java, Python workers; by Linux's /proc."""

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

_PATIENCE = 15.0  # seconds that what a dead driver leaves behind may take to end


@dataclass(frozen=True)
class Process:
    """One process, as it was when it was looked at.

    Attributes:
        pid: Its number.
        parent: Its parent's number.
        session: Its session's number: that of the process that began the session.
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
    """A command in a session of its own, and all that it starts.

    Args:
        arguments: The command's words.
        environ: Its environment.
        out: Where what it says is kept; its working directory is the folder of it.
        command: What is run; left out, ``spade-spark``.
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
        """All that live, the driver among them."""
        return in_sessions({self.driver.pid})

    def workers(self) -> list[Process]:
        """The Python workers of its executors, where these run in its own Java."""
        return python_workers(self.processes())

    def wait(self, seconds: float) -> int:
        """Waits for the driver's end; its exit status, -9 where it was killed.

        Whatever it leaves behind may end by itself, and is killed where it does not.
        """
        try:
            return self.driver.wait(seconds)
        finally:
            deadline = time.monotonic() + _PATIENCE
            while self.driver.poll() is not None and self.processes():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            for each in self.processes():
                each.kill()
            self.driver.wait()

    @property
    def output(self) -> str:
        """What it said, on either stream."""
        return self._out.read_text("utf-8", "replace")


def in_sessions(sessions: Collection[int]) -> list[Process]:
    """All that live in sessions of these numbers."""
    return [each for each in _everybody() if each.session in sessions]


def python_workers(processes: Collection[Process]) -> list[Process]:
    """Spark's Python workers among them: children of the daemon that forks them."""
    daemons = [each for each in processes if "pyspark.daemon" in each.arguments]
    pids = {each.pid for each in daemons}
    return [each for each in daemons if each.parent in pids]


def _everybody() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            # Processes end while they are looked at; a zombie has ended but for its parent.
            with suppress(OSError):
                # The name, in parentheses, may hold anything: proc(5).
                stat = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if stat[0] not in "ZX":
                    yield Process(int(folder.name), int(stat[1]), int(stat[3]), tuple(words[:-1]))
