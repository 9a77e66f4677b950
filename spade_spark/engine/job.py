"""What every task of a run needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from spade_spark.settings import Settings


@dataclass(frozen=True)
class Job:
    """What every task of a run needs to know; Spark broadcasts it.

    Attributes:
        run_tag: The output prefix.
        plan: SHA-256 of the plan.
        day: ``YYYYMMDD`` that files in an untracked bucket lie below.
        settings: The settings, without the warehouse's.
        schemas: The schemas, byte for byte.
        asked: The tables to make; None for all.
        again: Whether what is read is a quarantine instead of edge logs.
    """

    run_tag: str
    plan: str
    day: str
    settings: Settings
    schemas: bytes
    asked: frozenset[str] | None
    again: bool = False

    @property
    def edge(self) -> str:
        """URL of the store that is read."""
        return self.settings.output.base if self.again else self.settings.input.edge
