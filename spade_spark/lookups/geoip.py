"""Places from MaxMind's City and ASN databases, read by geoip2.

A lookup takes the record itself, without geoip2's model objects: they more than double the time of
an address (``bench/README.md`` has the measurement). A test compares the results with the models.
Databases are memory-mapped, so all workers of a node share their pages.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoip2.database import MODE_MMAP_EXT, Reader
from maxminddb import InvalidDatabaseError

from spade_spark.errors import SettingsError
from spade_spark.lookups.base import GeoLocation
from spade_spark.lookups.files import local_file
from spade_spark.settings import GeoipSettings, S3Settings

_NOTHING: Mapping[str, Any] = {}
_MAPPED_V4 = bytes(10) + b"\xff\xff"


class GeoIP:
    """Places by address, from one or both databases; open it once per process."""

    def __init__(self, city: Database | None, asn: Database | None) -> None:
        self._city = city
        self._asn = asn

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        """See :class:`~spade_spark.lookups.GeoLookup`.

        Raises:
            SettingsError: A database is damaged.
        """
        plain = _plain(address)
        if plain is None:
            return GeoLocation()
        city = self._city.find(plain) if self._city else _NOTHING
        system = self._asn.find(plain) if self._asn and asn else _NOTHING
        try:
            # The first subdivision is the largest: of an English town, England and not the county.
            region = city.get("subdivisions") or (_NOTHING,)
            return GeoLocation(
                city.get("city", _NOTHING).get("names", _NOTHING).get("en", ""),
                city.get("country", _NOTHING).get("iso_code", ""),
                region[0].get("iso_code", ""),
                _system(system),
            )
        except (AttributeError, TypeError, LookupError):
            raise SettingsError(
                f"the GeoIP databases have for {plain} what no City or ASN database has: "
                "check lookups.geoip.city and lookups.geoip.asn"
            ) from None


class Database(Reader):
    """geoip2's reader of one database, and the setting that names the file."""

    def __init__(self, setting: str, url: str, path: Path) -> None:
        super().__init__(path, mode=MODE_MMAP_EXT)
        self._setting = setting
        self._url = url

    def find(self, address: str) -> Mapping[str, Any]:
        """The record of a valid address; empty if the database has none.

        Raises:
            SettingsError: The database is damaged.
        """
        try:
            record = self._db_reader.get(address)
        except InvalidDatabaseError as error:
            raise _damaged(self._setting, self._url, error) from None
        except ValueError:  # an IPv6 address in a database of IPv4 addresses
            return _NOTHING
        return record if isinstance(record, dict) else _NOTHING


def open_geoip(settings: GeoipSettings, s3: S3Settings) -> GeoIP:
    """Opens the databases that ``settings`` name, each optional: paths or ``s3://``.

    Raises:
        SettingsError: A database is missing, damaged, or of the other kind; names it.
        TransientError: S3 does not answer.
    """
    return GeoIP(
        _open("lookups.geoip.city", settings.city, s3, not_kinds=("-ASN", "-ISP")),
        _open("lookups.geoip.asn", settings.asn, s3, not_kinds=("-City", "-Country")),
    )


def _open(setting: str, url: str, s3: S3Settings, *, not_kinds: tuple[str, ...]) -> Database | None:
    if not url:
        return None
    try:
        with local_file(setting, url, s3) as path:
            database = Database(setting, url, path)
    except InvalidDatabaseError as error:
        raise _damaged(setting, url, error) from None
    kind = database.metadata().database_type
    if kind.endswith(not_kinds):  # the two settings mistaken for each other
        raise SettingsError(f"{setting}: {url} is a database of another kind ({kind})")
    return database


def _damaged(setting: str, url: str, error: Exception) -> SettingsError:
    return SettingsError(
        f"{setting}: {url} is no MaxMind database, or a damaged one ({error}): fetch it anew"
    )


def _plain(address: str) -> str | None:
    """The address if it is one, an IPv4 address inside IPv6 as IPv4; else None.

    The reader itself asks getaddrinfo, to which ``1`` and ``fe80::1%eth0`` are addresses too.
    """
    try:
        if ":" not in address:
            socket.inet_pton(socket.AF_INET, address)
            return address
        packed = socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return None
    if packed.startswith(_MAPPED_V4):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED_V4) :])
    return address


def _system(record: Mapping[str, Any]) -> str:
    """``AS<number> <organisation>``, or what of it the record has."""
    number = record.get("autonomous_system_number")
    if number is None:
        return ""
    organisation = record.get("autonomous_system_organization")
    return f"AS{number} {organisation}" if organisation else f"AS{number}"
