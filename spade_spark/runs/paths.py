"""Names below the output store: a run's prefix and what lies under it.

::

    <runtag>/_plan.json              what was to be read; written first
    <runtag>/_schemas.json           the schemas as they were
    <runtag>/_completed/00012.json   one a partition, its task's last act
    <runtag>/_published/00012.json   what of a partition is published, where that was asked
    <runtag>/<table>/v<version>/…gz  the rows
    <runtag>/<table>/date=<day>/…    the rows in Parquet, where that was asked
    <runtag>/_untracked/…gz          events without a table
    <runtag>/_quarantine/…gz         records that no row could be made of
    <runtag>/_copy/<table>.json      Redshift's own manifest of a table's files
    <runtag>/_manifest.json          which files count; written last
    <runtag>/_loads/<time>.json      what a load came to, one a load
    <runtag>/_report.json            what the run and its loads came to
    _locks/claims.json               which replays run (see locking/lease.py)

A table's folder never begins with ``_``, so that no event's name can stand for one of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from spade_spark.errors import UsageError
from spade_spark.writers.partition_paths import hive_partition_dir

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


UNDO = "undo-"
"""What an undo's tag in the warehouse's replay ledger begins with, before the run tag undone."""

QUARANTINE = ".quarantine"
"""What the run tag ends with under which another run's quarantine is tried again.

It follows from the first run's tag, so that the replay ledger, which has each run tag once, keeps
the rows from being added twice."""


def generate_tag(now: datetime, namespace: str = "") -> str:
    """``[NAMESPACE-]YYYYMMDDTHHMMSS`` of ``current_rows``."""
    stamp = now.strftime("%Y%m%dT%H%M%S")
    return check_tag(f"{namespace}-{stamp}" if namespace else stamp)


def is_tag(name: str) -> bool:
    """Whether ``name`` can be a run tag."""
    return _TAG.fullmatch(name) is not None


def check_tag(tag: str) -> str:
    """``tag`` itself.

    Raises:
        UsageError: It could not be the name of a prefix, or would be taken for an undo's.
    """
    if tag.startswith(UNDO):
        raise UsageError(
            f"{tag!r} is what the ledger calls the undoing of run tag {tag[len(UNDO) :]!r}: use "
            f"another run tag; to undo that run, spade-spark undo {tag[len(UNDO) :]}"
        )
    if not is_tag(tag):
        raise UsageError(
            f"{tag!r} is no run tag: use letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return tag


def table_folder(table: str) -> str:
    """A table's name as one folder, whatever characters an event's name has."""
    folder = quote(table, safe="")
    return "%" + f"{ord(folder[0]):02X}" + folder[1:] if folder[:1] in {"_", "."} else folder


@dataclass(frozen=True)
class RunPaths:
    """The keys of one run."""

    run_tag: str

    @property
    def plan(self) -> str:
        """What was to be read."""
        return f"{self.run_tag}/_plan.json"

    @property
    def schemas(self) -> str:
        """The schemas, byte for byte as they were published (gzip undone)."""
        return f"{self.run_tag}/_schemas.json"

    @property
    def manifest(self) -> str:
        """Which files count."""
        return f"{self.run_tag}/_manifest.json"

    @property
    def report(self) -> str:
        """What the run came to."""
        return f"{self.run_tag}/_report.json"

    @property
    def loads(self) -> str:
        """The prefix of the records of loads."""
        return f"{self.run_tag}/_loads/"

    def load(self, at: datetime) -> str:
        """The record of the load that ended at ``at``."""
        return f"{self.loads}{at:%Y%m%dT%H%M%S.%fZ}.json"

    @property
    def completed(self) -> str:
        """The prefix of completion records."""
        return f"{self.run_tag}/_completed/"

    def completion(self, partition: int) -> str:
        """One partition's completion record."""
        return f"{self.completed}{partition:05d}.json"

    def publication(self, partition: int) -> str:
        """What of one partition is published."""
        return f"{self.run_tag}/_published/{partition:05d}.json"

    def copy_manifest(self, table: str) -> str:
        """Redshift's own manifest of one table's files."""
        return f"{self.run_tag}/_copy/{table_folder(table)}.json"

    def rows(self, table: str, version: int, name: str) -> str:
        """A file of one table's rows."""
        return f"{self.run_tag}/{table_folder(table)}/v{version}/{name}"

    def day(self, table: str, day: str, name: str) -> str:
        """A Parquet file of one table's rows of one day."""
        return f"{self.run_tag}/{table_folder(table)}/{hive_partition_dir(day)}/{name}"

    def untracked(self, name: str) -> str:
        """A file of events without a table, where the settings name no bucket for them."""
        return f"{self.run_tag}/_untracked/{name}"

    def untracked_by_day(self, day: str, name: str) -> str:
        """The same below ``output.untracked``, the bucket that the settings name for them.

        Args:
            day: ``YYYYMMDD`` of the plan.
            name: The file's name.
        """
        return f"{day}/{self.run_tag}/{name}"

    def quarantine(self, name: str) -> str:
        """A file of records that no row could be made of."""
        return f"{self.run_tag}/_quarantine/{name}"
