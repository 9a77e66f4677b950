"""The command group and the exit status. A command calls a workflow and prints the result."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from spade_spark import __version__
from spade_spark.errors import SpadeError

# A command's module is imported when it is called: Spark and boto3 would make --help slow.
_COMMANDS = {
    "demo": "Run a complete replay in a sandbox.",
    "export": "Publish a run to a data lake, or clean up the lake.",
    "parse": "Transform edge log lines and print the rows as JSON.",
    "plan": "Show what a replay would do (dry run).",
    "replay": "Reprocess a time window and replace its rows in the warehouse.",
    "runs": "List runs, show one run in detail, or remove unused runs.",
    "sandbox": "Start a local S3 API and warehouse with sample logs.",
    "suggest": "Propose schemas for untracked events.",
    "undo": "Restore the rows that a run replaced.",
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
    """Reprocess windows of edge logs on S3 into Amazon Redshift rows.

    `spade-spark COMMAND --help` describes a command.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status: 0 success, 1 failure, 2 invalid command line."""
    try:
        return int(cli.main(arguments, prog_name="spade-spark", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _failed("interrupted: to resume a replay, repeat it with its --runtag", 130)
    except SpadeError as error:
        return _failed(str(error), error.exit_status)


def _failed(message: str, status: int) -> int:
    click.echo(f"spade-spark: {message}", err=True)
    return status


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
