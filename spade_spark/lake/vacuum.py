"""What lies in a lake and nobody reads any more: days that were replaced, and dead publications.

When a day was replaced, the files that took its place tell. Readers that had the older pointer, and
catalogs that are yet to be told of the newer one, have until then and a grace period.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from spade_spark.lake.snapshot import PUBLICATIONS, SNAPSHOT_FILE, Snapshot, load_snapshot_at
from spade_spark.storage.base import Store, StoredObject

# What a publication calls its files (lake/publish.py), and nobody else.
_FILE: Final = re.compile(
    PUBLICATIONS + r"/(?P<folder>[^/]+)/date=(?P<day>\d{4}-\d\d-\d\d)/[^/]+-[0-9a-f]{12}/"
    r"(?:new|carried)-\d{5}\.parquet",
    re.ASCII,
)


@dataclass(frozen=True)
class UnreferencedFiles:
    """What of one table can go.

    Attributes:
        table: The table's name.
        objects: Files that no reader of its pointer reads.
    """

    table: str
    objects: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(each.size for each in self.objects)


def find_unreferenced(lake: Store, before: datetime) -> list[UnreferencedFiles]:
    """What can go of every table that has a pointer.

    Args:
        lake: The lake.
        before: Since when it must have been of no use, an aware time.
    """
    days: dict[str, dict[str, list[StoredObject]]] = defaultdict(lambda: defaultdict(list))
    pointers = []
    for entry in lake.list():
        folder, _, rest = entry.key.partition("/")
        match = _FILE.fullmatch(entry.key)
        if match:
            days[match["folder"]][match["day"]].append(entry)
        elif rest == SNAPSHOT_FILE:
            pointers.append(folder)
    found = []
    for folder in pointers:
        # After the listing: what has come to count since is named here.
        current = load_snapshot_at(lake, f"{folder}/{SNAPSHOT_FILE}").snapshot
        if current:
            objects = [
                each
                for day, files in days[folder].items()
                for each in _is_unreferenced(current, day, files, before)
            ]
            found.append(UnreferencedFiles(current.table, tuple(objects)))
    return [each for each in found if each.objects]


def _is_unreferenced(
    current: Snapshot, day: str, files: Iterable[StoredObject], before: datetime
) -> list[StoredObject]:
    partition = current.partitions.get(day)
    location = partition.location if partition else ""
    there = partition and partition.files
    others, since = [], [] if there else [current.published]
    for file in files:
        if location and file.key.startswith(location):
            since.append(file.last_modified)
        else:
            others.append(file)
    if not since or max(since) >= before:
        return []
    return [file for file in others if file.last_modified < before]
