"""What is to be loaded into one table, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadFile:
    """One gzip TSV file of the manifest.

    Attributes:
        url: ``s3://bucket/key`` or a path.
        size: Compressed bytes.
        rows: Rows in it.
    """

    url: str
    size: int
    rows: int


@dataclass(frozen=True)
class TableFiles:
    """All files of one table and version that a run's manifest names.

    Attributes:
        table: The table's name, as in Blueprint.
        version: The Blueprint version that the rows were made by.
        columns: The outbound names, in the order of the rows' values.
        files: The files that count.
        copy_manifest: URL of Redshift's own manifest of the same files.
        checksum: SHA-256 (hex) of the run's manifest, for the replay ledger.
    """

    table: str
    version: int
    columns: tuple[str, ...]
    files: tuple[LoadFile, ...]
    copy_manifest: str
    checksum: str

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class TableLoaded:
    """One table's window, replaced.

    Attributes:
        table: The table's name.
        before: Rows in the window before.
        staged: Rows that COPY brought.
        outside: Staged rows outside the window, not inserted.
        deleted: Rows deleted.
        inserted: Rows inserted.
        seconds: Time taken.
        truncated: Values cut to their column's length, by column.
    """

    table: str
    before: int
    staged: int
    outside: int
    deleted: int
    inserted: int
    seconds: float
    truncated: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TableNotLoaded:
    """One table that was left as it was.

    Attributes:
        table: The table's name.
        reason: What happened and what to do next, whole sentences.
        unknown: Whether a commit's outcome could not be found out.
    """

    table: str
    reason: str
    unknown: bool = False
