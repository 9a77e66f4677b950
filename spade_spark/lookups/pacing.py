"""How often others are asked: not faster than a rate, and not again at once after a failure."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Lets callers through one by one, at most ``rate`` a second in this process.

    Slots are not saved up: after a quiet time there is no burst.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Returns when the caller's turn has come."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            time.sleep(turn - now)


class Pause:
    """A time of ``seconds`` after a failure, in which another try would be in vain."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    @property
    def on(self) -> bool:
        """Whether the time of the last :meth:`begin` has not passed."""
        return time.monotonic() < self._end

    def begin(self) -> None:
        """Begins the pause, anew if it is on already."""
        self._end = time.monotonic() + self._seconds
