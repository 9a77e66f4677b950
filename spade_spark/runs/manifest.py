"""What a run writes of itself: the completion record of a partition, and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InternalError
from spade_spark.plan import Plan
from spade_spark.runs.audit_counts import AuditCounts, total
from spade_spark.runs.load_results import LoadFile, TableFiles
from spade_spark.runs.paths import RunPaths
from spade_spark.storage.records import digest
from spade_spark.writers.partition_paths import DayFile


@dataclass(frozen=True)
class RowFile:
    """A file of one table's rows that counts.

    Attributes:
        table: The table's name.
        version: The Blueprint version that made the rows.
        key: Its key below the output store.
        rows: Rows in it.
        size: Compressed bytes.
        sha256: Of the compressed bytes (hex).
    """

    table: str
    version: int
    key: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class UntrackedFile:
    """A file of events without a table.

    Attributes:
        url: Where it lies.
        events: Events in it, one a line.
        size: Compressed bytes.
    """

    url: str
    events: int
    size: int


@dataclass(frozen=True)
class QuarantineFile:
    """A file of records that no row could be made of.

    Attributes:
        key: Its key below the output store.
        records: Records in it, one a line.
        size: Compressed bytes.
    """

    key: str
    records: int
    size: int


@dataclass(frozen=True)
class Damaged:
    """An object of which not everything could be read; its whole lines before that count.

    Attributes:
        key: Its key below the edge store.
        reason: What is wrong with it.
    """

    key: str
    reason: str


class Completion(msgspec.Struct, frozen=True, rename={"counts": "ledger"}):
    """What one partition came to, as its task returned it.

    Attributes:
        plan: SHA-256 of the plan that it belongs to.
        partition: The partition's number.
        attempt: The name, unique to the attempt, that its files carry.
        counts: The audit counts.
        files: The rows' files.
        untracked: The files of events without a table.
        quarantine: The files of records that no row could be made of.
        damaged: Objects that are not whole.
        failures: Some of the events that this program failed on: ``(uuid, error)``.
        lookups: What the lookups were asked, by name.
        format: In which formats the rows were written, as in the settings.
        parquet: The rows' files in Parquet.
        fallbacks: The tables that the slower reference path made all rows of, with the reason.
    """

    plan: str
    partition: int
    attempt: str
    counts: AuditCounts
    files: tuple[RowFile, ...] = ()
    untracked: tuple[UntrackedFile, ...] = ()
    quarantine: tuple[QuarantineFile, ...] = ()
    damaged: tuple[Damaged, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    lookups: dict[str, int] = msgspec.field(default_factory=dict)
    format: str = "tsv"
    parquet: tuple[DayFile, ...] = ()
    fallbacks: dict[str, str] = msgspec.field(default_factory=dict)

    def check(self) -> None:
        """Raises Bug where the partition's ledger does not balance."""
        where = f"partition {self.partition}"
        _check(self.counts, self.format, self.files, self.parquet, where)


@dataclass(frozen=True)
class ManifestTable:
    """One table of a run.

    Attributes:
        table: The table's name.
        version: The Blueprint version that made the rows.
        columns: The outbound names, in the rows' order.
        files: The files that count.
        parquet: The Parquet files that count, of the same rows.
    """

    table: str
    version: int
    columns: tuple[str, ...]
    files: tuple[RowFile, ...]
    parquet: tuple[DayFile, ...] = ()

    @property
    def rows(self) -> int:
        """Rows made, which each format has once."""
        return sum(file.rows for file in self.files or self.parquet)

    @property
    def every(self) -> tuple[RowFile | DayFile, ...]:
        """The files of all formats."""
        return (*self.files, *self.parquet)


class Manifest(msgspec.Struct, frozen=True, rename={"counts": "ledger"}):
    """What a run made: only what it names exists for whoever reads the run.

    Attributes:
        run_tag: The output prefix.
        plan: SHA-256 of the plan.
        window: ``(START, END)`` with offsets.
        created: When the run was sealed, UTC.
        tables: What was made, table by table; a table without rows has no files.
        counts: The audit counts.
        untracked: The files of events without a table.
        quarantine: The files of records that no row could be made of.
        damaged: Objects that are not whole.
        failures: Some of the events that this program failed on: ``(uuid, error)``.
        lookups: What the lookups were asked, by name.
        format: In which formats the rows were written, as in the settings.
        time_column: The column that decided on the days of rows; empty where none did.
        fallbacks: The tables that the slower reference path made all rows of, with the reason.
    """

    run_tag: str
    plan: str
    window: tuple[str, str]
    created: datetime
    tables: tuple[ManifestTable, ...]
    counts: AuditCounts
    untracked: tuple[UntrackedFile, ...] = ()
    quarantine: tuple[QuarantineFile, ...] = ()
    damaged: tuple[Damaged, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    lookups: dict[str, int] = msgspec.field(default_factory=dict)
    format: str = "tsv"
    time_column: str = ""
    fallbacks: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def has_tsv(self) -> bool:
        """Whether there are files that a warehouse can load."""
        return "tsv" in self.format

    @property
    def has_parquet(self) -> bool:
        """Whether there are files that a lake can take in."""
        return "parquet" in self.format


def build_manifest(
    plan: Plan, tables: Sequence[Table], completions: Sequence[Completion], now: datetime
) -> Manifest:
    """The manifest of a run from what its tasks returned.

    Raises:
        InternalError: A partition is missing or there twice, or the ledger does not balance.
    """
    numbers = sorted(completion.partition for completion in completions)
    if numbers != [partition.number for partition in plan.partitions]:
        raise InternalError(
            f"{plan.run_tag}: {len(plan.partitions)} partitions were planned, got {numbers}"
        )
    ordered = sorted(completions, key=lambda completion: completion.partition)
    files = [file for completion in ordered for file in completion.files]
    parquet = [file for completion in ordered for file in completion.parquet]
    format_ = plan.settings.get("output.format", "tsv")
    ledger = total(completion.counts for completion in ordered)
    if ledger.objects != len(plan.sources):
        raise InternalError(
            f"{plan.run_tag}: {len(plan.sources)} objects were planned, {ledger.objects} were read"
        )
    _check(ledger, format_, files, parquet, plan.run_tag)
    lookups: Counter[str] = Counter()
    fallbacks: dict[str, str] = {}
    for completion in ordered:
        lookups.update(completion.lookups)
        fallbacks.update(completion.fallbacks)
    return Manifest(
        run_tag=plan.run_tag,
        plan=digest(plan),
        window=plan.window,
        created=now,
        tables=tuple(_manifest_table(table, files, parquet) for table in tables),
        counts=ledger,
        untracked=tuple(file for completion in ordered for file in completion.untracked),
        quarantine=tuple(file for completion in ordered for file in completion.quarantine),
        damaged=tuple(damaged for completion in ordered for damaged in completion.damaged),
        failures=tuple(failure for completion in ordered for failure in completion.failures),
        lookups=dict(lookups),
        format=format_,
        time_column=plan.settings.get("warehouse.time_column", ""),
        fallbacks=dict(sorted(fallbacks.items())),
    )


def table_files(manifest: Manifest, base: str, checksum: str) -> tuple[TableFiles, ...]:
    """What the loader is given: the manifest's tables with whole URLs.

    Args:
        manifest: The run's manifest.
        base: URL of the output store, ending in a slash.
        checksum: SHA-256 of the manifest.
    """
    layout = RunPaths(manifest.run_tag)
    return tuple(
        TableFiles(
            table=made.table,
            version=made.version,
            columns=made.columns,
            files=tuple(LoadFile(base + file.key, file.size, file.rows) for file in made.files),
            copy_manifest=base + layout.copy_manifest(made.table),
            checksum=checksum,
        )
        for made in manifest.tables
    )


def copy_manifest(files: TableFiles) -> bytes:
    """Redshift's own manifest of one table's files.

    Format: Amazon Redshift Database Developer Guide, "Using a manifest to specify data files".
    """
    entries = [
        {"url": file.url, "mandatory": True, "meta": {"content_length": file.size}}
        for file in files.files
    ]
    return msgspec.json.encode({"entries": entries})


def _manifest_table(
    table: Table, files: Iterable[RowFile], parquet: Iterable[DayFile]
) -> ManifestTable:
    columns = tuple(column.outbound for column in table.columns)
    mine = tuple(file for file in files if file.table == table.name)
    days = tuple(file for file in parquet if file.table == table.name)
    return ManifestTable(table.name, table.version, columns, mine, days)


def _check(
    ledger: AuditCounts,
    format_: str,
    files: Iterable[RowFile],
    parquet: Iterable[DayFile],
    where: str,
) -> None:
    """Compares the ledger with the files of each format that was asked for."""
    if "tsv" in format_:
        ledger.check(_rows_by_table(files), where)
    if "parquet" in format_:
        ledger.check(_rows_by_table(parquet), where)


def _rows_by_table(files: Iterable[RowFile | DayFile]) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.table] += file.rows
    return rows
