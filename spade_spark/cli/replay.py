"""``spade-spark replay``, which ``jobs/replay.py`` and ``replay.sh`` run too."""

from __future__ import annotations

import logging
from typing import Any

import click

from spade_spark.cli.options import CliOptions, replay_options

_LIBRARIES = ("boto3", "botocore", "s3transfer", "urllib3", "py4j")
"""Their DEBUG shows requests whole, with session tokens and logins; their INFO says nothing new."""


@click.command(context_settings={"max_content_width": 100})
@replay_options
@click.option("--yes", is_flag=True, help="Do not ask; elsewhere than on a terminal it never asks.")
def command(*, yes: bool, **words: Any) -> int:
    """Make the rows of a window again from the edge logs, and replace them in the warehouse.

    START and END are Pacific time, 'YYYY-MM-DD HH:MM:SS', both inside the window. Name the
    tables, or give --all-tables.

    Exit status: 0 all is done, 1 something failed, 2 the command line is refused.
    """
    given = CliOptions(**words)
    _log(given.level.upper())
    request, settings = given.to_request()

    # Imported here: Spark and boto3 take longer than help may.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.console import ConsoleReporter  # noqa: PLC0415 - see above
    from spade_spark.reporting.replay import print_summary  # noqa: PLC0415 - see above
    from spade_spark.workflows.replay import replay  # noqa: PLC0415 - see above

    report = replay(request, settings, ConsoleReporter(Console(stderr=True), ask=not yes))
    print_summary(report, Console())
    return 0 if report.complete else 1


def _log(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
