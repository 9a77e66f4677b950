"""Snapshots: ``<table>/_current.json`` lists the files of a table.

::

    <table>/_current.json                                              the current snapshot
    publications/<table>/date=2017-11-03/<publication>/….parquet       rows

Each publication of a day has its own folder, which is never written to again. A commit replaces the
snapshot if it is still the one that was read. A reader that gets the files from the snapshot sees
the table as one publication left it.

The partitions of a catalog point to these folders. Folder names do not begin with ``_``, because
query engines skip such names without an error, and Athena's guide forbids them ("Specify a table
location in Amazon S3"). The folders are not below the table's folder, because a reader that lists
the table's folder would read replaced rows as additional rows. A table called ``publications`` is
not a problem: the keys of snapshots and rows differ in depth.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    InputError,
    ObjectNotFoundError,
    TransientError,
)
from spade_spark.runs.paths import table_folder
from spade_spark.storage.base import Store
from spade_spark.storage.json_codec import decode, encode
from spade_spark.window import Window
from spade_spark.writers.partition_paths import hive_partition_dir, sortable_timestamp

SNAPSHOT_FILE: Final = "_current.json"
PUBLICATIONS: Final = "publications"
_READ_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class PublishedRun:
    """A published run.

    Attributes:
        run_tag: The run tag.
        manifest: SHA-256 (hex) of its manifest.
        window: START and END in the form of
            :func:`~spade_spark.writers.partition_paths.sortable_timestamp`.
    """

    run_tag: str
    manifest: str
    window: tuple[str, str]

    @classmethod
    def of(cls, run_tag: str, manifest: str, window: Window) -> PublishedRun:
        """Create a record for the full window of a run."""
        return cls(
            run_tag,
            manifest,
            (sortable_timestamp(window.wall_start), sortable_timestamp(window.wall_end)),
        )

    def within(self, day: str) -> tuple[str, str]:
        """The part of the window on ``day``; it is empty if the first value is after the second."""
        start, end = self.window
        return max(start, f"{day} 00:00:00.000"), min(end, f"{day} 23:59:59.999")

    def overlaps(self, other: PublishedRun, day: str) -> bool:
        """Whether both windows overlap on ``day``."""
        (start, end), (other_start, other_end) = self.within(day), other.within(day)
        return max(start, other_start) <= min(end, other_end)


@dataclass(frozen=True)
class LakeFile:
    """A Parquet file of the table.

    Attributes:
        key: The key below the lake's URL.
        rows: Number of rows.
        size: Bytes.
        sha256: SHA-256 (hex) of the bytes.
        first: The earliest time in it.
        last: The latest time in it.
    """

    key: str
    rows: int
    size: int
    sha256: str
    first: str
    last: str


class DayPartition(msgspec.Struct, frozen=True, rename={"runs": "sources"}):
    """The partition of one day.

    Attributes:
        location: The key of its folder, ending in a slash.
        files: The files; empty if the day was emptied.
        runs: The runs that were published to it, each once, in the order of their last
            publication. Runs whose rows were replaced are included, so that publishing one of them
            again needs ``--force``.
    """

    location: str
    files: tuple[LakeFile, ...]
    runs: tuple[PublishedRun, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(file.rows for file in self.files)

    def later_runs(self, run: PublishedRun, day: str) -> tuple[PublishedRun, ...]:
        """The later runs that replaced rows of ``run``."""
        if run not in self.runs:
            return ()
        later = self.runs[self.runs.index(run) + 1 :]
        return tuple(other for other in later if other.overlaps(run, day))


@dataclass(frozen=True)
class LakeColumn:
    """A column of a table in the lake.

    Attributes:
        name: The column's name.
        type: The name of its Arrow type.
        since: The serial of the snapshot that added it.
    """

    name: str
    type: str
    since: int = 1


@dataclass(frozen=True)
class Snapshot:
    """The state of a table in the lake.

    Attributes:
        table: The table's name.
        serial: The number of the snapshot, counted from 1.
        published: Time of the commit, UTC.
        columns: The columns of the latest publication, followed by those of older ones.
        partitions: The partitions by day, ``YYYY-MM-DD``, including emptied ones.
        time_column: The column that determines the day of a row; empty in old snapshots.
    """

    table: str
    serial: int
    published: datetime
    columns: tuple[LakeColumn, ...] = ()
    partitions: dict[str, DayPartition] = field(default_factory=dict)
    time_column: str = ""


@dataclass(frozen=True)
class VersionedSnapshot:
    """A snapshot with the ETag of its object.

    Attributes:
        snapshot: The snapshot; None if the table was never published.
        etag: The ETag, for the commit of the next snapshot; empty if there is none yet.
    """

    snapshot: Snapshot | None
    etag: str = ""


def snapshot_key(table: str) -> str:
    """The key of a table's snapshot."""
    return f"{table_folder(table)}/{SNAPSHOT_FILE}"


def publication_folder(table: str, day: str, publication: str) -> str:
    """The folder of one publication of a day."""
    return f"{PUBLICATIONS}/{table_folder(table)}/{hive_partition_dir(day)}/{publication}/"


def load_snapshot(lake: Store, table: str) -> VersionedSnapshot:
    """Read the current snapshot of a table.

    A response can be cut off and still look complete, so data that cannot be decoded is read again.

    Raises:
        InputError: The snapshot cannot be decoded.
        TransientError: The store does not respond.
    """
    return load_snapshot_at(lake, snapshot_key(table))


def load_snapshot_at(lake: Store, key: str) -> VersionedSnapshot:
    """Read the snapshot at ``key``, as :func:`load_snapshot` does."""
    for _ in range(_READ_ATTEMPTS - 1):
        with suppress(InputError):
            return _read_once(lake, key)
    return _read_once(lake, key)


def _read_once(lake: Store, key: str) -> VersionedSnapshot:
    try:
        versioned = lake.read_versioned(key)
    except ObjectNotFoundError:
        return VersionedSnapshot(None)
    return VersionedSnapshot(
        decode(versioned.data, Snapshot, lake.url + key, "snapshot"), versioned.etag
    )


def commit_snapshot(lake: Store, before: VersionedSnapshot, after: Snapshot) -> bool:
    """Replace the current snapshot with ``after`` if it is still ``before``.

    Returns:
        False if another publication committed first; nothing was changed.

    Raises:
        CommitOutcomeUnknownError: The response was lost and the snapshot cannot be read.
    """
    key, data = snapshot_key(after.table), encode(after)
    try:
        if before.snapshot is None:
            return lake.write(key, data, if_absent=True)
        return lake.replace(key, data, before.etag)
    except TransientError as error:
        return _was_committed(lake, after, error)


def _was_committed(lake: Store, after: Snapshot, error: TransientError) -> bool:
    """Whether a commit succeeded although its response was lost."""
    try:
        return load_snapshot(lake, after.table).snapshot == after
    except TransientError:
        raise CommitOutcomeUnknownError(
            f"it is unknown whether {lake.url}{snapshot_key(after.table)} was replaced ({error}): "
            "run the same command again, which checks this"
        ) from None
