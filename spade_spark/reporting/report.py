"""What a replay came to, as a value."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from spade_spark.runs.load_results import (
    LoadAlreadyDone,
    LoadFailed,
    LoadOutcome,
    TableLoaded,
)
from spade_spark.runs.manifest import Manifest
from spade_spark.transform.outcomes import Outcome


@dataclass(frozen=True)
class LeftOutTable:
    """A table that Blueprint publishes and that cannot be made.

    Attributes:
        name: The table's name.
        reason: What is wrong with its schema.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """One replay, from its command to its end.

    Attributes:
        run_tag: The output prefix.
        url: Where the run lies.
        window: The window in words.
        manifest: What was made.
        loads: What came of each table's load; empty where none was asked for.
        left_out: Tables that cannot be made, where all were asked for.
        unnamed: Keys of the window that hold no time in their name and were not read.
        problems: What ended the run before the load.
        seconds: Time taken.
    """

    run_tag: str
    url: str
    window: str
    manifest: Manifest
    loads: tuple[LoadOutcome, ...] = ()
    left_out: tuple[LeftOutTable, ...] = ()
    unnamed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def not_loaded(self) -> tuple[LoadFailed, ...]:
        """The tables whose load failed."""
        return tuple(load for load in self.loads if isinstance(load, LoadFailed))

    @property
    def loaded(self) -> tuple[TableLoaded, ...]:
        """The tables whose window was replaced."""
        return tuple(load for load in self.loads if isinstance(load, TableLoaded))

    @property
    def loaded_before(self) -> tuple[LoadAlreadyDone, ...]:
        """The tables that an earlier command loaded this run into."""
        return tuple(load for load in self.loads if isinstance(load, LoadAlreadyDone))

    @property
    def failed_events(self) -> int:
        """Events that this program failed on."""
        return self.manifest.ledger.outcomes[Outcome.FAILED]

    @property
    def unpublished(self) -> int:
        """Rows that streams were to get and did not."""
        return sum(counts.dropped for counts in self.manifest.ledger.streams.values())

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is done."""
        return not (
            self.problems
            or self.not_loaded
            or self.left_out
            or self.failed_events
            or self.unpublished
        )

    def to_json(self) -> bytes:
        """The report as JSON, with the figures that are computed."""
        document = {**_plain(self), "complete": self.complete}
        return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _plain(report: Report) -> dict[str, object]:
    plain = msgspec.to_builtins(report)
    assert isinstance(plain, dict)
    return plain
