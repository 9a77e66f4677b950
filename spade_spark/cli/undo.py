"""``spade-spark undo``: the rows that a load replaced come back."""

from __future__ import annotations

from pathlib import Path

import click

from spade_spark.cli.options import CONF, RSURL, read_settings
from spade_spark.errors import UsageError


@click.command("undo", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.argument("tables", metavar="[TABLE ...]", nargs=-1)
@CONF
@RSURL
@click.option(
    "--poolsize",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Tables undone side by side.",
)
@click.option("--allow-empty", is_flag=True, help="Replace rows by none where none were kept.")
@click.option(
    "--min-rows-ratio",
    metavar="X",
    type=click.FloatRange(min=0),
    help="Kept rows to present rows below which a table is left alone; default: the settings'.",
)
@click.option("--force", is_flag=True, help="Undo although the rows were changed since.")
@click.option(
    "--take-over",
    metavar="TAG",
    multiple=True,
    help="Take the place of the replay TAG, which holds the lock: stop it first.",
)
@click.option("--yes", is_flag=True, help="Do not ask; elsewhere than on a terminal it never asks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *,
    tag: str,
    tables: tuple[str, ...],
    conf: Path | None,
    rsurl: str | None,
    poolsize: int,
    allow_empty: bool,
    min_rows_ratio: float | None,
    force: bool,
    take_over: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Put back the rows that the load of run TAG replaced: in all its tables, or in those named.

    What goes is kept in its turn, so that an undo can be undone: by the tag undo-TAG.

    Exit status: 0 all is done, 1 something failed, 2 the command line is refused.
    """
    more = {} if min_rows_ratio is None else {"min_rows_ratio": str(min_rows_ratio)}
    settings = read_settings(conf, rsurl, more)
    if not settings.warehouse.url.get_secret_value():
        raise UsageError("an undo needs a warehouse: set SPADE_RSURL or give --rsurl postgres://…")

    # Imported here: boto3 takes longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.console import ConsoleReporter  # noqa: PLC0415 - see above
    from spade_spark.reporting.undo import print_undo, undo_json  # noqa: PLC0415 - see above
    from spade_spark.workflows.undo import UndoRequest, undo  # noqa: PLC0415 - see above

    request = UndoRequest(tag, tables, poolsize, allow_empty, force, take_over)
    report = undo(request, settings, ConsoleReporter(Console(stderr=True), ask=not yes))
    if as_json:
        click.echo(undo_json(report))
    else:
        print_undo(report, Console())
    return 0 if report.complete else 1
