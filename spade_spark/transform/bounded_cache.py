"""Bounded caches of texts by the value that they were made from.

Times, addresses and logins repeat, and making their text costs more than the rest of a row. A full
cache drops all its entries: that is cheaper than tracking an order, and it bounds the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from spade_spark.transform.coerce import MISSING

_MAX_ENTRIES: Final = 32_768
_MAX_BATCH_MISSES: Final = 8
"""With more missing keys, a loop is faster than restarting the batch after each of them."""
_MAX_KEY: Final = 1_024
"""Characters. Longer texts rarely repeat and take too much memory."""


class Cache:
    """Caches the result of ``make`` by key, and drops all entries when it is full.

    Hot code calls ``known.get(key) or fill(key)``. A subclass of dict with ``__missing__`` takes
    twice the time, because CPython looks up its items by a method call.

    Attributes:
        known: The cached results.
    """

    __slots__ = ("_make", "_max_entries", "known")

    def __init__(self, make: Callable[[Any], Any], max_entries: int = _MAX_ENTRIES) -> None:
        self.known: dict[Any, Any] = {}
        self._make = make
        self._max_entries = max_entries

    def __getitem__(self, key: Any) -> Any:
        return self.known[key] if key in self.known else self.fill(key)

    def get_all(self, keys: Sequence[Any]) -> Sequence[Any]:
        """Return the results of all keys, in two thirds of the time of a loop."""
        if len(keys) <= 1:  # an itemgetter of one key returns no tuple, and it needs a key
            return [self[key] for key in keys]
        take = itemgetter(*keys)
        for _ in range(_MAX_BATCH_MISSES):
            try:
                # The entries are scattered over the memory. In a loop this tight, the processor
                # waits for several of them at once.
                results: tuple[Any, ...] = take(self.known)
            except KeyError as missing:  # noqa: PERF203 - few
                self.fill(missing.args[0])
            else:
                return results
        return [self.known.get(key) or self.fill(key) for key in keys]

    def fill(self, key: Any) -> Any:
        """Make and cache the result of a key that is not cached."""
        result = self._make(key)
        if type(key) is str and len(key) > _MAX_KEY:  # clients send texts of any length
            return result
        if len(self.known) >= self._max_entries:
            self.known.clear()
        self.known[key] = result
        return result


class HitOnlyCache(Cache):
    """A cache that does not keep misses: a login without an id may have one later."""

    __slots__ = ()

    def fill(self, key: Any) -> Any:
        """See :class:`Cache`."""
        result = super().fill(key)
        if result is MISSING:
            self.known.pop(key, None)
        return result
