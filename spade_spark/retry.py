"""Retries of operations that fail for a limited time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
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

from spade_spark.errors import TransientError

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, TransientError)


def _log_retry(attempt: int, error: BaseException) -> None:
    _LOG.warning("attempt %d failed and will be retried: %s", attempt, error)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and for how long a failed operation is retried.

    Attributes:
        max_attempts: The maximum number of attempts, the first one included.
        max_seconds: An attempt that fails later than this after the first start is not retried.
        initial_wait: Seconds before the second attempt. The wait doubles with each attempt, and a
            random time of up to ``initial_wait`` is added to each.
        max_wait: The maximum wait in seconds, before the random time is added.
    """

    max_attempts: int
    max_seconds: float
    initial_wait: float
    max_wait: float

    def call(
        self,
        operation: Callable[[], T],
        *,
        retry_if: Callable[[BaseException], bool] = _is_transient,
        requested_wait: Callable[[BaseException], float | None] = lambda _: None,
        before_wait: Callable[[int, BaseException], None] = _log_retry,
        stop: threading.Event | None = None,
    ) -> T:
        """Call ``operation`` until it succeeds or may not be retried.

        Args:
            operation: The operation. It must be safe to repeat.
            retry_if: Whether an error may be retried; by default, if it is a TransientError.
            requested_wait: Seconds to wait after an error instead of the back-off; None for the
                back-off.
            before_wait: Called before each wait with the number of attempts so far and the error;
                logs them by default.
            stop: Once it is set, a wait ends early and no error is retried.

        Raises:
            Exception: The error of the last attempt.
        """
        stop = stop or threading.Event()
        back_off = wait_exponential(self.initial_wait, self.max_wait) + wait_random(
            0, self.initial_wait
        )

        def wait(state: RetryCallState) -> float:
            seconds = requested_wait(_error(state))
            return back_off(state) if seconds is None else seconds

        return Retrying(
            retry=retry_if_exception(lambda error: retry_if(error) and not stop.is_set()),
            stop=stop_after_attempt(self.max_attempts) | stop_after_delay(self.max_seconds),
            wait=wait,
            sleep=sleep_using_event(stop),
            before_sleep=lambda state: before_wait(state.attempt_number, _error(state)),
            reraise=True,
        )(operation)


def _error(state: RetryCallState) -> BaseException:
    """The error of an attempt that failed."""
    error = state.outcome.exception() if state.outcome else None
    assert error is not None, "only a failed attempt is retried"
    return error
