"""Processes as a shell would start them, and what a process list shows of them meanwhile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class ProcessResult:
    """What is left of a process.

    Attributes:
        status: Its exit status.
        out: What it wrote on standard output.
        err: What it wrote on standard error.
        commands: The command line of every process that it started, at any depth, as seen in the
            process list some dozen times a second.
    """

    status: int
    out: str
    err: str
    commands: frozenset[str]


def environment(**more):
    """The environment with this Python's programs first in PATH, and without a user's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPADE_")}
    return {**kept, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **more}


def free_port():
    """A port of the loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run(*command, cwd, **more):
    """Runs a command to its end and looks at the process list meanwhile."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with _looking(process) as seen:
        out, err = process.communicate(timeout=120)
    return ProcessResult(process.returncode, out, err, frozenset(seen))


@contextmanager
def _looking(process):
    """Collects the command lines of a process's descendants from another thread."""
    seen: set[str] = set()

    def look():
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for each in _family(psutil.Process(process.pid)):
                    with suppress(psutil.NoSuchProcess):
                        seen.add(" ".join(each.cmdline()))
            time.sleep(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        thread.join()


def _family(process):
    return [process, *process.children(recursive=True)]
