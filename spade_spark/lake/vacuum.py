"""Find unreferenced files in a lake: replaced partitions and killed publications.

A partition counts as replaced since the time of the newest file of the current one. From then on,
readers of the older snapshot and catalogs that still point to the older folder have a grace period.
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

# File names of publications (lake/publish.py).
_FILE: Final = re.compile(
    PUBLICATIONS + r"/(?P<folder>[^/]+)/date=(?P<day>\d{4}-\d\d-\d\d)/[^/]+-[0-9a-f]{12}/"
    r"(?:new|carried)-\d{5}\.parquet",
    re.ASCII,
)


@dataclass(frozen=True)
class UnreferencedFiles:
    """The unreferenced files of one table.

    Attributes:
        table: The table's name.
        objects: Files that the current snapshot does not contain.
    """

    table: str
    objects: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(entry.size for entry in self.objects)


def find_unreferenced(lake: Store, before: datetime) -> list[UnreferencedFiles]:
    """Find the unreferenced files of all tables that have a snapshot.

    Args:
        lake: The lake.
        before: Find only files that were already unreferenced at this time (with a zone).
    """
    days: dict[str, dict[str, list[StoredObject]]] = defaultdict(lambda: defaultdict(list))
    folders = []
    for entry in lake.list():
        folder, _, rest = entry.key.partition("/")
        match = _FILE.fullmatch(entry.key)
        if match:
            days[match["folder"]][match["day"]].append(entry)
        elif rest == SNAPSHOT_FILE:
            folders.append(folder)
    tables = []
    for folder in folders:
        # Read after the listing, so that it contains all listed files that are in use.
        current = load_snapshot_at(lake, f"{folder}/{SNAPSHOT_FILE}").snapshot
        if current:
            objects = [
                entry
                for day, files in days[folder].items()
                for entry in _unreferenced(current, day, files, before)
            ]
            tables.append(UnreferencedFiles(current.table, tuple(objects)))
    return [table for table in tables if table.objects]


def _unreferenced(
    current: Snapshot, day: str, files: Iterable[StoredObject], before: datetime
) -> list[StoredObject]:
    partition = current.partitions.get(day)
    location = partition.location if partition else ""
    has_files = partition and partition.files
    candidates, replaced_at = [], [] if has_files else [current.published]
    for file in files:
        if location and file.key.startswith(location):
            replaced_at.append(file.last_modified)
        else:
            candidates.append(file)
    if not replaced_at or max(replaced_at) >= before:
        return []
    return [file for file in candidates if file.last_modified < before]
