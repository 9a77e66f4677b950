"""Caches of user ids: one in the process, and memcached, which all executors share.

Both also store that a login has no user id. Memcached is optional: its failures are counted, and
the lookup continues without it.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

from spade_spark.errors import SettingsError
from spade_spark.lookups.rate_limit import Cooldown

# Memcached reads a longer expiry as a Unix time.
_MAX_EXPIRY_SECONDS = 30 * 24 * 3600
_ID = re.compile(rb"-?[0-9]{1,19}")
_MISS = b"none"
# pymemcache parses replies with int() and tuple unpacking, which raise ValueError on garbage.
_FAILURES = (MemcacheError, OSError, ValueError)


class CachedUserId(NamedTuple):
    """The user id of a login; None if the login has none."""

    user_id: int | None


class TtlCache:
    """An LRU cache whose entries expire.

    A hit in ``cachetools.TTLCache`` takes four times as long (measured in ``bench/README.md``).
    Every row with an unknown login is a hit here, because the transform caches only known user ids.
    Not thread-safe: the owner holds a lock.

    Args:
        entries: The maximum number of entries; 0 stores nothing.
        lifetime: Seconds from ``put`` to expiry.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, entries: int, lifetime: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = entries
        self._lifetime = lifetime
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, CachedUserId]] = OrderedDict()

    def get(self, login: str) -> CachedUserId | None:
        """Return the entry of ``login`` and mark it as recently used; None if there is none."""
        entry = self._entries.get(login)
        if entry is None:
            return None
        end, cached = entry
        if self._clock() >= end:
            del self._entries[login]
            return None
        self._entries.move_to_end(login)
        return cached

    def put(self, login: str, cached: CachedUserId) -> None:
        """Store an entry; a full cache evicts the least recently used one."""
        self._entries[login] = (self._clock() + self._lifetime, cached)
        self._entries.move_to_end(login)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


class Memcached:
    """Caches user ids under ``spade-spark:login:<hash>``, as decimal text or ``none``.

    Args:
        server: ``host:port``.
        namespace: Identifies the service and the path in its responses; entries of other
            namespaces are not found.
        lifetime: Seconds to expiry, rounded up; at most 30 days.
        timeout: Seconds to connect, and to wait for a reply.
        pause: Seconds after a failure in which no requests are sent.
    """

    def __init__(
        self,
        server: str,
        *,
        namespace: str,
        lifetime: float,
        timeout: float = 0.5,
        pause: float = 10,
    ) -> None:
        try:
            self._client = PooledClient(
                server, connect_timeout=timeout, timeout=timeout, no_delay=True
            )
        except ValueError:
            raise SettingsError('lookups.users.memcached must look like "host:11211"') from None
        self._namespace = namespace
        self._expiry = min(max(1, math.ceil(lifetime)), _MAX_EXPIRY_SECONDS)
        self._cooldown = Cooldown(pause)
        self._lock = threading.Lock()
        self._failures = 0

    @property
    def failures(self) -> int:
        """The number of requests without a valid reply."""
        return self._failures

    def get(self, login: str) -> CachedUserId | None:
        """Return the entry of ``login``; None if there is none, or if memcached does not reply."""
        if self._cooldown.active:
            return None
        try:
            value = self._client.get(self._key(login))
        except _FAILURES:
            self._failed()
            return None
        return None if value is None else self._parse(value)

    def put(self, login: str, cached: CachedUserId) -> None:
        """Store an entry if memcached replies."""
        if self._cooldown.active:
            return
        value = _MISS if cached.user_id is None else b"%d" % cached.user_id
        try:
            # With noreply, the client would read an error message as the reply to its next request.
            self._client.set(self._key(login), value, expire=self._expiry, noreply=False)
        except _FAILURES:
            self._failed()

    def _key(self, login: str) -> bytes:
        """Return a hash, because a login may be too long or have characters not allowed in keys."""
        text = f"{self._namespace}\n{login}".encode("utf-8", "surrogatepass")
        return b"spade-spark:login:" + hashlib.sha256(text).hexdigest().encode()

    def _parse(self, value: bytes) -> CachedUserId | None:
        if value == _MISS:
            return CachedUserId(None)
        if _ID.fullmatch(value):
            return CachedUserId(int(value))
        self._count_failure()
        return None

    def _failed(self) -> None:
        self._cooldown.start()
        self._count_failure()

    def _count_failure(self) -> None:
        with self._lock:
            self._failures += 1
