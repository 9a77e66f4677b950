"""``spade-spark demo``: a wrong window becomes right, on a sandbox."""

from __future__ import annotations

import click
from rich.console import Console

from spade_spark.sandbox.demo import show_demo
from spade_spark.sandbox.sandbox import EVENTS
from spade_spark.sandbox.subprocesses import every_signal_interrupts
from spade_spark.spark.java import require_java


@click.command("demo")
@click.option(
    "--events",
    type=click.IntRange(min=1000),
    default=EVENTS,
    show_default=True,
    help="About how many events the logs hold.",
)
def command(events: int) -> int:
    """Show a replay on the sandbox: wrong rows, a replay, right rows.

    Starts an S3 and a warehouse on this machine, and throws them away at the end.
    """
    require_java()
    with every_signal_interrupts():
        return 0 if show_demo(Console(), events) else 1
