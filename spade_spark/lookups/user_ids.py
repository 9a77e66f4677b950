"""The ids of logins: from memory, else from memcached, else from the service."""

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
    """Ids by login, remembered; that a login is not known is remembered too.

    Where the service does not answer, ``settings.on_failure`` says whether the task stops or the
    column stays empty. Left empty, nothing is remembered of the login, and for ``pause`` seconds
    the service is not asked at all: trying it again and again for each row would take days. Safe
    among threads, which wait for each other where they ask for the same login.

    Raises:
        SettingsError: ``settings`` cannot be followed.
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
        self._lock = threading.Lock()  # of the memory, what is in flight, and the counts
        self._in_flight: dict[str, Future[CachedUserId]] = {}
        self._counts: Counter[str] = Counter()

    def user_id(self, login: str) -> int | None:
        """See :class:`~spade_spark.lookups.UserIdLookup`."""
        try:
            return self._answer(login).user_id
        except LookupUnavailableError:
            self._count("service_failures")
            if self._stop_on_failure:
                raise
            return None

    def stats(self) -> LookupStats:
        """See :class:`~spade_spark.lookups.UserIdLookup`."""
        failures = self._memcached.failures if self._memcached else 0
        with self._lock:
            return LookupStats(**self._counts, memcached_failures=failures)

    def _answer(self, login: str) -> CachedUserId:
        with self._lock:
            self._counts["asked"] += 1
            remembered = self._memory.get(login)
            if remembered is not None:
                self._counts["memory_hits"] += 1
                return remembered
            awaited = self._in_flight.get(login)
            if awaited is None:
                own = self._in_flight[login] = Future()
        if awaited is None:
            return self._look_up(login, own)
        answer = awaited.result()
        self._count("memory_hits")
        return answer

    def _look_up(self, login: str, own: Future[CachedUserId]) -> CachedUserId:
        """Asks outside, and tells those who wait for the same login."""
        try:
            answer = self._ask(login)
        except BaseException as error:
            with self._lock:
                del self._in_flight[login]
            own.set_exception(error)
            raise
        with self._lock:
            self._memory.put(login, answer)
            del self._in_flight[login]
        own.set_result(answer)
        return answer

    def _ask(self, login: str) -> CachedUserId:
        if self._memcached:
            remembered = self._memcached.get(login)
            if remembered is not None:
                self._count("memcached_hits")
                return remembered
        answer = CachedUserId(self._ask_service(login))
        if self._memcached:
            self._memcached.put(login, answer)
        return answer

    def _ask_service(self, login: str) -> int | None:
        if self._cooldown.active:
            raise LookupUnavailableError(
                f"the user service at {self._service.host} is left alone for a while"
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

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


def _memcached(settings: UsersSettings, lifetime: float) -> Memcached | None:
    """None where it is not set, or where nothing is to be remembered."""
    if not settings.memcached or not lifetime:
        return None
    namespace = f"{settings.url}\n{settings.path}"
    return Memcached(settings.memcached, namespace=namespace, lifetime=lifetime)
