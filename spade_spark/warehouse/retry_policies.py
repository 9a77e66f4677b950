"""Retry policies for loads and for queries before a load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from spade_spark.errors import (
    TransientError,
    WarehouseError,
)
from spade_spark.retry import RetryPolicy
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.connection_info import ConnectionInfo

T = TypeVar("T")

TABLE_RETRIES = RetryPolicy(max_attempts=6, max_seconds=4 * 3600, initial_wait=1, max_wait=60)
"""For the load or undo of a table."""

PREFLIGHT_RETRIES = RetryPolicy(max_attempts=4, max_seconds=60, initial_wait=0.5, max_wait=5)
"""For a query before any change; short, because a user waits for the result."""


def query_with_retries(
    connection_info: ConnectionInfo,
    query: Callable[[Session], T],
    retries: RetryPolicy | None = None,
) -> T:
    """Run a read-only query, with a new session for each attempt.

    Args:
        connection_info: The warehouse.
        query: Runs the query.
        retries: The retry policy; :data:`PREFLIGHT_RETRIES` by default.

    Raises:
        TransientError: All attempts failed.
        WarehouseError: The warehouse rejected the query. Both errors say what to do next.
    """

    def attempt() -> T:
        with Session(connection_info) as session:
            return query(session)

    with with_remediation_hint():
        return (retries or PREFLIGHT_RETRIES).call(attempt)


@contextmanager
def with_remediation_hint() -> Iterator[None]:
    """Add what to do next to errors raised in the block, which must not change any rows."""
    try:
        yield
    except TransientError as error:
        raise type(error)(f"{error}; nothing was changed; run the same command again") from None
    except StatementError as error:
        raise WarehouseError(
            f"{error}; nothing was changed; fix this, then run the same command again"
        ) from None
