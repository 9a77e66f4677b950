"""``spade-spark runs``: what lies under the output, and what of it can go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spade_spark.cli.options import CONF, RSURL, read_settings
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
    help="List what can be removed; with run tags, remove it, and nothing else.",
)
@click.option(
    "--backups",
    metavar="TAG",
    multiple=True,
    help="With --prune: drop the expired backups that run TAG, or an undo, left in the warehouse.",
)
@click.option("--yes", is_flag=True, help="Remove without asking.")
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
    """Show the runs under the output with their state; with a TAG, show that run whole.

    Where and when a run was loaded is known from its own records, and from the replay ledger of
    the warehouse, if one is set: a replay that died between a load and its record has left its row
    there.
    """
    # Imported here: boto3 takes longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting import runs as report  # noqa: PLC0415 - see above
    from spade_spark.workflows.runs import expired_backups, scan_runs  # noqa: PLC0415 - see above

    if backups and not prune:
        raise UsageError("--backups goes with --prune")
    if len(tags) > 1 and not prune:
        raise UsageError("name one run tag to see it whole, or none to see all")
    settings = read_settings(conf, rsurl)
    seen = scan_runs(settings)
    if prune and (tags or backups):
        return _prune(settings, seen, tags, backups, yes=yes)
    # A note says that the warehouse has nothing to say.
    expired = expired_backups(settings) if prune and not seen.notes else ()
    console = Console()
    states = tuple(known.state for known in seen.runs)
    if tags:
        known = seen.run(tags[0])
        if as_json:
            click.echo(report.run_json(known.state, known.found, seen.notes))
        else:
            report.print_run(known.state, known.found, seen.notes, console)
    elif as_json:
        offered = [state for state in states if state.removable] if prune else states
        shown = expired if prune else None
        click.echo(report.runs_json(seen.url, offered, seen.notes, shown))
    elif prune:
        report.print_candidates(seen.url, states, expired, console)
    else:
        report.print_runs(seen.url, states, seen.notes, console)
    return 0


def _prune(
    settings: Settings,
    seen: RunCatalog,
    tags: tuple[str, ...],
    backups: tuple[str, ...],
    *,
    yes: bool,
) -> int:
    """Removes what is offered of the run tags; all of them are looked at before any is touched."""
    from spade_spark.reporting.runs import format_backup, format_candidate  # noqa: PLC0415 - as in command
    from spade_spark.workflows.runs import drop_backup, expired_backups_of, prune  # noqa: PLC0415 - as above

    removals = {f"{tag}: {format_candidate(seen.prune_candidates(tag))}": tag for tag in tags}
    drops = {
        format_backup(each): each
        for each in (expired_backups_of(settings, backups) if backups else ())
    }
    texts = [*removals, *drops]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("to remove without being asked, give --yes: " + "; ".join(texts))
        click.echo("\n".join(texts))
        click.confirm("Remove this for good?", abort=True)
    for text, tag in removals.items():
        prune(settings, seen.run(tag))
        click.echo(f"removed {text}")
    for text, kept in drops.items():
        drop_backup(settings, kept)
        click.echo(f"dropped {text}")
    return 0
