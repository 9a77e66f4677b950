"""The ledger: everything that was read, counted, in sums that must balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from spade_spark.errors import InternalError
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome

Counts = TypeVar("Counts", StreamCounts, EdgeTypeCounts)

WRITTEN = (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)
"""The outcomes that leave a row."""


@dataclass(frozen=True)
class AuditCounts:
    """Counts of one partition, or of a run.

    Attributes:
        objects: Objects read to their end, damaged ones among them.
        bytes_in: Compressed bytes read.
        bytes_inflated: Bytes of lines.
        lines: Lines read.
        undecodable: Lines that are no edge record.
        filtered: Lines passed over, since they cannot hold a table that was asked for.
        records: Edge records decoded.
        events: Events by table and outcome; the table is ``""`` where the event has none.
        streams: What was published, by the stream's id.
        globs: Globs read, where the input is of globs.
        repeated_globs: Those of them that had been read before.
        repeated: Lines that were dropped, since they are of repeated globs.
        edge_types: Which type of edge the tables' events came from, where Blueprint's event
            metadata say which is expected; by table.
        parquet: Rows in Parquet files, by table.
        undated: Those of them that belong to no day, by table.
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
            each.name: getattr(self, each.name) + getattr(other, each.name)
            for each in fields(self)
            if isinstance(getattr(self, each.name), int)
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
        """Events by outcome, over all tables."""
        totals = dict.fromkeys(Outcome, 0)
        for counts in self.events.values():
            for outcome, count in counts.items():
                totals[outcome] += count
        return totals

    @property
    def event_count(self) -> int:
        """All events; a malformed record counts once."""
        return sum(self.outcomes.values())

    def rows(self, table: str) -> int:
        """The rows that ``table``'s events left."""
        return sum(self.events.get(table, {}).get(outcome, 0) for outcome in WRITTEN)

    @property
    def row_count(self) -> int:
        """The rows of all tables."""
        return sum(self.rows(table) for table in self.events)

    def check(self, written: Mapping[str, int], where: str) -> None:
        """Compares what was read with what was counted and written.

        Args:
            written: Rows in the files, by table.
            where: The partition or run, for the message.

        Raises:
            InternalError: The ledger does not balance.
        """
        if self.lines != self.undecodable + self.filtered + self.repeated + self.records:
            raise InternalError(
                f"{where}: the ledger does not balance: {self.lines} lines read, but "
                f"{self.undecodable} undecodable + {self.filtered} passed over + "
                f"{self.repeated} of repeated globs + {self.records} records; nothing was "
                "loaded, please report this"
            )
        for table in sorted(self.events.keys() | written.keys()):
            if self.rows(table) != written.get(table, 0):
                raise InternalError(
                    f"{where}: the ledger does not balance: {self.rows(table)} rows of {table} "
                    f"made, {written.get(table, 0)} in files; nothing was loaded, please report "
                    "this"
                )
        for stream, counts in self.streams.items():
            if not counts.balances:
                raise InternalError(
                    f"{where}: the ledger does not balance: {counts.rows} rows for {stream}, but "
                    f"{counts.outside} outside + {counts.filtered} filtered + {counts.empty} empty "
                    f"+ {counts.published} published + {counts.dropped} dropped; please report this"
                )


def total(ledgers: Iterable[AuditCounts]) -> AuditCounts:
    """The sum of all ledgers."""
    return sum(ledgers, AuditCounts())


def _merge(
    left: Mapping[str, Counts], right: Mapping[str, Counts], none: Counts
) -> dict[str, Counts]:
    """The sums of what has the same name, in the order of ``left``."""
    return {
        name: left.get(name, none) + right.get(name, none)
        for name in dict.fromkeys([*left, *right])
    }


def _add(
    left: Mapping[str, Mapping[Outcome, int]], right: Mapping[str, Mapping[Outcome, int]]
) -> dict[str, dict[Outcome, int]]:
    added = {table: dict(counts) for table, counts in left.items()}
    for table, counts in right.items():
        into = added.setdefault(table, {})
        for outcome, count in counts.items():
            into[outcome] = into.get(outcome, 0) + count
    return added
