"""Opens the lookups that the settings name."""

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
    """Opens what ``settings`` name; where they name nothing, nothing is known.

    A table stands instead of databases and services, also where those are set.

    Raises:
        SettingsError: A file that is missing or damaged, or a setting that cannot be followed.
        TransientError: S3 does not answer.
    """
    return Lookups(_open_geo(settings.geoip, s3), _open_users(settings.users, s3))


@lru_cache(maxsize=1)
def worker_lookups(settings: LookupSettings, s3: S3Settings) -> Lookups:
    """The lookups of this process, opened at the first call.

    Spark keeps a Python worker for many tasks. Opening databases and connections anew in each, and
    forgetting which logins were answered, would cost more than many a task does, so this one thing
    is kept in the process. The settings are immutable values, therefore they can be the key; others
    than the last ones are let go.

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
