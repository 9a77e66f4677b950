"""``spade-spark export``: publish a run to a data lake, or remove unreferenced files."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import click

from spade_spark.cli.options import CONF, read_settings
from spade_spark.errors import ObjectNotFoundError
from spade_spark.formatting import format_size, pluralize
from spade_spark.runs.paths import check_tag
from spade_spark.writers.parquet_requirements import require_pyarrow


@click.group("export", context_settings={"max_content_width": 100})
def command() -> None:
    """Publish a run to a data lake, or clean up the lake."""


@command.command("publish", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.argument("tables", metavar="[TABLE ...]", nargs=-1)
@click.option("--to", metavar="URL", required=True, help="URL of the lake: s3://bucket/prefix/.")
@click.option(
    "--ddl",
    "dialect",
    metavar="ENGINE",
    type=click.Choice(["athena", "spectrum"]),
    default="athena",
    show_default=True,
    help="SQL dialect of the printed DDL: athena or spectrum.",
)
@click.option(
    "--schema",
    metavar="NAME",
    default="",
    help="Database (Athena) or external schema (Spectrum) in the printed DDL.",
)
@click.option(
    "--allow-empty", is_flag=True, help="Replace existing rows even if the run has no new rows."
)
@click.option(
    "--min-rows-ratio",
    metavar="X",
    type=click.FloatRange(min=0),
    help="Do not publish a table if new rows / existing rows is below X. "
    "Default: warehouse.min_rows_ratio.",
)
@click.option(
    "--allow-damaged",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Publish even if up to N input objects of the run are corrupt.",
)
@click.option(
    "--force", is_flag=True, help="Publish even if a later run replaced this one in the lake."
)
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask for confirmation. Without a terminal, the command never asks.",
)
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
    """Publish run TAG to a data lake.

    Replaces the rows of the run's window in the lake, each table atomically. The report goes to
    standard error, the DDL for the catalog to standard output.

    Exit status: 0 success, 1 failure, 2 invalid command line.
    """
    require_pyarrow()
    settings = read_settings(conf, None)
    ratio = settings.warehouse.min_rows_ratio if min_rows_ratio is None else min_rows_ratio

    # Imported here to keep --help fast: pyarrow and boto3 are slow to import.
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
@click.option("--to", metavar="URL", required=True, help="URL of the lake: s3://bucket/prefix/.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=1),
    default=7,
    show_default=True,
    help="Minimum age of a file. Must exceed the duration of any `export publish`, whose files are "
    "unreferenced until it ends.",
)
@click.option("--yes", is_flag=True, help="Remove without confirmation.")
@CONF
def prune_command(*, to: str, older_than: float, yes: bool, conf: Path | None) -> int:
    """Remove unreferenced files from a data lake.

    These are the files of replaced days and those of an `export publish` that failed. Without a
    terminal and without --yes, the command only lists them.
    """
    settings = read_settings(conf, None)

    # Imported here to keep --help fast: pyarrow and boto3 are slow to import.
    from spade_spark.lake.vacuum import find_unreferenced  # noqa: PLC0415 - see above
    from spade_spark.storage.base import open_store  # noqa: PLC0415 - see above

    lake = open_store(to, settings.s3)
    limit = datetime.now(timezone.utc) - timedelta(days=older_than)
    try:
        unreferenced = find_unreferenced(lake, limit)
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(f"{error}: check --to") from None
    for files in unreferenced:
        click.echo(
            f"{files.table}: {pluralize(len(files.objects), 'file')}, {format_size(files.size)}"
        )
    if not unreferenced:
        click.echo(f"{lake.url} has no unreferenced files")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            return 0
        click.confirm("Remove these files permanently?", abort=True)
    for entry in (entry for files in unreferenced for entry in files.objects):
        lake.delete(entry.key)
    return 0
