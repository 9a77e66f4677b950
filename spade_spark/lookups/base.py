"""What a column may ask outside the event: the place of an address, the id of a login."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol


class GeoLocation(NamedTuple):
    """What is known of an address; a member that is not known is the empty text."""

    city: str = ""
    """The city's English name."""
    country: str = ""
    """The ISO 3166-1 code of the country."""
    region: str = ""
    """The code of the region, as in ISO 3166-2 without the country."""
    asn: str = ""
    """``AS<number> <organisation>`` of the autonomous system."""


@dataclass(frozen=True)
class LookupStats:
    """How logins were answered; every login asked is counted in exactly one way of its end.

    ``asked`` = ``memory_hits`` + ``memcached_hits`` + ``service_hits`` + ``service_misses`` +
    ``service_failures``. The counts of workers add up, and a task's share is the difference of its
    worker's counts after and before, since workers outlive tasks.

    Attributes:
        asked: Logins asked for.
        memory_hits: Answered from the process's memory, a remembered miss as well.
        memcached_hits: Answered by memcached, a remembered miss as well.
        service_asked: Logins that the service was asked for; trying again is not counted anew.
        service_misses: Logins that the service does not know.
        service_failures: Logins left without an answer.
        memcached_failures: Times that memcached did not answer, or answered what cannot be read.
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
        """Logins whose id the service gave."""
        remembered = self.memory_hits + self.memcached_hits
        return self.asked - remembered - self.service_misses - self.service_failures

    def __add__(self, other: LookupStats) -> LookupStats:
        return LookupStats(
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )

    def __sub__(self, other: LookupStats) -> LookupStats:
        return LookupStats(
            *(getattr(self, each.name) - getattr(other, each.name) for each in fields(self))
        )


class GeoLookup(Protocol):
    """Addresses to places."""

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        """The place of ``address`` (any text); all members empty where nothing is known.

        Args:
            address: The address.
            asn: Whether the autonomous system is wanted; else it may be left empty.
        """


class UserIdLookup(Protocol):
    """Logins to user ids."""

    def user_id(self, login: str) -> int | None:
        """The id of ``login`` (not empty, trimmed), or None where there is no such login.

        Raises:
            LookupUnavailableError: The service does not answer and the settings say to stop then.
        """

    def stats(self) -> LookupStats:
        """The counts since the lookup was opened; all zero for a fixed table."""


@dataclass(frozen=True)
class Lookups:
    """The lookups of one worker."""

    geo: GeoLookup
    user_ids: UserIdLookup

    def stats(self) -> LookupStats:
        """The logins' counts since the lookups were opened."""
        return self.user_ids.stats()
