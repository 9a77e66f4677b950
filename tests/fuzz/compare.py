"""Run the fast path and the reference path on the same lines and compare the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from spade_spark.blueprint.schema import Table
from spade_spark.lookups.base import Lookups
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.event_counts import EventCounts
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.reference import ReferenceTransform

_WITH_ROW = (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)


@dataclass
class TransformResult:
    """The sorted rows by table, the sorted untracked lines, and the counts."""

    rows: dict[str, list[bytes]] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    counts: EventCounts = field(default_factory=EventCounts)


def reference(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    requested: frozenset[str] | None = None,
) -> TransformResult:
    """Return the result of the reference path."""
    transform = ReferenceTransform(tables, lookups, requested)
    result = TransformResult(counts=EventCounts(lines=len(lines)))
    for line in lines:
        event_results = transform.line(line)
        if event_results is None:
            result.counts.undecodable += 1
            continue
        result.counts.records += 1
        for event in event_results:
            table = "" if event.outcome is Outcome.UNTRACKED else event.table or ""
            if event.outcome is Outcome.FAILED:
                result.counts.count_failure(table, event.uuid, event.error)
            else:
                result.counts.count(table, event.outcome)
            if event.outcome in _WITH_ROW:
                result.rows.setdefault(table, []).append((event.row or "").encode())
            if event.outcome is Outcome.UNTRACKED:
                result.untracked.append(event.row or "")
    return _sorted(result)


def fast_path(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    requested: frozenset[str] | None = None,
) -> TransformResult:
    """Return the result of the fast path, fed and drained in chunks of several sizes."""
    transform = ChunkTransform(tables, lookups, requested)
    rows: dict[str, list[bytes]] = {}
    untracked: list[str] = []
    sizes = cycle((1, 1, 2, 1, 5, 1, 1, 13, 1, 34))
    at = 0
    while at < len(lines):
        size = next(sizes)
        transform.feed(b"".join(line + b"\n" for line in lines[at : at + size]))
        at += size
        output = transform.drain(at_least=1 if at >= len(lines) or size == 1 else 8)
        untracked += output.untracked
        for name, table_rows in output.rows.items():
            rows.setdefault(name, []).extend(table_rows.text.split(b"\n")[:-1])
    transform.counts.check_balance()
    return _sorted(TransformResult(rows, untracked, transform.counts))


def _sorted(result: TransformResult) -> TransformResult:
    rows = {name: sorted(rows) for name, rows in result.rows.items()}
    return TransformResult(rows, sorted(result.untracked), result.counts)


def differing_lines(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    requested: frozenset[str] | None = None,
) -> list[bytes]:
    """Return the lines with different results; all lines if they differ only as one chunk."""

    def differ(lines: Sequence[bytes]) -> bool:
        results = (run(lines, tables, lookups, requested) for run in (reference, fast_path))
        return next(results) != next(results)

    if not differ(lines):
        return []
    return [line for line in lines if differ([line])] or list(lines)
