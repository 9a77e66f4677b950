"""What a piece of the input came to: everything read is counted, and the count balances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spade_spark.errors import InternalError
from spade_spark.transform.outcomes import Outcome

MAX_FAILURES = 100
"""Failures kept with their error text; further ones are only counted."""


@dataclass(slots=True)
class EventCounts:
    """Counts of lines and of how events ended. Mutable; two of them can be added.

    Attributes:
        lines: Lines read.
        undecodable: Lines that are no edge record.
        filtered: Lines that the prefilter passed over.
        records: Lines that are edge records, well-formed payload or not.
        events: How many events of a table ended how; the table is ``""`` for events that have
            none (untracked, malformed, nameless).
        failures: UUID and error text of the first events that ended as ``failed``.
    """

    lines: int = 0
    undecodable: int = 0
    filtered: int = 0
    records: int = 0
    events: dict[tuple[str, Outcome], int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def count(self, table: str, outcome: Outcome, number: int = 1) -> None:
        """Counts ``number`` events of ``table`` that ended as ``outcome``."""
        key = (table, outcome)
        self.events[key] = self.events.get(key, 0) + number

    def fail(self, table: str, uuid: str, error: str) -> None:
        """Counts one failed event and keeps its error, up to a bound."""
        self.count(table, Outcome.FAILED)
        if len(self.failures) < MAX_FAILURES:
            self.failures.append((uuid, error))

    def add(self, other: EventCounts) -> None:
        """Adds another tally's counts to this one's."""
        self.lines += other.lines
        self.undecodable += other.undecodable
        self.filtered += other.filtered
        self.records += other.records
        for (table, outcome), number in other.events.items():
            self.count(table, outcome, number)
        room = MAX_FAILURES - len(self.failures)
        self.failures.extend(other.failures[: max(room, 0)])

    @property
    def event_count(self) -> int:
        """All events, however they ended; a malformed record counts once."""
        return sum(self.events.values())

    def outcomes(self) -> Mapping[Outcome, int]:
        """Events by outcome, over all tables."""
        totals: dict[Outcome, int] = {}
        for (_, outcome), number in self.events.items():
            totals[outcome] = totals.get(outcome, 0) + number
        return totals

    def balance(self) -> None:
        """Checks that every line read was counted in exactly one way.

        Raises:
            InternalError: It was not.
        """
        counted = self.undecodable + self.filtered + self.records
        if self.lines != counted:
            raise InternalError(
                f"{self.lines} lines were read but {counted} counted: {self.undecodable} "
                f"undecodable, {self.filtered} filtered, {self.records} records; please report this"
            )
        if self.event_count < self.records:
            raise InternalError(
                f"{self.records} records ended in {self.event_count} events, each must end in at "
                "least one; please report this"
            )
