"""Which files of a table count: ``<table>/_current.json``, the one object that is ever replaced.

::

    <table>/_current.json                                              the pointer
    publications/<table>/date=2017-11-03/<publication>/….parquet       rows

Each publication of a day goes to a folder of its own, which is never written to again, and the
pointer is swapped on condition that nobody else has swapped it. A reader that takes the files from
the pointer thus sees a table as one publication left it.

A catalog's partition points at such a folder itself. Its name does not begin with ``_``: engines
pass over such names, and of a partition's location Athena's guide forbids them ("Specify a table
location in Amazon S3"), so that a day could be empty without an error. All folders lie elsewhere
than the table, since who lists the table would take a day's old rows for more rows. A table that is
called ``publications`` harms nobody: keys of pointers and of rows differ in their depth.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    InputError,
    ObjectNotFoundError,
    TransientError,
)
from spade_spark.runs.paths import table_folder
from spade_spark.storage.base import Store
from spade_spark.storage.records import decode, encode
from spade_spark.window import Window
from spade_spark.writers.partition_paths import hive_partition_dir, sortable_timestamp

SNAPSHOT_FILE: Final = "_current.json"
PUBLICATIONS: Final = "publications"
_READS: Final = 3


@dataclass(frozen=True)
class PublishedRun:
    """A run that was published.

    Attributes:
        run_tag: The run.
        manifest: SHA-256 of its manifest (hex).
        window: START and END as the time column holds them, as
            :func:`~spade_spark.writers.partition_paths.sortable_timestamp` has them.
    """

    run_tag: str
    manifest: str
    window: tuple[str, str]

    @classmethod
    def of(cls, run_tag: str, manifest: str, window: Window) -> PublishedRun:
        """A run's window, published whole."""
        return cls(
            run_tag,
            manifest,
            (sortable_timestamp(window.wall_start), sortable_timestamp(window.wall_end)),
        )

    def within(self, day: str) -> tuple[str, str]:
        """The part of the window that lies in ``day``; the first after the second for none."""
        start, end = self.window
        return max(start, f"{day} 00:00:00.000"), min(end, f"{day} 23:59:59.999")

    def overlaps(self, other: PublishedRun, day: str) -> bool:
        """Whether both windows have a moment of ``day`` in common."""
        mine, theirs = self.within(day), other.within(day)
        return max(mine[0], theirs[0]) <= min(mine[1], theirs[1])


@dataclass(frozen=True)
class LakeFile:
    """A Parquet file that counts.

    Attributes:
        key: Its key below the lake's URL.
        rows: Rows in it.
        size: Bytes.
        sha256: Of the bytes (hex).
        first: The earliest time in it.
        last: The latest.
    """

    key: str
    rows: int
    size: int
    sha256: str
    first: str
    last: str


@dataclass(frozen=True)
class DayPartition:
    """One day of a table.

    Attributes:
        location: The folder of its files, a key that ends in a slash.
        files: The files that count; none where the day was emptied.
        sources: The runs that were published into it, each once, in the order of their last
            publication. Those whose rows went stay: their coming back is to be told.
    """

    location: str
    files: tuple[LakeFile, ...]
    sources: tuple[PublishedRun, ...]

    @property
    def rows(self) -> int:
        """Rows of the day."""
        return sum(file.rows for file in self.files)

    def over(self, source: PublishedRun, day: str) -> tuple[PublishedRun, ...]:
        """The runs that were published over ``source``, which was published before them."""
        if source not in self.sources:
            return ()
        later = self.sources[self.sources.index(source) + 1 :]
        return tuple(each for each in later if each.overlaps(source, day))


@dataclass(frozen=True)
class LakeColumn:
    """A column of a table in the lake.

    Attributes:
        name: Its name.
        type: Its Arrow type, as Arrow spells it.
        since: The serial of the publication that it came with.
    """

    name: str
    type: str
    since: int = 1


@dataclass(frozen=True)
class Snapshot:
    """A table as it stands in the lake.

    Attributes:
        table: The table's name.
        serial: How often it was published.
        published: When it was last, UTC.
        columns: The columns that there are: the last publication's, then what older ones had.
        partitions: The days that there are, or were, ``YYYY-MM-DD``.
        time_column: The column that days and windows are of; empty where it was not kept yet.
    """

    table: str
    serial: int
    published: datetime
    columns: tuple[LakeColumn, ...] = ()
    partitions: dict[str, DayPartition] = field(default_factory=dict)
    time_column: str = ""


@dataclass(frozen=True)
class VersionedSnapshot:
    """A pointer as it was read.

    Attributes:
        current: What it says; None where the table was never published.
        etag: What a swap of it needs; empty where there is none.
    """

    snapshot: Snapshot | None
    etag: str = ""


def snapshot_key(table: str) -> str:
    """Where a table's pointer lies."""
    return f"{table_folder(table)}/{SNAPSHOT_FILE}"


def publication_folder(table: str, day: str, publication: str) -> str:
    """Where one publication of a day lies."""
    return f"{PUBLICATIONS}/{table_folder(table)}/{hive_partition_dir(day)}/{publication}/"


def load_snapshot(lake: Store, table: str) -> VersionedSnapshot:
    """A table's pointer as it is now.

    What cannot be decoded is read again: an answer may be cut, and look whole.

    Raises:
        InputError: What lies there is none.
        TransientError: The store does not answer.
    """
    return load_snapshot_at(lake, snapshot_key(table))


def load_snapshot_at(lake: Store, key: str) -> VersionedSnapshot:
    """As :func:`load_snapshot`, of the pointer that lies at ``key``."""
    for _ in range(_READS - 1):
        with suppress(InputError):
            return _read_once(lake, key)
    return _read_once(lake, key)


def _read_once(lake: Store, key: str) -> VersionedSnapshot:
    try:
        snapshot = lake.snapshot(key)
    except ObjectNotFoundError:
        return VersionedSnapshot(None)
    return VersionedSnapshot(
        decode(snapshot.data, Snapshot, lake.url + key, "snapshot"), snapshot.etag
    )


def commit_snapshot(lake: Store, before: VersionedSnapshot, after: Snapshot) -> bool:
    """Makes ``after`` what counts, where the pointer is still the one of ``before``.

    Returns:
        False where somebody else was first; nothing was changed.

    Raises:
        CommitOutcomeUnknownError: The answer was lost, and the pointer cannot be read.
    """
    key, data = snapshot_key(after.table), encode(after)
    try:
        if before.snapshot is None:
            return lake.write(key, data, if_absent=True)
        return lake.replace(key, data, before.etag)
    except TransientError as fault:
        return _look_for(lake, after, fault)


def _look_for(lake: Store, after: Snapshot, fault: TransientError) -> bool:
    """Whether a swap happened whose answer was lost."""
    try:
        return load_snapshot(lake, after.table).snapshot == after
    except TransientError:
        raise CommitOutcomeUnknownError(
            f"whether {lake.url}{snapshot_key(after.table)} was replaced is not known ({fault}): "
            "run the same command again, which looks first"
        ) from None
