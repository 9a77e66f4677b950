"""What the server can be told to do wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.support.fault_points import FaultTrigger

Action = Literal["refuse", "drop_before", "drop_after", "drop_then_run", "call"]


@dataclass
class Fault(FaultTrigger):
    """Something that goes wrong at a statement.

    Attributes:
        statement: A regular expression; the fault strikes at statements that it is found in.
        action: ``refuse`` it with an error; drop the connection before or after it is carried
            out; drop the connection and only then carry it out; or ``call`` a function first.
        message: What a refusal says.
        detail: The refusal's second line.
        sqlstate: The refusal's SQLSTATE.
        seconds: How long the session lives on in the warehouse after a drop; with
            ``drop_then_run``, how long before the statement is carried out.
        function: What ``call`` calls, in the session's thread.
    """

    statement: str
    action: Action = "refuse"
    message: str = "1023"
    detail: str = (
        "Serializable isolation violation on table - 108263, transactions forming the cycle are: "
        "647671, 647682 (pid:23880)"
    )
    sqlstate: str = "XX000"
    seconds: float = 0
    function: Callable[[], None] = lambda: None

    def applies_to(self, sql: str) -> bool:
        return self.fires(re.search(self.statement, sql, re.IGNORECASE) is not None)


class Faults:
    """The faults that wait, shared by all sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def at(self, sql: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._waiting if fault.applies_to(sql)), None)
