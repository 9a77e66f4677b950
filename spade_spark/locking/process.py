"""Which process this is, for others to see, and whether one of this machine has ended."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ENDED_STATES = "ZX"  # a zombie has ended, though its number is still taken


@dataclass(frozen=True)
class Process:
    """One process on one machine.

    Attributes:
        user: Who started it.
        host: The machine's name, for people.
        pid: Its number.
        machine: Tells machines, boots and containers apart, whatever they are called.
        started: When it was started, in the kernel's own words, so that a number that was given to
            another process is not taken for it; empty where the system does not say.
    """

    user: str
    host: str
    pid: int
    machine: str
    started: str

    @classmethod
    def current(cls) -> Process:
        """This process."""
        return cls(_user(), socket.gethostname(), os.getpid(), _machine(), _started(os.getpid()))

    def has_ended(self) -> bool:
        """Whether it is certain that the process has ended: never so for another machine's."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # there is such a process; whose it is cannot always be seen
        return bool(self.started) and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


@cache
def _machine() -> str:
    """This boot of this machine, and the container where numbers of processes mean something."""
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{host}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{host}/{uuid.getnode():x}"


def _started(pid: int) -> str:
    """Field 22 of ``/proc/PID/stat`` (proc(5)); empty where the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # The name before the last parenthesis may hold anything; the state, field 3, follows it.
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in _ENDED_STATES else fields[18]
