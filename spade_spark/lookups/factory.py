"""Opens the lookups that the settings configure."""

from __future__ import annotations

from functools import lru_cache

from spade_spark.lookups.base import GeoLookup, Lookups, UserIdLookup
from spade_spark.lookups.geoip import open_geoip
from spade_spark.lookups.static import (
    StaticGeo,
    StaticUserIds,
    open_static_geo,
    open_static_user_ids,
)
from spade_spark.lookups.user_ids import CachedUserIdLookup
from spade_spark.settings import GeoipSettings, LookupSettings, S3Settings, UsersSettings


def open_lookups(settings: LookupSettings, s3: S3Settings) -> Lookups:
    """Open the configured lookups; a lookup that is not configured finds nothing.

    A static table takes precedence over the databases or the service.

    Raises:
        SettingsError: A file is missing or corrupt, or a setting is invalid.
        TransientError: S3 does not respond.
    """
    return Lookups(_open_geo(settings.geoip, s3), _open_users(settings.users, s3))


@lru_cache(maxsize=1)
def worker_lookups(settings: LookupSettings, s3: S3Settings) -> Lookups:
    """Return the lookups of this process; open them on the first call.

    Spark reuses a Python worker for many tasks. Opening databases and connections and filling the
    caches takes longer than many tasks.

    Raises:
        SettingsError: See :func:`open_lookups`.
    """
    return open_lookups(settings, s3)


def _open_geo(settings: GeoipSettings, s3: S3Settings) -> GeoLookup:
    if settings.table:
        return open_static_geo(settings.table, s3)
    if settings.city or settings.asn:
        return open_geoip(settings, s3)
    return StaticGeo({})


def _open_users(settings: UsersSettings, s3: S3Settings) -> UserIdLookup:
    if settings.table:
        return open_static_user_ids(settings.table, s3)
    if settings.url:
        return CachedUserIdLookup(settings)
    return StaticUserIds({})
