"""``spade-spark replay``, which ``jobs/replay.py`` and ``replay.sh`` run too."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path

import click

from spade_spark import settings as settings_module
from spade_spark.errors import UsageError
from spade_spark.request import Request
from spade_spark.run.layout import check_tag, generate_tag
from spade_spark.settings import Settings
from spade_spark.window import Window

_SANDBOX_CONF = Path("conf/local.toml")
_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


@click.command(context_settings={"max_content_width": 100})
@click.argument("start", metavar="START")
@click.argument("end", metavar="END")
@click.argument("tables", metavar="[TABLE ...]", nargs=-1)
@click.option("--all-tables", is_flag=True, help="Every table that Blueprint publishes.")
@click.option(
    "--rsurl",
    metavar="URL",
    envvar="SPADE_RSURL",
    help="The warehouse, postgres://…; better in SPADE_RSURL: arguments show in process lists.",
)
@click.option("--skip-transform", is_flag=True, help="Load what --runtag holds already.")
@click.option("--skip-ace-upload", is_flag=True, help="Stop after the transform: load nothing.")
@click.option(
    "--by-prefix",
    is_flag=True,
    help="With --skip-transform: load whatever lies under --runtag, an earlier tool's, which has "
    "no manifest.",
)
@click.option(
    "--runtag", metavar="TAG", help="The output prefix; one that is there is gone on with."
)
@click.option("--namespace", metavar="NS", default="", help="Prefix of a generated run tag.")
@click.option(
    "--poolsize",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Tables loaded side by side.",
)
@click.option(
    "--log",
    "level",
    metavar="LEVEL",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help=f"What is logged: {', '.join(_LEVELS)}.",
)
@click.option(
    "--conf",
    metavar="FILE",
    envvar="SPADE_CONF",
    type=click.Path(path_type=Path),
    help="Settings (TOML); default conf/local.toml where a sandbox wrote one.",
)
@click.option(
    "--allow-damaged",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Load although up to N objects are damaged.",
)
@click.option("--allow-empty", is_flag=True, help="Replace rows by none where there are none.")
@click.option(
    "--min-rows-ratio",
    metavar="X",
    type=click.FloatRange(min=0),
    help="New rows to old rows below which a table is left alone; default: the settings'.",
)
@click.option(
    "--max-truncated",
    metavar="N",
    type=click.IntRange(min=0),
    help="Leave a table alone if more than N values would be cut; default: no bound.",
)
@click.option("--force", is_flag=True, help="Load a run tag again that the ledger has.")
def command(
    *,
    start: str,
    end: str,
    tables: tuple[str, ...],
    all_tables: bool,
    rsurl: str | None,
    skip_transform: bool,
    skip_ace_upload: bool,
    by_prefix: bool,
    runtag: str | None,
    namespace: str,
    poolsize: int,
    level: str,
    conf: Path | None,
    allow_damaged: int,
    allow_empty: bool,
    min_rows_ratio: float | None,
    max_truncated: int | None,
    force: bool,
) -> int:
    """Make the rows of a window again from the edge logs, and replace them in the warehouse.

    START and END are Pacific time, 'YYYY-MM-DD HH:MM:SS', both inside the window. Name the
    tables, or give --all-tables.

    Exit status: 0 all is done, 1 something failed, 2 the command line is refused.
    """
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    if skip_transform and not runtag:
        raise UsageError("--skip-transform loads what a run made: say which with --runtag TAG")
    request = Request(
        window=Window.parse(start, end),
        tables=tables,
        all_tables=all_tables,
        run_tag=check_tag(runtag) if runtag else generate_tag(_now(), namespace),
        skip_transform=skip_transform,
        skip_load=skip_ace_upload,
        by_prefix=by_prefix,
        poolsize=poolsize,
        allow_damaged=allow_damaged,
        allow_empty=allow_empty,
        max_truncated=max_truncated,
        force=force,
    )
    settings = _settings(conf, rsurl, min_rows_ratio)
    request.check(settings)
    return _replay(request, settings)


def _replay(request: Request, settings: Settings) -> int:
    # Imported here: Spark and boto3 take longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.replay import replay  # noqa: PLC0415 - see above
    from spade_spark.report.screen import Screen  # noqa: PLC0415 - see above
    from spade_spark.report.summary import print_summary  # noqa: PLC0415 - see above

    report = replay(request, settings, Screen(Console(stderr=True)))
    print_summary(report, Console())
    return 0 if report.complete else 1


def _settings(conf: Path | None, rsurl: str | None, min_rows_ratio: float | None) -> Settings:
    """File < environment < flag."""
    if conf is None and _SANDBOX_CONF.is_file():
        conf = _SANDBOX_CONF
    flags = {}
    if rsurl and rsurl != "-":
        flags["url"] = rsurl
    if min_rows_ratio is not None:
        flags["min_rows_ratio"] = str(min_rows_ratio)
    return settings_module.load(conf, flags={"warehouse": flags})


def _now() -> datetime:
    return datetime.now(timezone.utc)
