"""What is remembered of logins in one process: the most recently asked ones, for a lifetime."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class Answer(NamedTuple):
    """What is known of a login; that there is no such login is known too."""

    user_id: int | None


class Memory:
    """An LRU map whose entries end.

    It is asked for each row with a login, hence its own few lines: cachetools' TTLCache, which does
    the same, takes six times as long to answer. Not safe among threads; its owner holds a lock.

    Args:
        entries: How many are kept; 0 remembers nothing.
        lifetime: Seconds from when an answer is put to when it is forgotten.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, entries: int, lifetime: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = entries
        self._lifetime = lifetime
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    def get(self, login: str) -> Answer | None:
        """What is remembered of ``login``, which becomes the most recent; None if nothing is."""
        kept = self._kept.get(login)
        if kept is None:
            return None
        end, answer = kept
        if self._clock() >= end:
            del self._kept[login]
            return None
        self._kept.move_to_end(login)
        return answer

    def put(self, login: str, answer: Answer) -> None:
        """Remembers ``answer``; the least recent entry goes where there are too many."""
        self._kept[login] = (self._clock() + self._lifetime, answer)
        self._kept.move_to_end(login)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)
