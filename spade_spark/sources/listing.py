"""Which objects of the edge store belong to a window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from spade_spark.errors import ObjectNotFoundError
from spade_spark.plan import InputObject
from spade_spark.settings import InputSettings
from spade_spark.storage.base import Store, StoredObject
from spade_spark.window import Window

_KEY = re.compile(r"\d{8}/(?:.*/)?(\d{9,11})\.[^/]*", re.ASCII)
"""``YYYYMMDD/<group>/<unix seconds>.<node>.<random hex>.log.gz``, see transform.md section 1."""


@dataclass(frozen=True)
class Listing:
    """What lies below the window's days.

    Attributes:
        sources: The objects to read.
        unnamed: Keys that hold no time in their name, where the time is taken from there; they
            are not read, and shown.
        hours: The hours (UTC, their beginnings) in which the objects were closed.
    """

    sources: tuple[InputObject, ...]
    unnamed: tuple[str, ...]
    hours: frozenset[datetime] = frozenset()

    def closed_in(self, hour: datetime) -> bool:
        """Whether any of the objects was closed in the hour (UTC) that begins at ``hour``."""
        return hour in self.hours


def list_window(store: Store, window: Window, settings: InputSettings) -> Listing:
    """Lists the window's objects: closed from START to one margin after END.

    An object is written when its file is closed, so its events are older than it.

    Raises:
        ObjectNotFoundError: The edge bucket or directory is not there.
    """
    begin, end = window.first, window.last + settings.margin
    sources, unnamed, hours = [], [], set()
    for found in _below_days(store, window, settings.margin):
        closed = found.last_modified if settings.time_source == "last_modified" else _time(found)
        if closed is None:
            unnamed.append(found.key)
        elif begin <= closed < end:
            sources.append(InputObject(found.key, found.size, found.etag))
            hours.add(closed.replace(minute=0, second=0, microsecond=0))
    return Listing(tuple(sources), tuple(unnamed), frozenset(hours))


def _below_days(store: Store, window: Window, margin: timedelta) -> Iterator[StoredObject]:
    try:
        for day in window.utc_days(margin):
            yield from store.list(f"{day}/")
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(f"{error}; see input.edge in the settings") from None


def _time(found: StoredObject) -> datetime | None:
    """The time in the object's name, or None where it has none."""
    match = _KEY.fullmatch(found.key)
    return datetime.fromtimestamp(int(match[1]), timezone.utc) if match else None
