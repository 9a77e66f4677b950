"""``spade-spark sandbox``: a local S3 API and warehouse with sample logs."""

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
from spade_spark.sandbox.subprocesses import interrupt_on_signals


@click.command("sandbox")
@click.option(
    "--conf",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("conf/local.toml"),
    show_default=True,
    help="Write the settings of the sandbox to FILE, and remove it at the end.",
)
@click.option(
    "--events",
    metavar="N",
    type=click.IntRange(min=1000),
    default=EVENTS,
    show_default=True,
    help="Approximate number of sample events.",
)
def command(conf: Path, events: int) -> int:
    """Start a local S3 API and warehouse with sample logs, until Ctrl-C.

    Listens only on the loopback interface and a Unix socket. All data is deleted at the end.
    """
    console = Console()
    with (
        interrupt_on_signals(),
        Sandbox(events, log=console.print) as sandbox,
        _settings_file(sandbox, conf),
    ):
        _print_commands(console, sandbox, conf)
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("\nStopping the sandbox and deleting its data.")
    return 0


@contextmanager
def _settings_file(sandbox: Sandbox, conf: Path) -> Iterator[None]:
    """Keep the settings file while the sandbox runs."""
    text = sandbox.settings_path.read_text("utf-8")
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(text, "utf-8")
    try:
        yield
    finally:
        # A second sandbox may have overwritten it.
        if conf.is_file() and conf.read_text("utf-8") == text:
            conf.unlink()


def _print_commands(console: Console, sandbox: Sandbox, conf: Path) -> None:
    """Print the commands, each on one line of any length, ready to paste."""
    lines = [
        f"The sandbox is running. Rows of {sandbox.window} are wrong in these tables:",
        f"  {', '.join(sandbox.tables)}",
        f"S3 endpoint: {sandbox.endpoint_url} (any credentials)   settings: {conf}",
    ]
    for example in commands(sandbox, conf):
        lines += ["", f"# {example.purpose}", example.line]
    for line in [*lines, "", "Press Ctrl-C to stop the sandbox."]:
        console.print(Text(line), soft_wrap=True)
