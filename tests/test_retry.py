"""Retries: which errors, how many attempts, how long, and the waits between them."""

from __future__ import annotations

import threading
import time

import pytest

from spade_spark.errors import InputError, TransientError
from spade_spark.retry import RetryPolicy


class Waits(threading.Event):
    """A stop event that records the requested waits instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return self.is_set()


class Operation:
    """Raises ``error`` in the first ``failures`` calls and then returns the number of calls."""

    def __init__(self, error: Exception, failures: int = 1_000_000) -> None:
        self.error = error
        self.failures = failures
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return self.calls


POLICY = RetryPolicy(max_attempts=5, max_seconds=60, initial_wait=1, max_wait=4)


def test_a_transient_error_is_retried_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert POLICY.call(Operation(TransientError("busy"), failures=2), stop=Waits()) == 3
    assert caplog.messages == [
        "attempt 1 failed and will be retried: busy",
        "attempt 2 failed and will be retried: busy",
    ]


def test_other_errors_are_not_retried() -> None:
    operation = Operation(InputError("wrong"))
    with pytest.raises(InputError, match="wrong"):
        POLICY.call(operation, stop=Waits())
    assert operation.calls == 1


def test_the_caller_decides_which_errors_are_retried() -> None:
    operation = Operation(KeyError("k"), failures=1)
    assert POLICY.call(operation, retry_if=lambda e: isinstance(e, KeyError), stop=Waits()) == 2


def test_waits_double_up_to_the_maximum_and_have_jitter() -> None:
    waits = Waits()
    with pytest.raises(TransientError):
        POLICY.call(Operation(TransientError("busy")), stop=waits)
    assert len(waits.seconds) == 4, "five attempts"
    for seconds, base in zip(waits.seconds, (1, 2, 4, 4), strict=True):
        assert base <= seconds <= base + 1


def test_a_wait_that_the_error_requests_replaces_the_back_off() -> None:
    waits = Waits()
    POLICY.call(
        Operation(TransientError("busy"), failures=2),
        requested_wait=lambda _: 0.25 if not waits.seconds else None,
        stop=waits,
    )
    assert waits.seconds[0] == 0.25
    assert waits.seconds[1] >= 2


def test_nothing_is_retried_after_the_maximum_time() -> None:
    policy = RetryPolicy(max_attempts=1000, max_seconds=0.05, initial_wait=0.01, max_wait=0.01)
    start = time.monotonic()
    with pytest.raises(TransientError):
        policy.call(Operation(TransientError("busy")))
    assert 0.05 <= time.monotonic() - start < 5


def test_stop_ends_a_wait_and_the_retries() -> None:
    policy = RetryPolicy(max_attempts=5, max_seconds=600, initial_wait=300, max_wait=300)
    stop = threading.Event()
    operation = Operation(TransientError("busy"))
    start = time.monotonic()
    with pytest.raises(TransientError):
        policy.call(operation, before_wait=lambda *_: stop.set(), stop=stop)
    assert operation.calls == 2, "the wait ends, and the operation sees the event"
    assert time.monotonic() - start < 60


def test_before_wait_gets_the_attempt_and_its_error() -> None:
    error = TransientError("busy")
    calls: list[tuple[int, BaseException]] = []
    POLICY.call(
        Operation(error, failures=2), before_wait=lambda *call: calls.append(call), stop=Waits()
    )
    assert calls == [(1, error), (2, error)]
