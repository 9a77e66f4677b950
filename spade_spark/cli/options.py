"""The words of a replay's command line, which `replay` and `plan` share, and those of others."""

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
    help="The warehouse, postgres://…; better in SPADE_RSURL: arguments show in process lists.",
)
CONF = click.option(
    "--conf",
    metavar="FILE",
    envvar="SPADE_CONF",
    type=click.Path(path_type=Path),
    help="Settings (TOML); default conf/local.toml where a sandbox wrote one.",
)

_WORDS: tuple[Callable[[_Command], _Command], ...] = (
    click.argument("start", metavar="START", required=False),
    click.argument("end", metavar="END", required=False),
    click.argument("tables", metavar="[TABLE ...]", nargs=-1),
    click.option("--all-tables", is_flag=True, help="Every table that Blueprint publishes."),
    RSURL,
    click.option("--skip-transform", is_flag=True, help="Load what --runtag holds already."),
    click.option("--skip-ace-upload", is_flag=True, help="Stop after the transform: load nothing."),
    click.option(
        "--by-prefix",
        is_flag=True,
        help="With --skip-transform: load whatever lies under --runtag, an earlier tool's, which "
        "has no manifest.",
    ),
    click.option(
        "--runtag", metavar="TAG", help="The output prefix; one that is there is gone on with."
    ),
    click.option("--namespace", metavar="NS", default="", help="Prefix of a generated run tag."),
    click.option(
        "--poolsize",
        metavar="N",
        type=click.IntRange(min=1),
        default=4,
        show_default=True,
        help="Tables loaded side by side.",
    ),
    click.option(
        "--log",
        "level",
        metavar="LEVEL",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="INFO",
        show_default=True,
        help=f"What is logged: {', '.join(_LEVELS)}.",
    ),
    CONF,
    click.option(
        "--allow-damaged",
        metavar="N",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Load although up to N objects are damaged.",
    ),
    click.option("--allow-empty", is_flag=True, help="Replace rows by none where there are none."),
    click.option(
        "--min-rows-ratio",
        metavar="X",
        type=click.FloatRange(min=0),
        help="New rows to old rows below which a table is left alone; default: the settings'.",
    ),
    click.option(
        "--max-truncated",
        metavar="N",
        type=click.IntRange(min=0),
        help="Leave a table alone if more than N values would be cut; default: no bound.",
    ),
    click.option("--force", is_flag=True, help="Load a run tag again that the ledger has."),
    click.option(
        "--from-quarantine",
        metavar="TAG",
        default="",
        help="Instead of START, END and tables: try again what run TAG could make no row of, and "
        "add its rows to TAG's window.",
    ),
    click.option(
        "--take-over",
        metavar="TAG",
        multiple=True,
        help="Take the place of the replay TAG, which holds the lock: stop it first.",
    ),
    click.option(
        "--publish",
        metavar="NAME",
        multiple=True,
        help="Publish the rows to this stream of Blueprint's as well, or to 'all'; its consumers "
        "must expect repeats.",
    ),
    click.option(
        "--format",
        "formats",
        metavar="FORMATS",
        # In either order, as the setting, which makes one of both.
        type=click.Choice(["tsv", "parquet", "tsv,parquet", "parquet,tsv"]),
        help="What the rows are written as: tsv, parquet or tsv,parquet; default: the settings'.",
    ),
)


def replay_options(command: _Command) -> _Command:
    """Gives ``command`` the words of a replay."""
    return reduce(lambda decorated, word: word(decorated), reversed(_WORDS), command)


@dataclass(frozen=True)
class CliOptions:
    """What was written on the command line, word by word."""

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

    def to_request(self) -> tuple[Request, Settings]:
        """What the words ask for, checked as far as the words alone can be.

        Raises:
            UsageError: One line that says what to write instead.
            SettingsError: A setting is wrong or missing.
        """
        if self.skip_transform and not self.runtag:
            raise UsageError("--skip-transform loads what a run made: say which with --runtag TAG")
        settings = self._settings()
        request = self._quarantine_request(settings) if self.from_quarantine else self._request()
        request.check(settings)
        return request, settings

    def _request(self) -> Request:
        if not self.start or not self.end:
            raise UsageError("say which window to replay: START END, in Pacific time")
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
        """What ``--from-quarantine`` asks for: window and tables are the first run's."""
        if self.start or self.all_tables or self.runtag or self.namespace or self.skip_transform:
            raise UsageError(
                "--from-quarantine takes window, tables and run tag from the run it names: leave "
                "START, END, tables, --all-tables, --runtag, --namespace and --skip-transform out"
            )
        # Imported here: it opens a store, and boto3 takes longer than help may.
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
        ratio = self.min_rows_ratio
        more = {} if ratio is None else {"min_rows_ratio": str(ratio)}
        output = {"format": self.formats} if self.formats else {}
        return read_settings(self.conf, self.rsurl, more, output)


def read_settings(
    conf: Path | None,
    rsurl: str | None,
    warehouse: Mapping[str, str] = MappingProxyType({}),
    output: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """The settings: file < environment < flag.

    Args:
        conf: The file; None for a sandbox's, if one runs here.
        rsurl: The warehouse's URL, if it was given.
        warehouse: What other flags set of the warehouse's settings.
        output: What they set of the output's.

    Raises:
        SettingsError: A setting is wrong.
    """
    if conf is None and _SANDBOX_CONF.is_file():
        conf = _SANDBOX_CONF
    url = {"url": rsurl} if rsurl and rsurl != "-" else {}
    return settings_module.load(conf, flags={"warehouse": {**url, **warehouse}, "output": output})
