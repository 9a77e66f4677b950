"""Limits on requests to other services: a maximum rate, and a cooldown after a failure."""

from __future__ import annotations

import threading
import time


class RateLimiter:
    """Limits callers in this process to ``rate`` per second, at regular intervals.

    Unused slots are not saved, so no burst follows an idle time.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for the caller's slot."""
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next)
            self._next = slot + self._interval
        if slot > now:
            time.sleep(slot - now)


class Cooldown:
    """A period of ``seconds`` after a failure during which a service is not called."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    @property
    def active(self) -> bool:
        """Whether the period is in progress."""
        return time.monotonic() < self._end

    def start(self) -> None:
        """Start or restart the period."""
        self._end = time.monotonic() + self._seconds
