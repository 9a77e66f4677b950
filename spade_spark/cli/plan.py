"""``spade-spark plan``: the dry run of a replay."""

from __future__ import annotations

from typing import Any

import click

from spade_spark.cli.options import CliOptions, replay_options
from spade_spark.errors import UsageError


@click.command(context_settings={"max_content_width": 100})
@replay_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool, **options: Any) -> int:
    """Show what a replay with the same arguments would read, write and replace.

    Writes nothing. START, END and TABLE are those of `spade-spark replay`.

    Exit status: 0 the replay would start, 1 it would not start, 2 invalid command line.
    """
    request, settings = CliOptions(**options).to_request()
    if request.skip_transform:
        raise UsageError("plan previews the transform and the load: omit --skip-transform")

    # Imported here to keep --help fast: boto3 is slow to import.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.preview import print_preview  # noqa: PLC0415 - see above
    from spade_spark.workflows.preview import preview_replay  # noqa: PLC0415 - see above

    preview = preview_replay(request, settings)
    if as_json:
        click.echo(preview.to_json())
    else:
        print_preview(preview, Console())
        verdict = "The replay would start." if preview.ready else "The replay would NOT start."
        click.secho(verdict, bold=True)
    return 0 if preview.ready else 1
