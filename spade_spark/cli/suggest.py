"""``spade-spark suggest``: Blueprint schemas for events that have no table."""

from __future__ import annotations

from pathlib import Path

import click

from spade_spark.cli.options import CONF, read_settings
from spade_spark.runs.paths import check_tag


@click.command("suggest", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.option("--event", "events", metavar="NAME", multiple=True, help="Look at this event alone.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=200_000,
    show_default=True,
    help="Events read at most, about as many of each file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of tables as Blueprint has it.")
@CONF
def command(
    *, tag: str, events: tuple[str, ...], limit: int, as_json: bool, conf: Path | None
) -> None:
    """Propose tables for the untracked events of run TAG.

    Shows for each event how often it came, its properties with the types and lengths that were
    seen, and the columns that would take them. A replay of --all-tables keeps untracked events.
    """
    # Imported here: boto3 takes longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.suggest import (  # noqa: PLC0415 - see above
        print_suggestions,
        suggestions_json,
    )
    from spade_spark.schema_inference.infer import suggest  # noqa: PLC0415 - see above

    settings = read_settings(conf, None)
    found = suggest(check_tag(tag), settings, names=events, limit=limit)
    if as_json:
        click.echo(suggestions_json(found))
    else:
        print_suggestions(found, Console())
