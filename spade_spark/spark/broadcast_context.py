"""What every task of a run needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spade_spark.runs.manifest import Completion
from spade_spark.settings import Settings
from spade_spark.streams.routing import WindowFilter
from spade_spark.streams.targets import StreamTarget


@dataclass(frozen=True)
class PublishConfig:
    """What of a run is published.

    Attributes:
        targets: The streams.
        span: The window.
        patience: Seconds after which a task without a sign of life is taken for dead by another
            that has its partition.
        stretch: Rows between two notes of how far a stream is: no more are ever in doubt.
        allow_damaged: Damaged objects in one partition up to which its rows are published.
    """

    targets: tuple[StreamTarget, ...]
    span: WindowFilter
    stale_after: float = 60.0
    checkpoint_rows: int = 20_000
    allow_damaged: int = 0

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose rows a stream takes."""
        return frozenset(table for target in self.targets for table in target.stream.events)

    def exceeds_damage_limit(self, completion: Completion) -> bool:
        """Whether the rows of a partition wait, since what is published cannot be taken back."""
        return len(completion.damaged) > self.allow_damaged


@dataclass(frozen=True)
class BroadcastContext:
    """What every task of a run needs to know; Spark broadcasts it.

    Attributes:
        run_tag: The output prefix.
        plan: SHA-256 of the plan.
        day: ``YYYYMMDD`` that files in an untracked bucket lie below.
        settings: The settings, without the warehouse's.
        schemas: The schemas, byte for byte.
        asked: The tables to make; None for all.
        again: Whether what is read is a quarantine instead of edge logs.
        publishing: What is published; None where that was not asked.
        edge_types: The type of edge that is expected of an event; None where that is not counted.
        time_column: The column whose day decides into which Parquet file a row goes.
    """

    run_tag: str
    plan: str
    day: str
    settings: Settings
    schemas: bytes
    asked: frozenset[str] | None
    from_quarantine: bool = False
    publishing: PublishConfig | None = None
    edge_types: Mapping[str, str] | None = None
    time_column: str = "time"

    @property
    def edge(self) -> str:
        """URL of the store that is read."""
        return self.settings.output.base if self.from_quarantine else self.settings.input.edge
