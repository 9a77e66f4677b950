"""Shell commands for a running sandbox."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import spade_spark
from spade_spark.sandbox.postgres_programs import program
from spade_spark.sandbox.sandbox import Sandbox

REPO_ROOT = Path(spade_spark.__file__).parent.parent
"""The repository's root, or ``site-packages`` if spade-spark is installed there."""


@dataclass(frozen=True)
class Command:
    """A command with its description.

    Attributes:
        purpose: A short description.
        line: The command line, relative to the current directory.
    """

    purpose: str
    line: str


def window_args(sandbox: Sandbox) -> list[str]:
    """The START and END arguments of a replay."""
    return [str(sandbox.window.wall_start), str(sandbox.window.wall_end)]


def commands(sandbox: Sandbox, conf: Path) -> list[Command]:
    """The commands for a sandbox with the settings file ``conf``."""
    arguments = shlex.join([*window_args(sandbox), *sandbox.tables])
    options = f"--conf {shlex.quote(str(conf))}"
    environ = shlex.join(f"{name}={value}" for name, value in sandbox.environ.items())
    url = shlex.quote(sandbox.warehouse_url)
    scripts, python = Path(sys.executable).parent, _shell_path(Path(sys.executable))
    launchers = []
    if (REPO_ROOT / "replay.sh").exists():
        script = _shell_path(REPO_ROOT / "replay.sh")
        job = _shell_path(REPO_ROOT / "jobs" / "replay.py")
        submit = f"PYSPARK_PYTHON={python} {_shell_path(scripts / 'spark-submit')}"
        launchers += [
            Command(
                "Replay with replay.sh",
                f"{environ} {script} 'local[*]' {url} {arguments} {options}",
            ),
            Command(
                "Replay with spark-submit",
                f"{environ} {submit} --master 'local[*]' {job} {arguments} --rsurl {url} {options}",
            ),
        ]
    replay = f"{_shell_path(scripts / 'spade-spark')} replay"
    return [
        *launchers,
        Command(
            "Replay with spade-spark",
            f"{environ} {replay} {arguments} --rsurl {url} {options}",
        ),
        Command("Query the warehouse", f"{_shell_path(program('psql'))} {url}"),
        Command("List the output bucket", f"curl '{sandbox.endpoint_url}/compacter?list-type=2'"),
    ]


def _shell_path(path: Path) -> str:
    """Quote a path for the shell, relative to the current directory if it is inside."""
    try:
        return shlex.quote(f"./{path.relative_to(Path.cwd())}")
    except ValueError:
        return shlex.quote(str(path))
