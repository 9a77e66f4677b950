"""Gathers entries by size, number and age: into globs, and into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_NO_BOUND = -1


class Batcher(Generic[Item]):
    """What waits to be sent, in the order in which it came.

    An entry that would make the rest too large, or one too many, waits for the next. One that is
    too large by itself goes alone.

    Args:
        max_size: Bytes of all entries, and of what stands before and between them.
        max_age: Seconds that the oldest entry may wait.
        max_entries: Entries; -1 for any number.
        overhead: Bytes that stand before each entry.
        clock: Seconds, from any point in time.
    """

    def __init__(
        self,
        max_size: int,
        max_age: float,
        *,
        max_entries: int = _NO_BOUND,
        overhead: int = 0,
        clock: Callable[[], float],
    ) -> None:
        self._max_size, self._max_age, self._max_entries = max_size, max_age, max_entries
        self._overhead, self._clock = overhead, clock
        self._waiting: list[Item] = []
        self._size = 0
        self._began = 0.0

    def add(self, item: Item, size: int) -> list[Item]:
        """Takes an entry of ``size`` bytes; what is complete without it, or nothing."""
        complete: list[Item] = []
        if self._size + size > self._max_size or len(self._waiting) == self._max_entries:
            complete = self.take()
        if not self._waiting:
            self._began = self._clock()
        self._waiting.append(item)
        self._size += size + self._overhead
        return complete

    def take_old(self) -> list[Item]:
        """What has waited for too long, or nothing."""
        if self._waiting and self._clock() - self._began >= self._max_age:
            return self.take()
        return []

    def take(self) -> list[Item]:
        """All that waits."""
        taken, self._waiting, self._size = self._waiting, [], 0
        return taken
