"""``spade-spark replay``, which ``jobs/replay.py`` and ``replay.sh`` also run."""

from __future__ import annotations

import logging
from typing import Any

import click

from spade_spark.cli.options import MIGRATE, CliOptions, replay_options
from spade_spark.errors import UsageError

_LIBRARIES = ("boto3", "botocore", "s3transfer", "urllib3", "py4j")
"""Libraries whose DEBUG log contains whole requests, with session tokens and logins."""


@click.command(context_settings={"max_content_width": 100})
@replay_options
@MIGRATE
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask for confirmation. Without a terminal, the command never asks.",
)
def command(*, yes: bool, migrate: bool, **values: Any) -> int:
    r"""Reprocess a time window of edge logs and replace its rows in the warehouse.

    START and END are Pacific times, both in the window. Name the tables or give --all-tables.

    \b
      spade-spark replay '2017-11-04 13:00:00' '2017-11-04 13:59:59' login --conf FILE

    Exit status: 0 success, 1 failure, 2 invalid command line.
    """
    options = CliOptions(**values)
    _configure_logging(options.level.upper())
    if migrate and options.skip_ace_upload:
        raise UsageError("--migrate changes the warehouse: omit --migrate or --skip-ace-upload")
    request, settings = options.to_request()

    # Imported here to keep --help fast: Spark and boto3 are slow to import.
    from rich.console import Console  # noqa: PLC0415 - see above

    from spade_spark.reporting.console import ConsoleReporter  # noqa: PLC0415 - see above
    from spade_spark.reporting.replay import print_summary  # noqa: PLC0415 - see above
    from spade_spark.workflows.replay import replay  # noqa: PLC0415 - see above

    reporter = ConsoleReporter(Console(stderr=True), ask=not yes)
    report = replay(request, settings, reporter, migrate=migrate)
    print_summary(report, Console())
    return 0 if report.complete else 1


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
