"""The identity of a process, and whether a process of this machine has ended."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ENDED_STATES = "ZX"  # a zombie has ended, although its process id still exists


@dataclass(frozen=True)
class Process:
    """One process on one machine.

    Attributes:
        user: The user who started it.
        host: The host name, for people.
        pid: The process id.
        machine: Identifies the machine, its boot and the container.
        started: The start time from the kernel, which detects a reused process id; empty if the
            system does not provide it.
    """

    user: str
    host: str
    pid: int
    machine: str
    started: str

    @classmethod
    def current(cls) -> Process:
        """Return this process."""
        return cls(_user(), socket.gethostname(), os.getpid(), _machine(), _started(os.getpid()))

    def has_ended(self) -> bool:
        """Whether the process has certainly ended; False for processes of other machines."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # the process exists and belongs to another user
        return bool(self.started) and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return str(os.getuid())


@cache
def _machine() -> str:
    """Identify the machine, its boot and the PID namespace."""
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{host}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{host}/{uuid.getnode():x}"


def _started(pid: int) -> str:
    """Return field 22 of ``/proc/PID/stat`` (proc(5)); empty if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # The name in parentheses may contain anything; field 3, the state, follows it.
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in _ENDED_STATES else fields[18]
