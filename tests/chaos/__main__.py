"""``python -m tests.chaos``: all experiments, and the table of what came of them.

Exit status: 0 no assertion was broken, 1 one was.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tests.chaos.baselines import know
from tests.chaos.experiments import every
from tests.chaos.fixtures import KEYS, scene
from tests.chaos.table import run_all, show


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of every dice.")
@click.option("--kills", default=40, show_default=True, help="kill -9 so often.")
@click.option("--minutes", default=45.0, show_default=True, help="The time for all, roughly.")
@click.option("--only", default="", help="Only experiments with this in their name.")
def main(seed: int, kills: int, minutes: float, only: str) -> None:
    """Does to replays what may happen to them, and looks whether any row is lost or doubled."""
    began = time.monotonic()
    console = Console(width=120)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory(prefix="spade-chaos-") as folder, scene(Path(folder)) as stage:
        known = know(stage)
        chosen = [each for each in every(known, seed, kills) if only in each.name]
        left = minutes * 60 - (time.monotonic() - began)
        results = run_all(chosen, left, say)
    say(f"seed {seed}, {time.monotonic() - began:.0f} s")
    show(results, console)
    raise SystemExit(any(result.broken for result in results))


if __name__ == "__main__":
    main()
