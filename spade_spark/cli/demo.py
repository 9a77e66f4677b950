"""``spade-spark demo``: replay a window of wrong rows in a sandbox."""

from __future__ import annotations

import click
from rich.console import Console

from spade_spark.sandbox.demo import show_demo
from spade_spark.sandbox.sandbox import EVENTS
from spade_spark.sandbox.subprocesses import interrupt_on_signals
from spade_spark.spark.java import require_java


@click.command("demo")
@click.option(
    "--events",
    metavar="N",
    type=click.IntRange(min=1000),
    default=EVENTS,
    show_default=True,
    help="Approximate number of sample events.",
)
def command(events: int) -> int:
    """Run a complete replay in a sandbox.

    Shows a window of wrong rows, replays it and shows the corrected rows. The sandbox is a
    temporary S3 API and warehouse on this machine.
    """
    require_java()
    with interrupt_on_signals():
        return 0 if show_demo(Console(), events) else 1
