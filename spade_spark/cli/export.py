"""``spade-spark export``: what a run made, put into a lake."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import click

from spade_spark.cli.options import CONF, read_settings
from spade_spark.runs.paths import check_tag
from spade_spark.writers.parquet_requirements import require_pyarrow


@click.group("export", context_settings={"max_content_width": 100})
def command() -> None:
    """Put what a run made into a lake."""


@command.command("publish", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.argument("tables", metavar="[TABLE ...]", nargs=-1)
@click.option("--to", metavar="URL", required=True, help="The lake: s3://bucket/prefix/.")
@click.option(
    "--ddl",
    "dialect",
    metavar="ENGINE",
    type=click.Choice(["athena", "spectrum"]),
    default="athena",
    show_default=True,
    help="Whose statements are printed: athena or spectrum.",
)
@click.option(
    "--schema", metavar="NAME", default="", help="The database, or external schema, in them."
)
@click.option("--allow-empty", is_flag=True, help="Replace rows by none where there are none.")
@click.option(
    "--min-rows-ratio",
    metavar="X",
    type=click.FloatRange(min=0),
    help="New rows to old rows below which a table is left alone; default: the settings'.",
)
@click.option(
    "--allow-damaged",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Publish although up to N objects that the run read are damaged.",
)
@click.option("--force", is_flag=True, help="Publish over a run that was published over this one.")
@click.option("--yes", is_flag=True, help="Do not ask; elsewhere than on a terminal it never asks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONF
def publish_command(
    *,
    tag: str,
    tables: tuple[str, ...],
    to: str,
    dialect: Literal["athena", "spectrum"],
    schema: str,
    allow_empty: bool,
    min_rows_ratio: float | None,
    allow_damaged: int,
    force: bool,
    yes: bool,
    as_json: bool,
    conf: Path | None,
) -> int:
    """Replace the window of run TAG in a lake: its partitions, table by table, whole or not at all.

    What was done goes to standard error, the statements for the catalog to standard output.

    Exit status: 0 all is done, 1 something failed, 2 the command line is refused.
    """
    require_pyarrow()
    settings = read_settings(conf, None)
    ratio = settings.warehouse.min_rows_ratio if min_rows_ratio is None else min_rows_ratio

    # Imported here: pyarrow and boto3 take longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.lake.publish import ExportGuards  # noqa: PLC0415 - see above
    from spade_spark.reporting.console import ConsoleReporter  # noqa: PLC0415 - see above
    from spade_spark.reporting.export import export_json, print_export  # noqa: PLC0415 - see above
    from spade_spark.workflows.lake_export import ExportRequest, publish  # noqa: PLC0415 - see above

    console = Console(stderr=True)
    request = ExportRequest(
        check_tag(tag),
        to,
        tables,
        dialect,
        schema,
        ExportGuards(allow_empty, ratio, force),
        allow_damaged,
    )
    report = publish(request, settings, ConsoleReporter(console, ask=not yes))
    if as_json:
        click.echo(export_json(report))
    else:
        print_export(report, console)
        click.echo(report.ddl, nl=False)
    return 0 if report.complete else 1


@command.command("prune", context_settings={"max_content_width": 100})
@click.option("--to", metavar="URL", required=True, help="The lake: s3://bucket/prefix/.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=1),
    default=7,
    show_default=True,
    help="For how long a file must have been of no use: longer than any publication takes, whose "
    "files are named by no pointer until it is done.",
)
@click.option("--yes", is_flag=True, help="Remove without asking.")
@CONF
def prune_command(*, to: str, older_than: float, yes: bool, conf: Path | None) -> int:
    """Remove files of a lake that no pointer names: replaced days, and publications that died.

    Elsewhere than on a terminal, and without --yes, it only lists them.
    """
    settings = read_settings(conf, None)

    # Imported here: pyarrow and boto3 take longer than help may.
    from spade_spark.lake.vacuum import find_unreferenced  # noqa: PLC0415 - see above
    from spade_spark.reporting.render import (  # noqa: PLC0415 - see above
        format_size,
        pluralize,
    )
    from spade_spark.storage.base import open_store  # noqa: PLC0415 - see above

    lake = open_store(to, settings.s3)
    found = find_unreferenced(lake, datetime.now(timezone.utc) - timedelta(days=older_than))
    for each in found:
        click.echo(
            f"{each.table}: {pluralize(len(each.objects), 'file')}, {format_size(each.size)}"
        )
    if not found:
        click.echo(f"{lake.url} has nothing that can go")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            return 0
        click.confirm("Remove this for good?", abort=True)
    for entry in (entry for each in found for entry in each.objects):
        lake.delete(entry.key)
    return 0
