"""``spade-spark sandbox``: an S3 and a warehouse with sample logs, until Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from spade_spark.sandbox.commands import commands
from spade_spark.sandbox.sandbox import EVENTS, Sandbox
from spade_spark.sandbox.subprocesses import every_signal_interrupts


@click.command("sandbox")
@click.option(
    "--conf",
    type=click.Path(path_type=Path),
    default=Path("conf/local.toml"),
    show_default=True,
    help="Where to write the settings that fit; removed at the end.",
)
@click.option(
    "--events",
    type=click.IntRange(min=1000),
    default=EVENTS,
    show_default=True,
    help="About how many events the logs hold.",
)
def command(conf: Path, events: int) -> int:
    """Start an S3 and a warehouse with sample logs, to try things on, until Ctrl-C.

    Everything runs on this machine, on its loopback and on a socket, and is thrown away at the end.
    """
    console = Console()
    with (
        every_signal_interrupts(),
        Sandbox(events, log=console.print) as sandbox,
        _written(sandbox, conf),
    ):
        _show(console, sandbox, conf)
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("\nStopping; the sandbox and all that is in it is thrown away.")
    return 0


@contextmanager
def _written(sandbox: Sandbox, conf: Path) -> Iterator[None]:
    """The settings file for as long as the sandbox runs: without one it would lead nowhere."""
    text = sandbox.settings_path.read_text("utf-8")
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(text, "utf-8")
    try:
        yield
    finally:
        # A second sandbox may have put its own there since.
        if conf.is_file() and conf.read_text("utf-8") == text:
            conf.unlink()


def _show(console: Console, sandbox: Sandbox, conf: Path) -> None:
    """Prints the commands; each in one line, however long, so that it can be pasted."""
    lines = [
        f"The sandbox is up. {sandbox.window} is wrong in {', '.join(sandbox.tables)}.",
        f"S3 endpoint: {sandbox.endpoint_url} (any keys)   settings: {conf}",
    ]
    for each in commands(sandbox, conf):
        lines += ["", f"# {each.purpose}", each.line]
    for line in [*lines, "", "Ctrl-C ends it."]:
        console.print(Text(line), soft_wrap=True)
