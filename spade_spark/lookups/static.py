"""Static lookup tables in JSON files, which replace databases and services.

The formats are ``{address: {"City": s, "Country": s, "Region": s, "Asn": s}}``, where each member
is optional, and ``{login: id}`` with signed 64-bit ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from spade_spark.errors import SettingsError
from spade_spark.lookups.base import GeoLocation, LookupStats
from spade_spark.lookups.files import read_file
from spade_spark.settings import S3Settings

_UNKNOWN = GeoLocation()

_T = TypeVar("_T")
_UserId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Entry(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    city: str = ""
    country: str = ""
    region: str = ""
    asn: str = ""


class StaticGeo:
    """Locations by exact text; keys need not be valid addresses."""

    def __init__(self, locations: Mapping[str, GeoLocation]) -> None:
        self._locations = dict(locations)

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:  # noqa: ARG002 - costs nothing
        """See :class:`~spade_spark.lookups.base.GeoLookup`."""
        return self._locations.get(address, _UNKNOWN)


class StaticUserIds:
    """User ids by exact login."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = dict(ids)

    def user_id(self, login: str) -> int | None:
        """See :class:`~spade_spark.lookups.base.UserIdLookup`."""
        return self._ids.get(login)

    def stats(self) -> LookupStats:
        """Return zero counts."""
        return LookupStats()


def open_static_geo(url: str, s3: S3Settings) -> StaticGeo:
    """Open the table at ``lookups.geoip.table``: a path or ``s3://``.

    Raises:
        SettingsError: The file is missing or has the wrong format.
    """
    entries = _read_table("lookups.geoip.table", url, s3, dict[str, _Entry])
    return StaticGeo(
        {
            address: GeoLocation(entry.city, entry.country, entry.region, entry.asn)
            for address, entry in entries.items()
        }
    )


def open_static_user_ids(url: str, s3: S3Settings) -> StaticUserIds:
    """Open the table at ``lookups.users.table``: a path or ``s3://``.

    Raises:
        SettingsError: The file is missing or has the wrong format.
    """
    return StaticUserIds(_read_table("lookups.users.table", url, s3, dict[str, _UserId]))


def _read_table(setting: str, url: str, s3: S3Settings, type_: type[_T]) -> _T:
    data = read_file(setting, url, s3)
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{setting}: {url} has the wrong format: {error}") from None
