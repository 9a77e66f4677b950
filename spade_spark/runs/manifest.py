"""The records of a run: the completion record of each partition, and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InputError, InternalError
from spade_spark.formatting import pluralize
from spade_spark.plan import Plan
from spade_spark.runs.audit_counts import AuditCounts, total
from spade_spark.runs.load_results import LoadFile, TableFiles
from spade_spark.runs.paths import RunPaths
from spade_spark.storage.json_codec import digest
from spade_spark.writers.partition_paths import DayFile


@dataclass(frozen=True)
class RowFile:
    """A TSV file of one table's rows.

    Attributes:
        table: The table's name.
        version: The Blueprint version of the rows.
        key: The key below the output store.
        rows: Number of rows.
        size: Compressed bytes.
        sha256: SHA-256 (hex) of the compressed bytes.
        etag: The ETag after the upload to S3; empty in a directory and in runs of earlier versions.
    """

    table: str
    version: int
    key: str
    rows: int
    size: int
    sha256: str
    etag: str = ""


@dataclass(frozen=True)
class UntrackedFile:
    """A file of events without a table.

    Attributes:
        url: The file's URL.
        events: Number of events, one per line.
        size: Compressed bytes.
    """

    url: str
    events: int
    size: int


@dataclass(frozen=True)
class QuarantineFile:
    """A file of quarantined records.

    Attributes:
        key: The key below the output store.
        records: Number of records, one per line.
        size: Compressed bytes.
    """

    key: str
    records: int
    size: int


@dataclass(frozen=True)
class CorruptObject:
    """A corrupt input object. Its complete lines before the corruption were processed.

    Attributes:
        key: The key below the edge store.
        reason: What is wrong with it.
    """

    key: str
    reason: str


class Completion(msgspec.Struct, frozen=True, rename={"counts": "ledger"}):
    """The result of one partition, as its task returned it.

    Attributes:
        plan: SHA-256 of the plan.
        partition: The partition's number.
        attempt: The unique name of the attempt, which is part of its file names.
        counts: The audit counts.
        files: The TSV files.
        untracked: The files of events without a table.
        quarantine: The files of quarantined records.
        damaged: The corrupt input objects.
        failures: Some of the events with an internal error: ``(uuid, error)``.
        lookups: Lookup counts, by name.
        format: The formats of the rows, as in the settings.
        parquet: The Parquet files.
        fallbacks: Tables that the slower reference path transformed, with the reason.
    """

    plan: str
    partition: int
    attempt: str
    counts: AuditCounts
    files: tuple[RowFile, ...] = ()
    untracked: tuple[UntrackedFile, ...] = ()
    quarantine: tuple[QuarantineFile, ...] = ()
    damaged: tuple[CorruptObject, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    lookups: dict[str, int] = msgspec.field(default_factory=dict)
    format: str = "tsv"
    parquet: tuple[DayFile, ...] = ()
    fallbacks: dict[str, str] = msgspec.field(default_factory=dict)

    def check(self) -> None:
        """Raise InternalError if the audit counts do not balance."""
        label = f"partition {self.partition}"
        _check(self.counts, self.format, self.files, self.parquet, label)


@dataclass(frozen=True)
class ManifestTable:
    """One table of a run.

    Attributes:
        table: The table's name.
        version: The Blueprint version of the rows.
        columns: The outbound names, in the order of the rows.
        files: The TSV files.
        parquet: The Parquet files of the same rows.
    """

    table: str
    version: int
    columns: tuple[str, ...]
    files: tuple[RowFile, ...]
    parquet: tuple[DayFile, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows; each format contains all of them."""
        return sum(file.rows for file in self.files or self.parquet)

    @property
    def all_files(self) -> tuple[RowFile | DayFile, ...]:
        """The files of all formats."""
        return (*self.files, *self.parquet)


class Manifest(msgspec.Struct, frozen=True, rename={"counts": "ledger"}):
    """The result of a run. A load or a publication uses only the files that it names.

    Attributes:
        run_tag: The run tag.
        plan: SHA-256 of the plan.
        window: ``(START, END)`` with offsets.
        created: When the run was completed, UTC.
        tables: The tables; a table without rows has no files.
        counts: The audit counts.
        untracked: The files of events without a table.
        quarantine: The files of quarantined records.
        damaged: The corrupt input objects.
        failures: Some of the events with an internal error: ``(uuid, error)``.
        lookups: Lookup counts, by name.
        format: The formats of the rows, as in the settings.
        time_column: The column that determines the day of a row; empty if there is none.
        fallbacks: Tables that the slower reference path transformed, with the reason.
    """

    run_tag: str
    plan: str
    window: tuple[str, str]
    created: datetime
    tables: tuple[ManifestTable, ...]
    counts: AuditCounts
    untracked: tuple[UntrackedFile, ...] = ()
    quarantine: tuple[QuarantineFile, ...] = ()
    damaged: tuple[CorruptObject, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    lookups: dict[str, int] = msgspec.field(default_factory=dict)
    format: str = "tsv"
    time_column: str = ""
    fallbacks: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def has_tsv(self) -> bool:
        """Whether a warehouse can load the run."""
        return "tsv" in self.format

    @property
    def has_parquet(self) -> bool:
        """Whether the run can be published to a lake."""
        return "parquet" in self.format


def build_manifest(
    plan: Plan, tables: Sequence[Table], completions: Sequence[Completion], now: datetime
) -> Manifest:
    """Build the manifest of a run from the completions of its tasks.

    Raises:
        InternalError: A partition is missing or duplicate, or the audit counts do not balance.
    """
    numbers = sorted(completion.partition for completion in completions)
    if numbers != [partition.number for partition in plan.partitions]:
        raise InternalError(
            f"{plan.run_tag}: the plan has {pluralize(len(plan.partitions), 'partition')}, but the "
            f"completed ones are {numbers}. Nothing was loaded. Please report this"
        )
    ordered = sorted(completions, key=lambda completion: completion.partition)
    files = [file for completion in ordered for file in completion.files]
    parquet = [file for completion in ordered for file in completion.parquet]
    format_ = plan.settings.get("output.format", "tsv")
    counts = total(completion.counts for completion in ordered)
    if counts.objects != len(plan.sources):
        raise InternalError(
            f"{plan.run_tag}: the plan has {pluralize(len(plan.sources), 'object')}, but the tasks "
            f"read {counts.objects:,}. Nothing was loaded. Please report this"
        )
    _check(counts, format_, files, parquet, plan.run_tag)
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
        counts=counts,
        untracked=tuple(file for completion in ordered for file in completion.untracked),
        quarantine=tuple(file for completion in ordered for file in completion.quarantine),
        damaged=tuple(damaged for completion in ordered for damaged in completion.damaged),
        failures=tuple(failure for completion in ordered for failure in completion.failures),
        lookups=dict(lookups),
        format=format_,
        time_column=plan.settings.get("warehouse.time_column", ""),
        fallbacks=dict(sorted(fallbacks.items())),
    )


def check_location(manifest: Manifest, run_tag: str) -> None:
    """Check that a manifest belongs to the run and names only objects of the run.

    Otherwise, a writer of the manifest could have other objects loaded.

    Raises:
        InputError: It does not.
    """
    advice = "run the transform again under a new run tag"
    if manifest.run_tag != run_tag:
        raise InputError(
            f"the manifest of run tag {run_tag} belongs to run tag {manifest.run_tag}; {advice}"
        )
    keys = [file.key for table in manifest.tables for file in table.all_files]
    for key in (*keys, *(file.key for file in manifest.quarantine)):
        folder, *names = key.split("/")
        if folder != run_tag or not names or not {"", ".", ".."}.isdisjoint(names):
            raise InputError(
                f"the manifest of run tag {run_tag} lists {key}, which is not an object of the "
                f"run; {advice}"
            )


def table_files(manifest: Manifest, base: str, checksum: str) -> tuple[TableFiles, ...]:
    """Return the loader's input: the tables of the manifest with full URLs.

    Args:
        manifest: The run's manifest.
        base: URL of the output store, ending in a slash.
        checksum: SHA-256 of the manifest.
    """
    paths = RunPaths(manifest.run_tag)
    return tuple(
        TableFiles(
            table=table.table,
            version=table.version,
            columns=table.columns,
            files=tuple(
                LoadFile(base + file.key, file.size, file.rows, file.sha256, file.etag)
                for file in table.files
            ),
            copy_manifest=base + paths.copy_manifest(table.table),
            checksum=checksum,
        )
        for table in manifest.tables
    )


def copy_manifest(files: TableFiles) -> bytes:
    """Encode the COPY manifest of one table's files.

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
    row_files = tuple(file for file in files if file.table == table.name)
    day_files = tuple(file for file in parquet if file.table == table.name)
    return ManifestTable(table.name, table.version, columns, row_files, day_files)


def _check(
    counts: AuditCounts,
    format_: str,
    files: Iterable[RowFile],
    parquet: Iterable[DayFile],
    label: str,
) -> None:
    """Compare the audit counts with the files of each requested format."""
    if "tsv" in format_:
        counts.check(_rows_by_table(files), label)
    if "parquet" in format_:
        counts.check(_rows_by_table(parquet), label)


def _rows_by_table(files: Iterable[RowFile | DayFile]) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.table] += file.rows
    return rows
