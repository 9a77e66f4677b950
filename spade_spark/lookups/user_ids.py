"""Looks up user ids in the in-process cache, then in memcached, then in the service."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future

from spade_spark.errors import LookupUnavailableError
from spade_spark.lookups.base import LookupStats
from spade_spark.lookups.cache import CachedUserId, Memcached, TtlCache
from spade_spark.lookups.rate_limit import Cooldown
from spade_spark.lookups.user_id_client import USER_ID_RETRIES, UserIdClient
from spade_spark.retry import RetryPolicy
from spade_spark.settings import UsersSettings


class CachedUserIdLookup:
    """Looks up and caches user ids, including the fact that a login has none.

    If the service fails, ``settings.on_failure`` decides whether the task fails or the column stays
    empty. In the latter case, the empty result is not cached, and the service is not called for
    ``pause`` seconds: retries for each row would take days. Thread-safe; threads that look up the
    same login share one request.

    Raises:
        SettingsError: A setting is invalid.
    """

    def __init__(
        self, settings: UsersSettings, *, retries: RetryPolicy = USER_ID_RETRIES, pause: float = 10
    ) -> None:
        lifetime = settings.cache_lifetime.total_seconds()
        self._service = UserIdClient(settings, retries)
        self._memory = TtlCache(settings.cache_entries, lifetime)
        self._memcached = _memcached(settings, lifetime)
        self._stop_on_failure = settings.on_failure == "fail"
        self._cooldown = Cooldown(pause)
        self._lock = threading.Lock()  # for _memory, _in_flight and _counts
        self._in_flight: dict[str, Future[CachedUserId]] = {}
        self._counts: Counter[str] = Counter()

    def user_id(self, login: str) -> int | None:
        """See :class:`~spade_spark.lookups.base.UserIdLookup`."""
        try:
            return self._find(login).user_id
        except LookupUnavailableError:
            self._count("service_failures")
            if self._stop_on_failure:
                raise
            return None

    def stats(self) -> LookupStats:
        """See :class:`~spade_spark.lookups.base.UserIdLookup`."""
        failures = self._memcached.failures if self._memcached else 0
        with self._lock:
            return LookupStats(**self._counts, memcached_failures=failures)

    def _find(self, login: str) -> CachedUserId:
        with self._lock:
            self._counts["asked"] += 1
            cached = self._memory.get(login)
            if cached is not None:
                self._counts["memory_hits"] += 1
                return cached
            other = self._in_flight.get(login)
            if other is None:
                own = self._in_flight[login] = Future()
        if other is None:
            return self._fetch(login, own)
        result = other.result()
        self._count("memory_hits")
        return result

    def _fetch(self, login: str, own: Future[CachedUserId]) -> CachedUserId:
        """Look up a login outside the process; share the result with waiting threads."""
        try:
            result = self._query(login)
        except BaseException as error:
            with self._lock:
                del self._in_flight[login]
            own.set_exception(error)
            raise
        with self._lock:
            self._memory.put(login, result)
            del self._in_flight[login]
        own.set_result(result)
        return result

    def _query(self, login: str) -> CachedUserId:
        if self._memcached:
            cached = self._memcached.get(login)
            if cached is not None:
                self._count("memcached_hits")
                return cached
        result = CachedUserId(self._query_service(login))
        if self._memcached:
            self._memcached.put(login, result)
        return result

    def _query_service(self, login: str) -> int | None:
        if self._cooldown.active:
            raise LookupUnavailableError(
                f"the user service at {self._service.host} failed a moment ago"
            )
        self._count("service_asked")
        try:
            user_id = self._service.user_id(login)
        except LookupUnavailableError:
            if not self._stop_on_failure:
                self._cooldown.start()
            raise
        if user_id is None:
            self._count("service_misses")
        return user_id

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


def _memcached(settings: UsersSettings, lifetime: float) -> Memcached | None:
    """Return the memcached client; None if it is not configured or caching is off."""
    if not settings.memcached or not lifetime:
        return None
    namespace = f"{settings.url}\n{settings.path}"
    return Memcached(settings.memcached, namespace=namespace, lifetime=lifetime)
