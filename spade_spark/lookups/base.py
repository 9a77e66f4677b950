"""The lookup interfaces: the location of an address, and the user id of a login."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol


class GeoLocation(NamedTuple):
    """The location of an address; unknown fields are empty."""

    city: str = ""
    """The English name of the city."""
    country: str = ""
    """The ISO 3166-1 country code."""
    region: str = ""
    """The ISO 3166-2 region code, without the country."""
    asn: str = ""
    """``AS<number> <organisation>`` of the autonomous system."""


@dataclass(frozen=True)
class LookupStats:
    """The number of login lookups by result; each lookup has exactly one result.

    ``asked`` = ``memory_hits`` + ``memcached_hits`` + ``service_hits`` + ``service_misses`` +
    ``service_failures``. A Python worker process runs many tasks, so the counts of a task are the
    difference between the counts of its process after and before the task.

    Attributes:
        asked: All lookups.
        memory_hits: Lookups answered by the in-process cache, including logins without a user id.
        memcached_hits: Lookups answered by memcached, including logins without a user id.
        service_asked: Lookups sent to the service; retries are not counted.
        service_misses: Lookups of logins that the service does not know.
        service_failures: Lookups without a result.
        memcached_failures: Requests to memcached without a valid reply.
    """

    asked: int = 0
    memory_hits: int = 0
    memcached_hits: int = 0
    service_asked: int = 0
    service_misses: int = 0
    service_failures: int = 0
    memcached_failures: int = 0

    @property
    def service_hits(self) -> int:
        """Lookups of logins that the service knows."""
        cached = self.memory_hits + self.memcached_hits
        return self.asked - cached - self.service_misses - self.service_failures

    def __add__(self, other: LookupStats) -> LookupStats:
        return LookupStats(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )

    def __sub__(self, other: LookupStats) -> LookupStats:
        return LookupStats(
            *(getattr(self, field.name) - getattr(other, field.name) for field in fields(self))
        )


class GeoLookup(Protocol):
    """Locates addresses."""

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        """Return the location of ``address``; all fields are empty if it is unknown or invalid.

        Args:
            address: Any text.
            asn: Whether to look up the autonomous system; otherwise the field may be empty.
        """


class UserIdLookup(Protocol):
    """Looks up user ids."""

    def user_id(self, login: str) -> int | None:
        """Return the user id of ``login`` (not empty, trimmed); None if the login does not exist.

        Raises:
            LookupUnavailableError: The service failed, and ``on_failure`` is ``fail``.
        """

    def stats(self) -> LookupStats:
        """Return the counts since the lookup was opened; all zero for a static table."""


@dataclass(frozen=True)
class Lookups:
    """The lookups of one Python worker process."""

    geo: GeoLookup
    user_ids: UserIdLookup

    def stats(self) -> LookupStats:
        """Return the counts of login lookups since the lookups were opened."""
        return self.user_ids.stats()
