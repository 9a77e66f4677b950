"""Looks up locations in MaxMind's City and ASN databases with geoip2.

Lookups bypass geoip2's model objects, which more than double the time per address (measured in
``bench/README.md``). A test compares the results with the models. The databases are
memory-mapped, so all Python workers of a node share their pages.
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

_EMPTY: Mapping[str, Any] = {}
_MAPPED_V4 = bytes(10) + b"\xff\xff"


class GeoIP:
    """Locates addresses with one or both databases; open once per process."""

    def __init__(self, city: Database | None, asn: Database | None) -> None:
        self._city = city
        self._asn = asn

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        """See :class:`~spade_spark.lookups.base.GeoLookup`.

        Raises:
            SettingsError: A database is corrupt.
        """
        valid = _normalize(address)
        if valid is None:
            return GeoLocation()
        city = self._city.find(valid) if self._city else _EMPTY
        asn_record = self._asn.find(valid) if self._asn and asn else _EMPTY
        try:
            # The first subdivision is the largest, for example England rather than the county.
            region = city.get("subdivisions") or (_EMPTY,)
            return GeoLocation(
                city.get("city", _EMPTY).get("names", _EMPTY).get("en", ""),
                city.get("country", _EMPTY).get("iso_code", ""),
                region[0].get("iso_code", ""),
                _format_asn(asn_record),
            )
        except (AttributeError, TypeError, LookupError):
            raise SettingsError(
                f"the GeoIP record of {valid} is not from a City or ASN database: "
                "check lookups.geoip.city and lookups.geoip.asn"
            ) from None


class Database(Reader):
    """A geoip2 reader with the setting that names its file, for error messages."""

    def __init__(self, setting: str, url: str, path: Path) -> None:
        super().__init__(path, mode=MODE_MMAP_EXT)
        self._setting = setting
        self._url = url

    def find(self, address: str) -> Mapping[str, Any]:
        """Return the record of a valid address; empty if the database has none.

        Raises:
            SettingsError: The database is corrupt.
        """
        try:
            record = self._db_reader.get(address)
        except InvalidDatabaseError as error:
            raise _corrupt(self._setting, self._url, error) from None
        except ValueError:  # an IPv6 address in an IPv4 database
            return _EMPTY
        return record if isinstance(record, dict) else _EMPTY


def open_geoip(settings: GeoipSettings, s3: S3Settings) -> GeoIP:
    """Open the configured databases: paths or ``s3://``, each optional.

    Raises:
        SettingsError: A database is missing, corrupt, or of the wrong type.
        TransientError: S3 does not respond.
    """
    return GeoIP(
        _open("lookups.geoip.city", settings.city, s3, wrong_types=("-ASN", "-ISP")),
        _open("lookups.geoip.asn", settings.asn, s3, wrong_types=("-City", "-Country")),
    )


def _open(
    setting: str, url: str, s3: S3Settings, *, wrong_types: tuple[str, ...]
) -> Database | None:
    if not url:
        return None
    try:
        with local_file(setting, url, s3) as path:
            database = Database(setting, url, path)
    except InvalidDatabaseError as error:
        raise _corrupt(setting, url, error) from None
    database_type = database.metadata().database_type
    if database_type.endswith(wrong_types):  # the two settings are swapped
        raise SettingsError(f"{setting}: {url} has the wrong database type ({database_type})")
    return database


def _corrupt(setting: str, url: str, error: Exception) -> SettingsError:
    return SettingsError(
        f"{setting}: {url} is not a MaxMind database, or is corrupt ({error}): download it again"
    )


def _normalize(address: str) -> str | None:
    """Return a valid address, with IPv4-mapped IPv6 converted to IPv4; None if it is invalid.

    The reader uses getaddrinfo, which also accepts ``1`` and ``fe80::1%eth0``.
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


def _format_asn(record: Mapping[str, Any]) -> str:
    """Format a record as ``AS<number> <organisation>``; empty without a number."""
    number = record.get("autonomous_system_number")
    if number is None:
        return ""
    organisation = record.get("autonomous_system_organization")
    return f"AS{number} {organisation}" if organisation else f"AS{number}"
