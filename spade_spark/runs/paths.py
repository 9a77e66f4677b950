"""Keys below the output store: the prefix of a run and its objects.

::

    <runtag>/_plan.json              the plan; written first
    <runtag>/_schemas.json           the schemas of the run
    <runtag>/_completed/00012.json   completion record of a partition; its task writes it last
    <runtag>/_published/00012.json   publish checkpoint of a partition, if the run has streams
    <runtag>/<table>/v<version>/…gz  rows as TSV
    <runtag>/<table>/date=<day>/…    rows as Parquet
    <runtag>/_untracked/…gz          events without a table
    <runtag>/_quarantine/…gz         quarantined records
    <runtag>/_copy/<table>.json      COPY manifest of a table, for a COPY by hand
    <runtag>/_copy/<table>.….json    COPY manifest of one COPY of a load
    <runtag>/_manifest.json          the manifest; written last
    <runtag>/_loads/<time>.json      result of a load
    <runtag>/_report.json            latest report of the run
    _locks/claims.json               leases of running replays (see locking/lease.py)

A table's folder never begins with ``_``, so no event name can collide with these names.
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
"""Prefix of an undo's tag in the replay log, before the run tag."""

QUARANTINE = ".quarantine"
"""Suffix of the run tag under which another run's quarantine is replayed.

The tag is derived from the first run's tag, so that the replay log, which contains each run tag
once, prevents the rows from being added twice."""


def generate_tag(now: datetime, namespace: str = "") -> str:
    """Generate ``[NAMESPACE-]YYYYMMDDTHHMMSS`` from ``now``."""
    stamp = now.strftime("%Y%m%dT%H%M%S")
    return check_tag(f"{namespace}-{stamp}" if namespace else stamp)


def is_tag(name: str) -> bool:
    """Whether ``name`` is a valid run tag."""
    return _TAG.fullmatch(name) is not None


def check_tag(tag: str) -> str:
    """Return ``tag`` if it is a valid run tag.

    Raises:
        UsageError: The tag is not a valid prefix, or begins like the tag of an undo.
    """
    if tag.startswith(UNDO):
        raise UsageError(
            f"{tag!r} is not a valid run tag, because tags that begin with {UNDO!r} identify undos "
            f"in the replay log. To undo run tag {tag[len(UNDO) :]}: spade-spark undo "
            f"{tag[len(UNDO) :]}"
        )
    if not is_tag(tag):
        raise UsageError(
            f"{tag!r} is not a valid run tag: start with a letter or digit, then use letters, "
            "digits, '.', '_' and '-'"
        )
    return tag


def table_folder(table: str) -> str:
    """Encode a table's name as the name of one folder."""
    folder = quote(table, safe="")
    return "%" + f"{ord(folder[0]):02X}" + folder[1:] if folder[:1] in {"_", "."} else folder


def copy_manifest_of_load(copy_manifest: str, part: str) -> str:
    """Return the URL of the COPY manifest of one COPY: with ``part`` in its name."""
    return f"{copy_manifest.removesuffix('.json')}.{part}.json"


@dataclass(frozen=True)
class RunPaths:
    """The keys of one run."""

    run_tag: str

    @property
    def plan(self) -> str:
        """The plan."""
        return f"{self.run_tag}/_plan.json"

    @property
    def schemas(self) -> str:
        """The schemas, byte for byte as published, without gzip."""
        return f"{self.run_tag}/_schemas.json"

    @property
    def manifest(self) -> str:
        """The manifest."""
        return f"{self.run_tag}/_manifest.json"

    @property
    def report(self) -> str:
        """The latest report."""
        return f"{self.run_tag}/_report.json"

    @property
    def loads(self) -> str:
        """The prefix of load records."""
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

    def publish_checkpoint(self, partition: int) -> str:
        """One partition's publish checkpoint."""
        return f"{self.run_tag}/_published/{partition:05d}.json"

    def copy_manifest(self, table: str) -> str:
        """The COPY manifest of one table."""
        return f"{self.run_tag}/_copy/{table_folder(table)}.json"

    def tsv_file(self, table: str, version: int, name: str) -> str:
        """A TSV file of one table."""
        return f"{self.run_tag}/{table_folder(table)}/v{version}/{name}"

    def parquet_file(self, table: str, day: str, name: str) -> str:
        """A Parquet file of one table and day."""
        return f"{self.run_tag}/{table_folder(table)}/{hive_partition_dir(day)}/{name}"

    def untracked(self, name: str) -> str:
        """A file of events without a table, if ``output.untracked`` is not set."""
        return f"{self.run_tag}/_untracked/{name}"

    def untracked_by_day(self, day: str, name: str) -> str:
        """A file of events without a table, below ``output.untracked``.

        Args:
            day: ``YYYYMMDD`` from the plan.
            name: The file's name.
        """
        return f"{day}/{self.run_tag}/{name}"

    def quarantine(self, name: str) -> str:
        """A file of quarantined records."""
        return f"{self.run_tag}/_quarantine/{name}"
