"""Faults that tests inject into the server."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.support.fault_points import FaultTrigger

Action = Literal[
    "refuse", "refuse_after", "answer", "drop_before", "drop_after", "drop_then_run", "call"
]


@dataclass
class Fault(FaultTrigger):
    """A fault at a statement.

    Attributes:
        statement: A regular expression that is searched in statements.
        action: ``refuse``: reject the statement; ``refuse_after``: run it, but answer with the
            error; ``answer``: run it, but answer with another command tag; ``drop_before``,
            ``drop_after``: drop the connection before or after running it; ``drop_then_run``:
            drop the connection, then run it; ``call``: call a function first.
        message: The error message.
        detail: The error's detail.
        sqlstate: The SQLSTATE.
        tag: The command tag for ``answer``.
        instead: For ``answer``: a statement to run instead.
        seconds: How long the session stays open in the warehouse after a drop. With
            ``drop_then_run``: the delay before the statement runs.
        function: The function for ``call``. It runs in the session's thread.
    """

    statement: str
    action: Action = "refuse"
    message: str = "1023"
    detail: str = (
        "Serializable isolation violation on table - 108263, transactions forming the cycle are: "
        "647671, 647682 (pid:23880)"
    )
    sqlstate: str = "XX000"
    tag: str = ""
    instead: str = ""
    seconds: float = 0
    function: Callable[[], None] = lambda: None

    def applies_to(self, sql: str) -> bool:
        return self.fires(re.search(self.statement, sql, re.IGNORECASE) is not None)


class Faults:
    """The pending faults, shared by all sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._pending.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def at(self, sql: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._pending if fault.applies_to(sql)), None)
