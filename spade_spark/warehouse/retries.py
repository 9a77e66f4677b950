"""Tries again what may pass: a whole load of a table, or a question before anything is begun."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from spade_spark.errors import PassingFault, WarehouseError
from spade_spark.warehouse.connection import Session, Target, WarehouseRefusal

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retries:
    """How long passing faults are tried again.

    Attributes:
        attempts: The most tries of one table.
        seconds: The time after which no new try is begun.
        first_wait: Seconds before the second try; it doubles, with jitter.
        longest_wait: The most seconds between two tries.
        lookup_seconds: How long a look at the ledger may wait for a lost session to end.
    """

    attempts: int = 6
    seconds: float = 4 * 3600
    first_wait: float = 1
    longest_wait: float = 60
    lookup_seconds: float = 180

    def of(
        self, stop: threading.Event, before_wait: Callable[[RetryCallState], None] = lambda _: None
    ) -> Retrying:
        """Calls a function, and again while it raises passing faults and ``stop`` is not set."""
        return Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, PassingFault) and not stop.is_set()
            ),
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.seconds),
            wait=wait_exponential(self.first_wait, self.longest_wait)
            + wait_random(0, self.first_wait),
            sleep=sleep_using_event(stop),
            before_sleep=before_wait,
            reraise=True,
        )


BEFOREHAND = Retries(attempts=4, seconds=60, first_wait=0.5, longest_wait=5)
"""Somebody waits at the terminal, perhaps for a host whose name is wrong: a few seconds."""


def ask(target: Target, question: Callable[[Session], T], retries: Retries | None = None) -> T:
    """The answer to a question that changes nothing, in a session of its own for each try.

    Args:
        target: Who is asked.
        question: Asks.
        retries: How often, and how long; :data:`BEFOREHAND` if left out.

    Raises:
        PassingFault: Nobody answers, or another transaction won, each time.
        WarehouseError: The warehouse refuses. Both say what to do next.
    """

    def once() -> T:
        with Session(target) as session:
            return question(session)

    with advised():
        return (retries or BEFOREHAND).of(threading.Event(), _log_wait)(once)


@contextmanager
def advised() -> Iterator[None]:
    """What the warehouse says inside the block, before any row is changed, gets what to do next."""
    try:
        yield
    except PassingFault as fault:
        raise type(fault)(f"{fault}; nothing was changed, run the same command again") from None
    except WarehouseRefusal as refusal:
        raise WarehouseError(
            f"{refusal}; nothing was changed: mend that, then run the same command again"
        ) from None


def _log_wait(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _LOG.warning("try %s failed and is tried again: %s", state.attempt_number, error)
