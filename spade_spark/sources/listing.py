"""Lists the objects of the edge store that belong to a window."""

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
    """The objects of a window.

    Attributes:
        sources: The objects to read.
        unnamed: Keys without a time if ``input.time_source`` is ``key``. These objects are
            reported but not read.
        hours: The hours (UTC) in which at least one object was closed, by their start.
    """

    sources: tuple[InputObject, ...]
    unnamed: tuple[str, ...]
    hours: frozenset[datetime] = frozenset()

    def closed_in(self, hour: datetime) -> bool:
        """Whether any object was closed in the hour (UTC) that starts at ``hour``."""
        return hour in self.hours


def list_window(store: Store, window: Window, settings: InputSettings) -> Listing:
    """List the objects of a window: those closed between START and END plus the margin.

    The edge writes an object when it closes the file, so the events are older than the object.

    Raises:
        ObjectNotFoundError: The edge bucket or directory does not exist.
    """
    begin, end = window.first, window.last + settings.margin
    sources, unnamed, hours = [], [], set()
    for stored in _objects_of_days(store, window, settings.margin):
        closed = stored.last_modified if settings.time_source == "last_modified" else _time(stored)
        if closed is None:
            unnamed.append(stored.key)
        elif begin <= closed < end:
            sources.append(InputObject(stored.key, stored.size, stored.etag))
            hours.add(closed.replace(minute=0, second=0, microsecond=0))
    return Listing(tuple(sources), tuple(unnamed), frozenset(hours))


def _objects_of_days(store: Store, window: Window, margin: timedelta) -> Iterator[StoredObject]:
    try:
        for day in window.utc_days(margin):
            yield from store.list(f"{day}/")
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(f"{error}; see input.edge in the settings") from None


def _time(stored: StoredObject) -> datetime | None:
    """Return the time in the key of an object; None if it has none."""
    match = _KEY.fullmatch(stored.key)
    return datetime.fromtimestamp(int(match[1]), timezone.utc) if match else None
