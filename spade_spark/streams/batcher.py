"""Groups rows into globs, and records into batches, by size, number and age."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_UNLIMITED = -1


class Batcher(Generic[Item]):
    """Collects items into batches, in order.

    An item that would exceed a limit starts a new batch. An item larger than ``max_size`` gets its
    own batch.

    Args:
        max_size: Maximum bytes of a batch, including the overhead.
        max_age: Maximum seconds that the oldest item waits.
        max_entries: Maximum number of items; -1 for no limit.
        overhead: Additional bytes of each item.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self,
        max_size: int,
        max_age: float,
        *,
        max_entries: int = _UNLIMITED,
        overhead: int = 0,
        clock: Callable[[], float],
    ) -> None:
        self._max_size, self._max_age, self._max_entries = max_size, max_age, max_entries
        self._overhead, self._clock = overhead, clock
        self._waiting: list[Item] = []
        self._size = 0
        self._oldest = 0.0

    def add(self, item: Item, size: int) -> list[Item]:
        """Add an item of ``size`` bytes; return the batch that this completes, or nothing."""
        complete: list[Item] = []
        if self._size + size > self._max_size or len(self._waiting) == self._max_entries:
            complete = self.flush()
        if not self._waiting:
            self._oldest = self._clock()
        self._waiting.append(item)
        self._size += size + self._overhead
        return complete

    def flush_if_due(self) -> list[Item]:
        """Return the current batch if its oldest item has waited for ``max_age``, else nothing."""
        if self._waiting and self._clock() - self._oldest >= self._max_age:
            return self.flush()
        return []

    def flush(self) -> list[Item]:
        """Return the current batch, and start a new one."""
        batch, self._waiting, self._size = self._waiting, [], 0
        return batch
