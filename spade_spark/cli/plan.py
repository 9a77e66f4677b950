"""``spade-spark plan``: what a replay would do, before it does it."""

from __future__ import annotations

from typing import Any

import click

from spade_spark.cli.options import CliOptions, replay_options


@click.command(context_settings={"max_content_width": 100})
@replay_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool, **words: Any) -> int:
    """Show what a replay with the same words would read, make and replace. Nothing is written.

    Exit status: 0 the replay would start, 1 something is missing, 2 the command line is refused.
    """
    request, settings = CliOptions(**words).to_request()
    if request.skip_transform:
        raise click.UsageError("plan looks at the whole way: leave --skip-transform out")

    # Imported here: boto3 takes longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.preview import print_preview  # noqa: PLC0415 - see above
    from spade_spark.workflows.preview import preview_replay  # noqa: PLC0415 - see above

    outlook = preview_replay(request, settings)
    if as_json:
        click.echo(outlook.to_json())
    else:
        print_preview(outlook, Console())
        ready = "The replay would start." if outlook.ready else "The replay would NOT start."
        click.secho(ready, bold=True)
    return 0 if outlook.ready else 1
