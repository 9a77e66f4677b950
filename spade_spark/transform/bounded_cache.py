"""Bounded caches of converted values.

Times, addresses and logins repeat, and converting them costs more than the rest of a row. A full
cache drops all its entries, which is cheaper than tracking which were used last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from spade_spark.transform.coerce import MISSING

_MAX_ENTRIES: Final = 32_768
_MAX_BATCH_MISSES: Final = 8
"""With more missing keys, a loop is faster than restarting the batch after each."""
_MAX_KEY_LENGTH: Final = 1_024
"""Longer strings rarely repeat and use too much memory."""


class Cache:
    """Caches the results of ``compute`` by key, and drops all entries when it is full.

    Hot code calls ``known.get(key) or fill(key)``. A dict subclass with ``__missing__`` takes twice
    as long, because CPython calls a method to look up its items.

    Attributes:
        known: The cached results by key.
    """

    __slots__ = ("_compute", "_max_entries", "known")

    def __init__(self, compute: Callable[[Any], Any], max_entries: int = _MAX_ENTRIES) -> None:
        self.known: dict[Any, Any] = {}
        self._compute = compute
        self._max_entries = max_entries

    def __getitem__(self, key: Any) -> Any:
        return self.known[key] if key in self.known else self.fill(key)

    def get_all(self, keys: Sequence[Any]) -> Sequence[Any]:
        """Return the results of all keys; takes two thirds of the time of a loop."""
        if len(keys) <= 1:  # an itemgetter of one key returns no tuple
            return [self[key] for key in keys]
        get_items = itemgetter(*keys)
        for _ in range(_MAX_BATCH_MISSES):
            try:
                # The entries are scattered in memory. In a loop this tight, the CPU fetches several
                # of them in parallel.
                results: tuple[Any, ...] = get_items(self.known)
            except KeyError as missing:  # noqa: PERF203 - rarely raised
                self.fill(missing.args[0])
            else:
                return results
        return [self.known.get(key) or self.fill(key) for key in keys]

    def fill(self, key: Any) -> Any:
        """Compute and cache the result of a missing key."""
        result = self._compute(key)
        if type(key) is str and len(key) > _MAX_KEY_LENGTH:  # clients send strings of any length
            return result
        if len(self.known) >= self._max_entries:
            self.known.clear()
        self.known[key] = result
        return result


class HitOnlyCache(Cache):
    """A cache that does not keep misses: a login without an id may get one later."""

    __slots__ = ()

    def fill(self, key: Any) -> Any:
        """See :class:`Cache`."""
        result = super().fill(key)
        if result is MISSING:
            self.known.pop(key, None)
        return result
