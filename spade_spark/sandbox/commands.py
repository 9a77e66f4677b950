"""The commands that fit a running sandbox, ready to be pasted into a shell."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import spade_spark
from spade_spark.sandbox.postgres_programs import program
from spade_spark.sandbox.sandbox import Sandbox

CLONE = Path(spade_spark.__file__).parent.parent
"""The clone that this package runs from; somewhere without ``replay.sh`` if it was installed."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        purpose: What it does, in a few words.
        line: What to paste; it works in a shell that is where this process is.
    """

    purpose: str
    line: str


def window_args(sandbox: Sandbox) -> list[str]:
    """START and END, as every form of the command takes them."""
    return [str(sandbox.window.wall_start), str(sandbox.window.wall_end)]


def commands(sandbox: Sandbox, conf: Path) -> list[Command]:
    """The commands for a sandbox whose settings are in ``conf``."""
    asked = shlex.join([*window_args(sandbox), *sandbox.tables])
    options = f"--conf {shlex.quote(str(conf))}"
    keys = shlex.join(f"{name}={value}" for name, value in sandbox.environ.items())
    url = shlex.quote(sandbox.warehouse_url)
    scripts, python = Path(sys.executable).parent, _shown(Path(sys.executable))
    found = []
    if (CLONE / "replay.sh").exists():
        script = _shown(CLONE / "replay.sh", here="./replay.sh")
        job = _shown(CLONE / "jobs" / "workflows/replay.py")
        submit = f"PYSPARK_PYTHON={python} {_shown(scripts / 'spark-submit')}"
        found += [
            Command("a replay", f"{keys} {script} 'local[*]' {url} {asked} {options}"),
            Command(
                "the same by spark-submit",
                f"{keys} {submit} --master 'local[*]' {job} {asked} --rsurl {url} {options}",
            ),
        ]
    replay = f"{_shown(scripts / 'spade-spark')} replay"
    return [
        *found,
        Command("the same by itself", f"{keys} {replay} {asked} --rsurl {url} {options}"),
        Command("the warehouse", f"{_shown(program('psql'))} {url}"),
        Command("the output bucket", f"curl '{sandbox.endpoint_url}/compacter?list-type=2'"),
    ]


def _shown(path: Path, here: str = "") -> str:
    """A path as short as it can be from where we are, quoted for the shell."""
    try:
        short = path.relative_to(Path.cwd())
    except ValueError:
        return shlex.quote(str(path))
    return here or shlex.quote(str(short))
