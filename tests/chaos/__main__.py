"""``python -m tests.chaos``: run all experiments and print a table of the results.

The exit status is 0 if all trials passed, 1 if one failed.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tests.chaos.baselines import record_baselines
from tests.chaos.experiments import all_experiments
from tests.chaos.fixtures import KEYS, prepared_environment
from tests.chaos.runner import print_results, run_all


@click.command()
@click.option("--seed", default=1, show_default=True, help="Seed of all random choices.")
@click.option("--kills", default=40, show_default=True, help="Number of kill -9 trials.")
@click.option("--minutes", default=45.0, show_default=True, help="Approximate time limit.")
@click.option("--only", default="", help="Run only experiments whose name contains this.")
def main(seed: int, kills: int, minutes: float, only: str) -> None:
    """Inject faults into commands and check that no row is lost or duplicated."""
    started = time.monotonic()
    console = Console(width=120)

    def log(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    os.environ.update(KEYS)
    with (
        tempfile.TemporaryDirectory(prefix="spade-chaos-") as folder,
        prepared_environment(Path(folder)) as env,
    ):
        baselines = record_baselines(env)
        experiments = [
            experiment
            for experiment in all_experiments(baselines, seed, kills)
            if only in experiment.name
        ]
        remaining = minutes * 60 - (time.monotonic() - started)
        results = run_all(experiments, remaining, log)
    log(f"seed {seed}, {time.monotonic() - started:.0f} s")
    print_results(results, console)
    raise SystemExit(any(result.failures for result in results))


if __name__ == "__main__":
    main()
