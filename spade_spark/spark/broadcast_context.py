"""The data that the driver broadcasts to every task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spade_spark.runs.manifest import Completion
from spade_spark.settings import Settings
from spade_spark.streams.routing import WindowFilter
from spade_spark.streams.targets import StreamTarget


@dataclass(frozen=True)
class PublishConfig:
    """The streams of a run, and how tasks publish to them.

    Attributes:
        targets: The streams.
        window: Selects the rows to publish.
        stale_after: Seconds without a heartbeat after which another task takes over a partition.
        checkpoint_rows: Rows between two checkpoints of a stream: the maximum number of rows that
            are published twice after a crash.
        allow_damaged: The maximum number of corrupt objects in a published partition.
    """

    targets: tuple[StreamTarget, ...]
    window: WindowFilter
    stale_after: float = 60.0
    checkpoint_rows: int = 20_000
    allow_damaged: int = 0

    @property
    def tables(self) -> frozenset[str]:
        """The tables that at least one stream includes."""
        return frozenset(table for target in self.targets for table in target.stream.events)

    def exceeds_corrupt_limit(self, completion: Completion) -> bool:
        """Whether the partition has too many corrupt objects to be published."""
        return len(completion.damaged) > self.allow_damaged


@dataclass(frozen=True)
class BroadcastContext:
    """The data that every task of a run needs.

    Attributes:
        run_tag: The run tag, which is the prefix of the run's output.
        plan: SHA-256 of the plan.
        day: The ``YYYYMMDD`` prefix of files in a separate bucket for untracked events.
        settings: The settings without the warehouse settings.
        schemas: The published schemas, unchanged.
        requested: The tables to write; None for all.
        from_quarantine: Whether the input is a quarantine instead of edge logs.
        publishing: The streams to publish to; None if the run does not publish.
        edge_types: The expected edge type by event; None if edge types are not counted.
        time_column: The column whose day selects the Parquet file of a row.
    """

    run_tag: str
    plan: str
    day: str
    settings: Settings
    schemas: bytes
    requested: frozenset[str] | None
    from_quarantine: bool = False
    publishing: PublishConfig | None = None
    edge_types: Mapping[str, str] | None = None
    time_column: str = "time"

    @property
    def input_url(self) -> str:
        """The URL of the input store."""
        return self.settings.output.base if self.from_quarantine else self.settings.input.edge
