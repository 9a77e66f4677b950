"""What a column may ask outside the event: the place of an address, the id of a login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """What is known of an address; a member that is not known is the empty text."""

    city: str = ""
    """The city's English name."""
    country: str = ""
    """The ISO 3166-1 code of the country."""
    region: str = ""
    """The code of the region, as in ISO 3166-2 without the country."""
    asn: str = ""
    """``AS<number> <organisation>`` of the autonomous system."""


class GeoLookup(Protocol):
    """Addresses to places."""

    def place(self, address: str) -> Place:
        """The place of ``address`` (any text); all members empty where nothing is known."""


class LoginLookup(Protocol):
    """Logins to user ids."""

    def user_id(self, login: str) -> int | None:
        """The id of ``login`` (not empty, trimmed), or None where there is no such login.

        Raises:
            LookupDown: The service does not answer and the settings say to stop then.
        """


@dataclass(frozen=True)
class Lookups:
    """The lookups of one worker."""

    geo: GeoLookup
    logins: LoginLookup
