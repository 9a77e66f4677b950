"""Counts of the lines and events of a part of the input, and the check that they balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spade_spark.errors import InternalError
from spade_spark.transform.outcomes import Outcome

MAX_FAILURES = 100
"""The maximum number of failures whose error is kept; more are only counted."""


@dataclass(slots=True)
class EventCounts:
    """Counts of lines and of the outcomes of events. Mutable.

    Attributes:
        lines: Lines read.
        undecodable: Lines that are not edge records.
        prefiltered: Lines that the prefilter skipped.
        records: Edge records, with a well-formed payload or not.
        events: Events by table and outcome. The table of untracked, malformed and nameless events
            is ``""``.
        failures: UUID and error of the first failed events.
    """

    lines: int = 0
    undecodable: int = 0
    prefiltered: int = 0
    records: int = 0
    events: dict[tuple[str, Outcome], int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def count(self, table: str, outcome: Outcome, number: int = 1) -> None:
        """Count ``number`` events of ``table`` with this outcome."""
        key = (table, outcome)
        self.events[key] = self.events.get(key, 0) + number

    def count_failure(self, table: str, uuid: str, error: str) -> None:
        """Count one failed event; keep its error up to :data:`MAX_FAILURES`."""
        self.count(table, Outcome.FAILED)
        if len(self.failures) < MAX_FAILURES:
            self.failures.append((uuid, error))

    @property
    def event_count(self) -> int:
        """The number of events of all outcomes; a malformed record counts once."""
        return sum(self.events.values())

    def outcomes(self) -> Mapping[Outcome, int]:
        """Return the events of all tables by outcome."""
        totals: dict[Outcome, int] = {}
        for (_, outcome), number in self.events.items():
            totals[outcome] = totals.get(outcome, 0) + number
        return totals

    def check_balance(self) -> None:
        """Check that each line and each record was counted.

        Raises:
            InternalError: The counts do not balance.
        """
        counted = self.undecodable + self.prefiltered + self.records
        if self.lines != counted:
            raise InternalError(
                f"{self.lines} lines were read but {counted} counted: {self.undecodable} "
                f"undecodable, {self.prefiltered} prefiltered, {self.records} records; "
                "please report this"
            )
        if self.event_count < self.records:
            raise InternalError(
                f"{self.records} records have {self.event_count} events, but each must have at "
                "least one; please report this"
            )
