"""The fast path against the exact path, on the same lines."""

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

_WRITTEN = (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)


@dataclass
class Came:
    """What lines came to: rows by table and untracked lines, both sorted; counts."""

    rows: dict[str, list[bytes]] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    tally: EventCounts = field(default_factory=EventCounts)


def exactly(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    asked: frozenset[str] | None = None,
) -> Came:
    """What the exact path makes of the lines."""
    exact = ReferenceTransform(tables, lookups, asked)
    came = Came(tally=EventCounts(lines=len(lines)))
    for line in lines:
        results = exact.line(line)
        if results is None:
            came.tally.undecodable += 1
            continue
        came.tally.records += 1
        for result in results:
            table = "" if result.outcome is Outcome.UNTRACKED else result.table or ""
            if result.outcome is Outcome.FAILED:
                came.tally.fail(table, result.uuid, result.error)
            else:
                came.tally.count(table, result.outcome)
            if result.outcome in _WRITTEN:
                came.rows.setdefault(table, []).append((result.row or "").encode())
            if result.outcome is Outcome.UNTRACKED:
                came.untracked.append(result.row or "")
    return _sorted(came)


def fast(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    asked: frozenset[str] | None = None,
) -> Came:
    """What the fast path makes of the lines, in chunks of one line and of more.

    Rows are handed over now and then.
    """
    transform = ChunkTransform(tables, lookups, asked)
    rows: dict[str, list[bytes]] = {}
    untracked: list[str] = []
    sizes = cycle((1, 1, 2, 1, 5, 1, 1, 13, 1, 34))
    at = 0
    while at < len(lines):
        size = next(sizes)
        transform.feed(b"".join(line + b"\n" for line in lines[at : at + size]))
        at += size
        drained = transform.drain(at_least=1 if at >= len(lines) or size == 1 else 8)
        untracked += drained.untracked
        for name, made in drained.rows.items():
            rows.setdefault(name, []).extend(made.text.split(b"\n")[:-1])
    transform.tally.balance()
    return _sorted(Came(rows, untracked, transform.tally))


def _sorted(came: Came) -> Came:
    rows = {name: sorted(rows) for name, rows in came.rows.items()}
    return Came(rows, sorted(came.untracked), came.tally)


def differing(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    asked: frozenset[str] | None = None,
) -> list[bytes]:
    """The lines on which the two paths differ alone; all, if they only differ together."""
    if exactly(lines, tables, lookups, asked) == fast(lines, tables, lookups, asked):
        return []
    alone = [
        line
        for line in lines
        if exactly([line], tables, lookups, asked) != fast([line], tables, lookups, asked)
    ]
    return alone or list(lines)
