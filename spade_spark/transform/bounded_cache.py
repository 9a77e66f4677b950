"""Texts remembered by what they were made of.

Times, addresses and logins repeat, and making their text anew costs more than the rest of a row. A
memo forgets everything when it is full: that is cheaper than to keep an order, and bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from spade_spark.transform.coerce import MISSING

_ENTRIES: Final = 32_768
_FILLS: Final = 8
"""With more keys that are not known, a loop is quicker than to begin anew behind each."""
_MAX_KEY: Final = 1_024
"""Characters; longer texts hardly repeat, and would take memory."""


class Cache:
    """Remembers what ``make`` made of a key, and forgets all when it is full.

    Where time matters, ``known.get(key) or fill(key)``: a subclass of dict with ``__missing__``
    would be looked up by a method, in twice the time.

    Attributes:
        known: What is remembered.
    """

    __slots__ = ("_entries", "_make", "known")

    def __init__(self, make: Callable[[Any], Any], entries: int = _ENTRIES) -> None:
        self.known: dict[Any, Any] = {}
        self._make = make
        self._entries = entries

    def __getitem__(self, key: Any) -> Any:
        return self.known[key] if key in self.known else self.fill(key)

    def all_of(self, keys: Sequence[Any]) -> Sequence[Any]:
        """What is made of each of the keys, in two thirds of the time of a loop."""
        if len(keys) <= 1:  # an itemgetter makes no tuple of one, and there is none of nothing
            return [self[key] for key in keys]
        take = itemgetter(*keys)
        for _ in range(_FILLS):
            try:
                # What is known lies anywhere in memory: in a loop this tight, the processor waits
                # for several at once.
                found: tuple[Any, ...] = take(self.known)
            except KeyError as missing:  # noqa: PERF203 - few
                self.fill(missing.args[0])
            else:
                return found
        return [self.known.get(key) or self.fill(key) for key in keys]

    def fill(self, key: Any) -> Any:
        """What is made of a key that is not known."""
        made = self._make(key)
        if type(key) is str and len(key) > _MAX_KEY:  # what clients send may be of any length
            return made
        if len(self.known) >= self._entries:
            self.known.clear()
        self.known[key] = made
        return made


class HitOnlyCache(Cache):
    """A memo that does not remember what is missing: what has no id now may have one later."""

    __slots__ = ()

    def fill(self, key: Any) -> Any:
        """See :class:`Cache`."""
        made = super().fill(key)
        if made is MISSING:
            self.known.pop(key, None)
        return made
