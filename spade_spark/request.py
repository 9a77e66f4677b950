"""The request for a replay: the values of the command line."""

from __future__ import annotations

from dataclasses import dataclass

from spade_spark.errors import UsageError
from spade_spark.settings import Settings
from spade_spark.window import Window


@dataclass(frozen=True)
class Request:
    """A request for one replay.

    Attributes:
        window: The time window to replace.
        tables: The requested tables; empty with ``all_tables``.
        all_tables: Whether every table that Blueprint publishes is requested.
        run_tag: The output prefix.
        skip_transform: Load the existing files of the run tag.
        skip_load: Stop after the transform.
        by_prefix: Load all files under the run tag if it has no manifest.
        poolsize: Number of tables to load in parallel.
        allow_damaged: Maximum number of corrupt input objects for a load.
        allow_empty: Whether a table without new rows may replace existing rows.
        max_truncated: Maximum number of truncated values per table; None for no limit.
        force: Whether to load a run tag that is already in the replay log.
        from_quarantine: The run tag whose quarantine is reprocessed; its rows are added to the
            window. Empty for a replay of edge logs.
        take_over: Run tags of replays whose locks are taken over.
        publish: Streams that the rows are published to, or ``all``; empty for none.
    """

    window: Window
    tables: tuple[str, ...]
    all_tables: bool
    run_tag: str
    skip_transform: bool = False
    skip_load: bool = False
    by_prefix: bool = False
    poolsize: int = 4
    allow_damaged: int = 0
    allow_empty: bool = False
    max_truncated: int | None = None
    force: bool = False
    from_quarantine: str = ""
    take_over: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()

    @property
    def replaces(self) -> tuple[str, ...] | None:
        """The tables whose rows are replaced: None for all tables, empty for none."""
        if self.skip_load:
            return ()
        return None if self.all_tables else self.tables

    def check(self, settings: Settings) -> None:
        """Refuse contradictory options and missing settings.

        Raises:
            UsageError: The options contradict each other or one is missing.
            SettingsError: The request needs a setting that is not set.
        """
        if self.skip_transform and self.skip_load:
            raise UsageError(
                "--skip-transform and --skip-ace-upload together leave nothing to do: "
                "omit one of them"
            )
        if self.by_prefix and not self.skip_transform:
            raise UsageError(
                "--by-prefix loads the files of an earlier tool: add --skip-transform and "
                "--runtag TAG"
            )
        if self.publish and self.skip_transform:
            raise UsageError("--publish needs the transform: omit --publish or --skip-transform")
        self._check_format(settings.output.format)
        if self.all_tables and self.tables:
            raise UsageError("name tables or give --all-tables, not both")
        if not self.all_tables and not self.tables:
            raise UsageError("no tables are given: name tables or give --all-tables")
        if not self.skip_load and not settings.warehouse.url.get_secret_value():
            raise UsageError(
                "no warehouse is configured: set SPADE_RSURL or give --rsurl postgres://…, "
                "or stop after the transform with --skip-ace-upload"
            )
        settings.require("output.base")
        if not self.skip_transform or self.by_prefix:
            settings.require("blueprint.schemas")
        if not self.skip_transform and not self.from_quarantine:
            settings.require("input.edge")
        if self.publish:
            settings.require("blueprint.streams")

    def _check_format(self, formats: str) -> None:
        """Refuse an output format without TSV for a load or for streams, which read TSV."""
        if "tsv" in formats or self.skip_transform:
            return
        if not self.skip_load:
            raise UsageError(
                "a load needs TSV files, but the output format is parquet: use --format "
                "tsv,parquet, or stop after the transform with --skip-ace-upload"
            )
        if self.publish:
            raise UsageError(
                "--publish needs TSV files, but the output format is parquet: use --format "
                "tsv,parquet"
            )
