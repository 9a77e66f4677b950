"""``spade-spark runs``: list, show and prune the runs in the output store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spade_spark.cli.options import CONF, RSURL, read_settings, require_warehouse
from spade_spark.errors import UsageError

if TYPE_CHECKING:
    from spade_spark.settings import Settings
    from spade_spark.workflows.runs import RunCatalog


@click.command("runs", context_settings={"max_content_width": 100})
@click.argument("tags", metavar="[TAG ...]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--prune",
    is_flag=True,
    help="List what can be removed. With TAG: remove it.",
)
@click.option(
    "--backups",
    metavar="TAG",
    multiple=True,
    help="With --prune: drop the expired backups of run TAG in the warehouse, or of an undo with "
    "undo-TAG. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Remove without confirmation.")
@CONF
@RSURL
def command(
    *,
    tags: tuple[str, ...],
    as_json: bool,
    prune: bool,
    backups: tuple[str, ...],
    yes: bool,
    conf: Path | None,
    rsurl: str | None,
) -> int:
    """List the runs in the output store with their states. With TAG, show one run in detail.

    Loads are read from the runs' own records and, if a warehouse is configured, from its replay
    log.
    """
    # Imported here to keep --help fast: boto3 is slow to import.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting import runs as report  # noqa: PLC0415 - see above
    from spade_spark.workflows.runs import expired_backups, scan_runs  # noqa: PLC0415 - see above

    if backups and not prune:
        raise UsageError("--backups requires --prune")
    if len(tags) > 1 and not prune:
        raise UsageError("give one run tag to show that run, or none to list all runs")
    settings = read_settings(conf, rsurl)
    if backups:
        require_warehouse(settings)
    catalog = scan_runs(settings)
    if prune and (tags or backups):
        return _prune(settings, catalog, tags, backups, yes=yes)
    # The catalog has a note if the replay log could not be read.
    expired = expired_backups(settings) if prune and not catalog.notes else ()
    console = Console()
    states = tuple(run.state for run in catalog.runs)
    if tags:
        run = catalog.run(tags[0])
        if as_json:
            click.echo(report.run_json(run.state, run.discovered, catalog.notes))
        else:
            report.print_run(run.state, run.discovered, catalog.notes, console)
    elif as_json:
        listed = [state for state in states if state.removable] if prune else states
        backups_listed = expired if prune else None
        click.echo(report.runs_json(catalog.url, listed, catalog.notes, backups_listed))
    elif prune:
        report.print_candidates(catalog.url, states, expired, console)
    else:
        report.print_runs(catalog.url, states, catalog.notes, console)
    return 0


def _prune(
    settings: Settings,
    catalog: RunCatalog,
    tags: tuple[str, ...],
    backups: tuple[str, ...],
    *,
    yes: bool,
) -> int:
    """Remove runs and backups. Refuses before the first removal if one of them is not removable."""
    from spade_spark.reporting.runs import format_backup, format_candidate  # noqa: PLC0415 - as in command
    from spade_spark.workflows.runs import drop_backup, expired_backups_of, prune  # noqa: PLC0415 - as above

    removals = {f"{tag}: {format_candidate(catalog.prune_candidates(tag))}": tag for tag in tags}
    drops = {
        format_backup(backup): backup
        for backup in (expired_backups_of(settings, backups) if backups else ())
    }
    texts = [*removals, *drops]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "nothing was removed, because the command cannot ask without a terminal: give "
                "--yes to remove " + "; ".join(texts)
            )
        click.echo("\n".join(texts))
        click.confirm("Remove this permanently?", abort=True)
    for text, tag in removals.items():
        prune(settings, catalog.run(tag))
        click.echo(f"removed {text}")
    for text, backup in drops.items():
        drop_backup(settings, backup)
        click.echo(f"dropped {text}")
    return 0
