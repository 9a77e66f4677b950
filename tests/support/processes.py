"""Runs commands as a shell does, and records what a process list shows meanwhile."""

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
    """The result of a process.

    Attributes:
        status: Its exit status.
        out: Its standard output.
        err: Its standard error.
        commands: The command lines of all its descendants, sampled about 20 times a second.
    """

    status: int
    out: str
    err: str
    commands: frozenset[str]


def environment(**variables):
    """Put this Python's programs first in PATH, and remove the user's SPADE settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPADE_")}
    return {**inherited, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **variables}


def free_port():
    """Return an unused port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run(*command, cwd, **variables):
    """Run a command to its end, and record the process list meanwhile."""
    process = subprocess.Popen(
        [str(argument) for argument in command],
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with _recorded_commands(process) as commands:
        out, err = process.communicate(timeout=120)
    return ProcessResult(process.returncode, out, err, frozenset(commands))


@contextmanager
def _recorded_commands(process):
    """Record the command lines of a process and its descendants in another thread."""
    commands: set[str] = set()

    def record():
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for member in _process_tree(psutil.Process(process.pid)):
                    with suppress(psutil.NoSuchProcess):
                        commands.add(" ".join(member.cmdline()))
            time.sleep(0.05)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield commands
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        thread.join()


def _process_tree(process):
    return [process, *process.children(recursive=True)]
