"""Fixed tables in place of databases and services: JSON files, exact matches.

The forms are ``{address: {"City": s, "Country": s, "Region": s, "Asn": s}}``, of which any member
may be missing, and ``{login: id}`` with ids of 64 signed bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from spade_spark.errors import SettingsError
from spade_spark.lookups.base import GeoLocation, LookupStats
from spade_spark.lookups.files import read_file
from spade_spark.settings import S3Settings

NOWHERE = GeoLocation()
"""The place of an address of which nothing is known."""

_T = TypeVar("_T")
_UserId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Entry(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    city: str = ""
    country: str = ""
    region: str = ""
    asn: str = ""


class StaticGeo:
    """Places by the exact text of an address, which need not be an address."""

    def __init__(self, places: Mapping[str, GeoLocation]) -> None:
        self._places = dict(places)

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:  # noqa: ARG002 - costs nothing
        """See :class:`~spade_spark.lookups.GeoLookup`."""
        return self._places.get(address, NOWHERE)


class StaticUserIds:
    """Ids by exact login."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = dict(ids)

    def user_id(self, login: str) -> int | None:
        """See :class:`~spade_spark.lookups.UserIdLookup`."""
        return self._ids.get(login)

    def stats(self) -> LookupStats:
        """All zero: nothing outside is asked."""
        return LookupStats()


def open_static_geo(url: str, s3: S3Settings) -> StaticGeo:
    """The table that ``lookups.geoip.table`` names: a path or ``s3://``.

    Raises:
        SettingsError: The file is missing or has another form.
    """
    entries = _read_table("lookups.geoip.table", url, s3, dict[str, _Entry])
    return StaticGeo(
        {
            address: GeoLocation(entry.city, entry.country, entry.region, entry.asn)
            for address, entry in entries.items()
        }
    )


def open_static_user_ids(url: str, s3: S3Settings) -> StaticUserIds:
    """The table that ``lookups.users.table`` names: a path or ``s3://``.

    Raises:
        SettingsError: The file is missing or has another form.
    """
    return StaticUserIds(_read_table("lookups.users.table", url, s3, dict[str, _UserId]))


def _read_table(setting: str, url: str, s3: S3Settings, form: type[_T]) -> _T:
    data = read_file(setting, url, s3)
    try:
        return msgspec.json.decode(data, type=form)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{setting}: {url} has not the form of such a table: {error}") from None
