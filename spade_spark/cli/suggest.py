"""``spade-spark suggest``: propose Blueprint schemas for untracked events."""

from __future__ import annotations

from pathlib import Path

import click

from spade_spark.cli.options import CONF, read_settings
from spade_spark.runs.paths import check_tag


@click.command("suggest", context_settings={"max_content_width": 100})
@click.argument("tag", metavar="TAG")
@click.option(
    "--event",
    "events",
    metavar="NAME",
    multiple=True,
    help="Propose a schema only for this event. Repeatable.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=200_000,
    show_default=True,
    help="Maximum number of events to read, spread over all files.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON list of tables in Blueprint's format."
)
@CONF
def command(
    *, tag: str, events: tuple[str, ...], limit: int, as_json: bool, conf: Path | None
) -> None:
    """Propose schemas for the untracked events of run TAG.

    Shows the count of each event, the types and lengths of its properties, and the proposed
    columns. Only a replay with --all-tables stores untracked events.
    """
    # Imported here to keep --help fast: boto3 is slow to import.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.suggest import (  # noqa: PLC0415 - see above
        print_suggestions,
        suggestions_json,
    )
    from spade_spark.schema_inference.infer import suggest  # noqa: PLC0415 - see above

    settings = read_settings(conf, None)
    suggestions = suggest(check_tag(tag), settings, names=events, limit=limit)
    if as_json:
        click.echo(suggestions_json(suggestions))
    else:
        print_suggestions(suggestions, Console())
