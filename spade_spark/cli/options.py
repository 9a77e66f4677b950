"""Options of ``replay`` and ``plan``, and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from spade_spark import settings as settings_module
from spade_spark.errors import UsageError
from spade_spark.request import Request
from spade_spark.runs.paths import check_tag, generate_tag
from spade_spark.settings import Settings
from spade_spark.window import Window

_SANDBOX_CONF = Path("conf/local.toml")
_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]

_Command = Callable[..., Any]

RSURL = click.option(
    "--rsurl",
    metavar="URL",
    envvar="SPADE_RSURL",
    help="Warehouse URL (postgres://…). Prefer SPADE_RSURL: process lists show arguments.",
)
CONF = click.option(
    "--conf",
    metavar="FILE",
    envvar="SPADE_CONF",
    type=click.Path(path_type=Path),
    help="Settings file (TOML), or set SPADE_CONF. Default: the conf/local.toml of a sandbox.",
)
MIGRATE = click.option(
    "--migrate",
    is_flag=True,
    help="First add the columns that the replay log of an older version lacks.",
)
ANALYZE = click.option(
    "--analyze",
    is_flag=True,
    help="Run ANALYZE for each changed table after its commit. Default: warehouse.analyze.",
)

_OPTIONS: tuple[Callable[[_Command], _Command], ...] = (
    click.argument("start", metavar="START", required=False),
    click.argument("end", metavar="END", required=False),
    click.argument("tables", metavar="[TABLE ...]", nargs=-1),
    click.option("--all-tables", is_flag=True, help="Replay all tables that Blueprint publishes."),
    RSURL,
    click.option("--skip-transform", is_flag=True, help="Load the existing files of --runtag."),
    click.option("--skip-ace-upload", is_flag=True, help="Stop after the transform; do not load."),
    click.option(
        "--by-prefix",
        is_flag=True,
        help="With --skip-transform: load all files under --runtag. For a run without a manifest, "
        "which an earlier tool wrote.",
    ),
    click.option(
        "--runtag",
        metavar="TAG",
        help="Name of the run and its output prefix. An existing run is resumed. "
        "Default: [NS-]YYYYMMDDTHHMMSS.",
    ),
    click.option("--namespace", metavar="NS", default="", help="Prefix of the generated run tag."),
    click.option(
        "--poolsize",
        metavar="N",
        type=click.IntRange(min=1),
        default=4,
        show_default=True,
        help="Number of tables to load in parallel.",
    ),
    click.option(
        "--log",
        "level",
        metavar="LEVEL",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="INFO",
        show_default=True,
        help=f"Log level: {', '.join(_LEVELS)}.",
    ),
    CONF,
    ANALYZE,
    click.option(
        "--allow-damaged",
        metavar="N",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Load even if up to N input objects are corrupt.",
    ),
    click.option(
        "--allow-empty", is_flag=True, help="Replace existing rows even if the run has no new rows."
    ),
    click.option(
        "--min-rows-ratio",
        metavar="X",
        type=click.FloatRange(min=0),
        help="Do not load a table if new rows / existing rows is below X. "
        "Default: warehouse.min_rows_ratio.",
    ),
    click.option(
        "--max-truncated",
        metavar="N",
        type=click.IntRange(min=0),
        help="Do not load a table if more than N values would be truncated. Default: no limit.",
    ),
    click.option("--force", is_flag=True, help="Load a run tag that is already in the replay log."),
    click.option(
        "--from-quarantine",
        metavar="TAG",
        default="",
        help="Reprocess the quarantined lines of run TAG and add their rows to its window. Omit "
        "START, END and TABLE.",
    ),
    click.option(
        "--take-over",
        metavar="TAG",
        multiple=True,
        help="Take over the lock of replay TAG. Stop that replay first. Repeatable.",
    ),
    click.option(
        "--publish",
        metavar="NAME",
        multiple=True,
        help="Also publish the rows to this Blueprint stream, or to 'all'. Repeatable. Consumers "
        "must accept duplicates.",
    ),
    click.option(
        "--format",
        "formats",
        metavar="FORMATS",
        # The setting accepts both orders too.
        type=click.Choice(["tsv", "parquet", "tsv,parquet", "parquet,tsv"]),
        help="Output format: tsv, parquet or tsv,parquet. Default: output.format.",
    ),
)


def replay_options(command: _Command) -> _Command:
    """Add the options of a replay to ``command``."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


@dataclass(frozen=True)
class CliOptions:
    """The values of the options, under the names that click gives them."""

    start: str | None
    end: str | None
    tables: tuple[str, ...]
    all_tables: bool
    rsurl: str | None
    skip_transform: bool
    skip_ace_upload: bool
    by_prefix: bool
    runtag: str | None
    namespace: str
    poolsize: int
    level: str
    conf: Path | None
    allow_damaged: int
    allow_empty: bool
    min_rows_ratio: float | None
    max_truncated: int | None
    force: bool
    from_quarantine: str
    take_over: tuple[str, ...]
    publish: tuple[str, ...]
    formats: str | None
    analyze: bool

    def to_request(self) -> tuple[Request, Settings]:
        """Build the request and read the settings.

        Raises:
            UsageError: The options contradict each other or one is missing.
            SettingsError: A setting is invalid or missing.
        """
        if self.skip_transform and not self.runtag:
            raise UsageError("--skip-transform loads an existing run: name it with --runtag TAG")
        settings = self._settings()
        request = self._quarantine_request(settings) if self.from_quarantine else self._request()
        request.check(settings)
        return request, settings

    def _request(self) -> Request:
        if not self.start or not self.end:
            missing = "END is" if self.start else "START and END are"
            raise UsageError(
                f"{missing} missing: give the window as '2017-11-04 13:00:00' '2017-11-04 "
                "13:59:59' (Pacific time, in quotes)"
            )
        now = datetime.now(timezone.utc)
        return Request(
            window=Window.parse(self.start, self.end),
            tables=self.tables,
            all_tables=self.all_tables,
            run_tag=check_tag(self.runtag) if self.runtag else generate_tag(now, self.namespace),
            skip_transform=self.skip_transform,
            skip_load=self.skip_ace_upload,
            by_prefix=self.by_prefix,
            poolsize=self.poolsize,
            allow_damaged=self.allow_damaged,
            allow_empty=self.allow_empty,
            max_truncated=self.max_truncated,
            force=self.force,
            take_over=self.take_over,
            publish=self.publish,
        )

    def _quarantine_request(self, settings: Settings) -> Request:
        """The request of ``--from-quarantine``; window and tables are those of the original run."""
        if self.start or self.all_tables or self.runtag or self.namespace or self.skip_transform:
            raise UsageError(
                "--from-quarantine takes window, tables and run tag from the named run: omit "
                "START, END, TABLE, --all-tables, --runtag, --namespace and --skip-transform"
            )
        # Imported here to keep --help fast: boto3 is slow to import.
        from spade_spark.workflows.quarantine_replay import quarantine_request  # noqa: PLC0415 - see above

        return replace(
            quarantine_request(check_tag(self.from_quarantine), settings),
            skip_load=self.skip_ace_upload,
            poolsize=self.poolsize,
            max_truncated=self.max_truncated,
            force=self.force,
            take_over=self.take_over,
            publish=self.publish,
        )

    def _settings(self) -> Settings:
        warehouse = warehouse_overrides(self.min_rows_ratio, analyze=self.analyze)
        output = {"format": self.formats} if self.formats else {}
        return read_settings(self.conf, self.rsurl, warehouse, output)


def warehouse_overrides(min_rows_ratio: float | None, *, analyze: bool) -> dict[str, str]:
    """Return the settings of the section ``warehouse`` that these options override."""
    ratio = {} if min_rows_ratio is None else {"min_rows_ratio": str(min_rows_ratio)}
    return {**ratio, "analyze": "true"} if analyze else ratio


def read_settings(
    conf: Path | None,
    rsurl: str | None,
    warehouse: Mapping[str, str] = MappingProxyType({}),
    output: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """Read the settings. Options override the environment, which overrides the file.

    Args:
        conf: The file. With None, the file of a sandbox in the current directory, if any.
        rsurl: The URL of the warehouse, if given.
        warehouse: Options that override settings of the section ``warehouse``.
        output: Options that override settings of the section ``output``.

    Raises:
        SettingsError: A setting is invalid.
    """
    if conf is None and _SANDBOX_CONF.is_file():
        conf = _SANDBOX_CONF
    url = {"url": rsurl} if rsurl and rsurl != "-" else {}
    return settings_module.load(conf, flags={"warehouse": {**url, **warehouse}, "output": output})


def require_warehouse(settings: Settings) -> None:
    """Raise :class:`UsageError` if no warehouse is configured."""
    if not settings.warehouse.url.get_secret_value():
        raise UsageError("no warehouse is configured: set SPADE_RSURL or give --rsurl postgres://…")
