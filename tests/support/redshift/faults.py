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

CONFLICTS = {
    "1023": {
        "message": "1023",
        "detail": "Serializable isolation violation on table - 108263, transactions forming the "
        "cycle are: 647671, 647682 (pid:23880)",
        "sqlstate": "XX000",
    },
    "1018": {"message": "1018", "detail": "Relation does not exist.", "sqlstate": "XX000"},
    "conflict with concurrent transaction": {
        "message": "could not complete because of conflict with concurrent transaction",
        "detail": "",
        "sqlstate": "XX000",
    },
    "could not open relation": {
        "message": "could not open relation with OID 108263",
        "detail": "",
        "sqlstate": "XX000",
    },
    "relation with OID": {
        "message": "Relation with OID 108263 does not exist",
        "detail": "",
        "sqlstate": "42P01",
    },
    "deadlock": {
        "message": "deadlock detected",
        "detail": "Process 1073 waits for AccessExclusiveLock on relation 108263 of database "
        "100260; blocked by process 1074.",
        "sqlstate": "40P01",
    },
    "tuple concurrently updated": {
        "message": "tuple concurrently updated",
        "detail": "",
        "sqlstate": "XX000",
    },
}
"""Redshift's errors for conflicts with another transaction, as arguments of :class:`Fault`.

A retry of the transaction can succeed.
https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-troubleshooting.html
https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html
https://github.com/dbt-labs/dbt-adapters/issues/626
https://github.com/dbt-labs/dbt-adapters/issues/617
"""


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
    message: str = CONFLICTS["1023"]["message"]
    detail: str = CONFLICTS["1023"]["detail"]
    sqlstate: str = CONFLICTS["1023"]["sqlstate"]
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
