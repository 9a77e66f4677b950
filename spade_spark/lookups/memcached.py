"""What is remembered of logins in memcached, by all workers together.

Memcached is a help, never a need: what goes wrong with it is counted, and the login is looked up
as if it were not there.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

from spade_spark.errors import SettingsError
from spade_spark.lookups.memory import Answer
from spade_spark.lookups.pacing import Pause

# Longer ones memcached takes for Unix times.
_LONGEST_SECONDS = 30 * 24 * 3600
_ID = re.compile(rb"-?[0-9]{1,19}")
_MISS = b"none"
# pymemcache parses answers with int() and tuple unpacking, which raise ValueError on nonsense.
_FAILURES = (MemcacheError, OSError, ValueError)


class Memcached:
    """Answers kept under ``spade-spark:login:<hash>``, as decimal text or ``none``.

    Args:
        server: ``host:port``.
        namespace: What, beside the login, decides the id: answers of other services, or of other
            paths into their answers, are not found.
        lifetime: Seconds that an answer is kept, in whole seconds and for 30 days at most.
        timeout: Seconds to connect, and to wait for an answer.
        pause: Seconds during which it is left alone after a failure.
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
        self._lifetime = min(max(1, math.ceil(lifetime)), _LONGEST_SECONDS)
        self._pause = Pause(pause)
        self._lock = threading.Lock()
        self._failures = 0

    @property
    def failures(self) -> int:
        """Times that it did not answer, or answered what cannot be read."""
        return self._failures

    def get(self, login: str) -> Answer | None:
        """What is remembered of ``login``; None if nothing is, or memcached does not answer."""
        if self._pause.on:
            return None
        try:
            value = self._client.get(self._key(login))
        except _FAILURES:
            self._failed()
            return None
        return None if value is None else self._read(value)

    def put(self, login: str, answer: Answer) -> None:
        """Remembers ``answer`` if memcached is there."""
        if self._pause.on:
            return
        value = _MISS if answer.user_id is None else b"%d" % answer.user_id
        try:
            # With a reply: an error sent where none is awaited would be read as the next answer.
            self._client.set(self._key(login), value, expire=self._lifetime, noreply=False)
        except _FAILURES:
            self._failed()

    def _key(self, login: str) -> bytes:
        """Logins hold spaces, control characters and any script; keys may not, nor be long."""
        whole = f"{self._namespace}\n{login}".encode("utf-8", "surrogatepass")
        return b"spade-spark:login:" + hashlib.sha256(whole).hexdigest().encode()

    def _read(self, value: bytes) -> Answer | None:
        if value == _MISS:
            return Answer(None)
        if _ID.fullmatch(value):
            return Answer(int(value))
        self._count()
        return None

    def _failed(self) -> None:
        self._pause.begin()
        self._count()

    def _count(self) -> None:
        with self._lock:
            self._failures += 1
