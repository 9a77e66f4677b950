"""What the command line asks of a replay."""

from __future__ import annotations

from dataclasses import dataclass

from spade_spark.errors import SettingsError, UsageError
from spade_spark.settings import Settings
from spade_spark.window import Window


@dataclass(frozen=True)
class Request:
    """One replay, as asked for.

    Attributes:
        window: What is replaced.
        tables: The tables named; empty with ``all_tables``.
        all_tables: Every table that Blueprint publishes.
        run_tag: The output prefix.
        skip_transform: Load what the run tag holds.
        skip_load: Stop after the transform.
        by_prefix: Where the run tag has no manifest, load whatever lies under it.
        poolsize: Tables loaded side by side.
        allow_damaged: Damaged objects up to which a load goes on.
        allow_empty: Whether rows may be replaced by none.
        max_truncated: Values cut, in one table, up to which a load goes on; None for any number.
        force: Whether a run tag may be loaded again that the replay ledger has.
        from_quarantine: Try again what this run tag could make no row of, and add its rows to the
            window instead of replacing it; empty for a replay of edge logs.
        take_over: Run tags of replays whose place is taken though they are locked.
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
        """The tables whose rows are replaced: None for all of them, empty for none."""
        if self.skip_load:
            return ()
        return None if self.all_tables else self.tables

    def check(self, settings: Settings) -> None:
        """Refuses what cannot be carried out, before anything is begun.

        Raises:
            UsageError: One line that says what to write instead.
            SettingsError: A setting that this request needs is missing.
        """
        if self.skip_transform and self.skip_load:
            raise UsageError(
                "--skip-transform and --skip-ace-upload together leave nothing to do: "
                "give one of them, or none"
            )
        if self.by_prefix and not self.skip_transform:
            raise UsageError(
                "--by-prefix loads an earlier tool's files: give it with --skip-transform --runtag"
            )
        if self.publish and self.skip_transform:
            raise UsageError(
                "--publish goes with the making of rows: leave it or --skip-transform out"
            )
        self._check_format(settings.output.format)
        if self.all_tables and self.tables:
            raise UsageError("name tables or give --all-tables, not both")
        if not self.all_tables and not self.tables:
            raise UsageError("say what to replace: name tables, or give --all-tables")
        if not self.skip_load and not settings.warehouse.url.get_secret_value():
            raise UsageError(
                "a load needs a warehouse: set SPADE_RSURL or give --rsurl postgres://…, "
                "or stop after the transform with --skip-ace-upload"
            )
        needed = {"output.base": settings.output.base}
        if not self.skip_transform or self.by_prefix:
            needed["blueprint.schemas"] = settings.blueprint.schemas
        if not self.skip_transform and not self.from_quarantine:
            needed["input.edge"] = settings.input.edge
        if self.publish:
            needed["blueprint.streams"] = settings.blueprint.streams
        for name, value in needed.items():
            if not value:
                raise SettingsError(f"{name} is not set: give --conf FILE with it")

    def _check_format(self, formats: str) -> None:
        """Refuses what reads TSV files where none are to be made."""
        if "tsv" in formats or self.skip_transform:
            return
        if not self.skip_load:
            raise UsageError(
                "a warehouse loads TSV files and the format is parquet alone: give --format "
                "tsv,parquet, or stop after the transform with --skip-ace-upload"
            )
        if self.publish:
            raise UsageError(
                "--publish reads TSV files and the format is parquet alone: give --format "
                "tsv,parquet"
            )
