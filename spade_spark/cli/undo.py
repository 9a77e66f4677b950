"""``spade-spark undo``: restore the rows that a load replaced."""

from __future__ import annotations

from pathlib import Path

import click

from spade_spark.cli.options import (
    ANALYZE,
    CONF,
    MIGRATE,
    RSURL,
    read_settings,
    require_warehouse,
    warehouse_overrides,
)


@click.command("undo", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.argument("tables", metavar="[TABLE ...]", nargs=-1)
@CONF
@RSURL
@ANALYZE
@click.option(
    "--poolsize",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Number of tables to undo in parallel.",
)
@click.option(
    "--allow-empty", is_flag=True, help="Replace existing rows even if the backup is empty."
)
@click.option(
    "--min-rows-ratio",
    metavar="X",
    type=click.FloatRange(min=0),
    help="Do not undo a table if backup rows / existing rows is below X. "
    "Default: warehouse.min_rows_ratio.",
)
@click.option(
    "--latest",
    is_flag=True,
    help="Undo only the newest load of each table, if TAG was loaded several times.",
)
@click.option("--force", is_flag=True, help="Undo even if the rows have changed since the load.")
@click.option(
    "--take-over",
    metavar="TAG",
    multiple=True,
    help="Take over the lock of replay TAG. Stop that replay first. Repeatable.",
)
@MIGRATE
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask for confirmation. Without a terminal, the command never asks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *,
    tag: str,
    tables: tuple[str, ...],
    conf: Path | None,
    rsurl: str | None,
    analyze: bool,
    poolsize: int,
    allow_empty: bool,
    min_rows_ratio: float | None,
    latest: bool,
    force: bool,
    take_over: tuple[str, ...],
    migrate: bool,
    yes: bool,
    as_json: bool,
) -> int:
    r"""Restore the rows that the loads of run TAG replaced, in all its tables or the named ones.

    If TAG was loaded into a table several times, its loads are undone from the newest to the
    oldest. The rows that the undo deletes are backed up too. To revert the undo:

    \b
      spade-spark undo undo-TAG

    Exit status: 0 success, 1 failure, 2 invalid command line.
    """
    settings = read_settings(conf, rsurl, warehouse_overrides(min_rows_ratio, analyze=analyze))
    require_warehouse(settings)

    # Imported here to keep --help fast: boto3 is slow to import.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.console import ConsoleReporter  # noqa: PLC0415 - see above
    from spade_spark.reporting.undo import print_undo, undo_json  # noqa: PLC0415 - see above
    from spade_spark.workflows.undo import UndoRequest, undo  # noqa: PLC0415 - see above

    request = UndoRequest(tag, tables, poolsize, allow_empty, force, take_over, latest, migrate)
    report = undo(request, settings, ConsoleReporter(Console(stderr=True), ask=not yes))
    if as_json:
        click.echo(undo_json(report))
    else:
        print_undo(report, Console())
    return 0 if report.complete else 1
