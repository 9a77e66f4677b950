"""The fast path against the exact path, on the same lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spade_spark.blueprint.schema import Table
from spade_spark.lookups import Lookups
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.exact import ExactTransform
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.tally import Tally

_WRITTEN = (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)


@dataclass
class Came:
    """What lines came to: rows by table and untracked lines, both sorted; counts."""

    rows: dict[str, list[bytes]] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def exactly(
    lines: Sequence[bytes],
    tables: Mapping[str, Table],
    lookups: Lookups,
    asked: frozenset[str] | None = None,
) -> Came:
    """What the exact path makes of the lines."""
    exact = ExactTransform(tables, lookups, asked)
    came = Came(tally=Tally(lines=len(lines)))
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
    """What the fast path makes of the lines, handed over as one chunk."""
    transform = ChunkTransform(tables, lookups, asked)
    transform.feed(b"".join(line + b"\n" for line in lines))
    drained = transform.drain()
    transform.tally.balance()
    rows = {name: rows.text.split(b"\n")[:-1] for name, rows in drained.rows.items()}
    return _sorted(Came(rows, drained.untracked, transform.tally))


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
