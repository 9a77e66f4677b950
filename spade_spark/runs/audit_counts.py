"""Audit counts: the number of lines, records and rows at each step, which must balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from spade_spark.errors import InternalError
from spade_spark.formatting import pluralize
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome

Counts = TypeVar("Counts", StreamCounts, EdgeTypeCounts)

WRITTEN = (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)
"""The outcomes that produce a row."""


@dataclass(frozen=True)
class AuditCounts:
    """The counts of a partition or a run.

    Attributes:
        objects: Objects read, including corrupt ones.
        bytes_in: Compressed bytes read.
        bytes_inflated: Decompressed bytes.
        lines: Lines read.
        undecodable: Lines that are not edge records.
        filtered: Prefiltered lines, which cannot contain a requested table.
        records: Decoded edge records.
        events: Events by table and outcome; the table is ``""`` for events without a table.
        streams: Published rows, by stream id.
        globs: Globs read, if the input consists of globs.
        repeated_globs: Globs that had already been read.
        repeated: Lines of repeated globs, which were dropped.
        edge_types: Events from the expected and from other types of edge, by table. Only for tables
            whose expected type is in Blueprint's event metadata.
        parquet: Rows in Parquet files, by table.
        undated: Rows without a day in Parquet files, by table.
    """

    objects: int = 0
    bytes_in: int = 0
    bytes_inflated: int = 0
    lines: int = 0
    undecodable: int = 0
    filtered: int = 0
    records: int = 0
    events: dict[str, dict[Outcome, int]] = field(default_factory=dict)
    streams: dict[str, StreamCounts] = field(default_factory=dict)
    globs: int = 0
    repeated_globs: int = 0
    repeated: int = 0
    edge_types: dict[str, EdgeTypeCounts] = field(default_factory=dict)
    parquet: dict[str, int] = field(default_factory=dict)
    undated: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: AuditCounts) -> AuditCounts:
        sums = {
            count.name: getattr(self, count.name) + getattr(other, count.name)
            for count in fields(self)
            if isinstance(getattr(self, count.name), int)
        }
        return AuditCounts(
            **sums,
            events=_add(self.events, other.events),
            streams=_merge(self.streams, other.streams, StreamCounts()),
            edge_types=_merge(self.edge_types, other.edge_types, EdgeTypeCounts()),
            parquet=dict(Counter(self.parquet) + Counter(other.parquet)),
            undated=dict(Counter(self.undated) + Counter(other.undated)),
        )

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Events of all tables, by outcome."""
        totals = dict.fromkeys(Outcome, 0)
        for counts in self.events.values():
            for outcome, count in counts.items():
                totals[outcome] += count
        return totals

    @property
    def event_count(self) -> int:
        """Number of events; a malformed record counts as one."""
        return sum(self.outcomes.values())

    def rows(self, table: str) -> int:
        """Number of rows of ``table``."""
        return sum(self.events.get(table, {}).get(outcome, 0) for outcome in WRITTEN)

    @property
    def row_count(self) -> int:
        """Number of rows of all tables."""
        return sum(self.rows(table) for table in self.events)

    def check(self, written: Mapping[str, int], label: str) -> None:
        """Compare the lines read with the counts and with the rows written.

        Args:
            written: Rows in the files, by table.
            label: The partition or run, for the message.

        Raises:
            InternalError: The counts do not balance.
        """
        if self.lines != self.undecodable + self.filtered + self.repeated + self.records:
            raise InternalError(
                f"{label}: the audit counts do not balance: {pluralize(self.lines, 'line')} read, "
                f"but {self.undecodable:,} undecodable + {self.filtered:,} prefiltered + "
                f"{self.repeated:,} of repeated globs + {pluralize(self.records, 'record')}. "
                "Nothing was loaded. Please report this"
            )
        for table in sorted(self.events.keys() | written.keys()):
            counted, in_files = self.rows(table), written.get(table, 0)
            if counted != in_files:
                raise InternalError(
                    f"{label}: the audit counts do not balance: {pluralize(counted, 'row')} of "
                    f"{table} counted, but {in_files:,} in files. Nothing was loaded. Please "
                    "report this"
                )
        for stream, counts in self.streams.items():
            if not counts.balances:
                raise InternalError(
                    f"{label}: the audit counts do not balance: {pluralize(counts.rows, 'row')} "
                    f"for {stream}, but {counts.outside:,} outside the window + "
                    f"{counts.filtered:,} filtered + {counts.empty:,} empty + "
                    f"{counts.published:,} published + {counts.dropped:,} dropped. Please report "
                    "this"
                )


def total(counts: Iterable[AuditCounts]) -> AuditCounts:
    """Add up audit counts."""
    return sum(counts, AuditCounts())


def _merge(
    left: Mapping[str, Counts], right: Mapping[str, Counts], zero: Counts
) -> dict[str, Counts]:
    """Add counts of the same name; the order is that of ``left``."""
    return {
        name: left.get(name, zero) + right.get(name, zero)
        for name in dict.fromkeys([*left, *right])
    }


def _add(
    left: Mapping[str, Mapping[Outcome, int]], right: Mapping[str, Mapping[Outcome, int]]
) -> dict[str, dict[Outcome, int]]:
    added = {table: dict(counts) for table, counts in left.items()}
    for table, counts in right.items():
        sums = added.setdefault(table, {})
        for outcome, count in counts.items():
            sums[outcome] = sums.get(outcome, 0) + count
    return added
