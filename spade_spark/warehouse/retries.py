"""Tries again what may pass: a whole load of a table, or a question before anything is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from spade_spark.errors import (
    TransientError,
    WarehouseError,
)
from spade_spark.retry import RetryPolicy
from spade_spark.warehouse.connection import ConnectionInfo, Session, StatementError

T = TypeVar("T")

TABLE_RETRIES = RetryPolicy(max_attempts=6, max_seconds=4 * 3600, initial_wait=1, max_wait=60)
"""Of the load or the undo of a table."""

PREFLIGHT_RETRIES = RetryPolicy(max_attempts=4, max_seconds=60, initial_wait=0.5, max_wait=5)
"""Of a query before any change: a user waits for the result, perhaps with a wrong host name."""


def query_with_retries(
    connection_info: ConnectionInfo,
    question: Callable[[Session], T],
    retries: RetryPolicy | None = None,
) -> T:
    """The answer to a question that changes nothing, in a session of its own for each try.

    Args:
        connection_info: Who is asked.
        question: Asks.
        retries: How often, and how long; :data:`PREFLIGHT_RETRIES` if left out.

    Raises:
        TransientError: Nobody answers, or another transaction won, each time.
        WarehouseError: The warehouse refuses. Both say what to do next.
    """

    def once() -> T:
        with Session(connection_info) as session:
            return question(session)

    with with_remediation_hint():
        return (retries or PREFLIGHT_RETRIES).call(once)


@contextmanager
def with_remediation_hint() -> Iterator[None]:
    """What the warehouse says inside the block, before any row is changed, gets what to do next."""
    try:
        yield
    except TransientError as fault:
        raise type(fault)(f"{fault}; nothing was changed, run the same command again") from None
    except StatementError as refusal:
        raise WarehouseError(
            f"{refusal}; nothing was changed: mend that, then run the same command again"
        ) from None
