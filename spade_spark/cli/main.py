"""The doors: commands compute nothing, they ask for a result and print it."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from spade_spark import __version__
from spade_spark.errors import SpadeError

# By name, imported when called for: help must answer at once, and Spark and boto3 do not.
_COMMANDS = {
    "demo": "Show a replay on the sandbox: wrong rows, a replay, right rows.",
    "export": "Put what a run made into a lake.",
    "parse": "Show what becomes of edge lines, line by line.",
    "plan": "Show what a replay would do, without doing it.",
    "replay": "Make a window's rows again and replace them in the warehouse.",
    "runs": "Show the runs under the output, one whole, or remove what is of no use.",
    "sandbox": "Start an S3 and a warehouse with sample logs, to try things on.",
    "suggest": "Propose tables for a run's events that have none.",
    "undo": "Put back the rows that a run's load replaced.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"spade_spark.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_LazyGroup)
@click.version_option(__version__, prog_name="spade-spark")
def cli() -> None:
    """Replays a window of edge logs into the warehouse."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and gives the process's exit status: 0 done, 1 failed, 2 not begun."""
    try:
        return int(cli.main(arguments, prog_name="spade-spark", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        return _failed("interrupted; the same command can be run again", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return _failed("interrupted; the same command can be run again", 130)
    except SpadeError as error:
        return _failed(str(error), error.exit_status)


def _failed(message: str, status: int) -> int:
    click.echo(f"spade-spark: {message}", err=True)
    return status


def run() -> None:
    """The console script."""
    sys.exit(main())
