"""TSV against Parquet: CPU, size and memory of a worker, as ratios (``python -m bench.lake``).

The work is that of :mod:`bench.transform` on the clean data of :mod:`bench.data`, each time in a
process of its own, so that each has its own peak of memory. Rounds take turns, and a ratio is
between two runs of one round: the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.data import Dataset, make

BUILD = Path("build/bench")
EVENTS = 300_000
MIB = 1024 * 1024


@dataclass(frozen=True)
class Way:
    """What is written: a name for the table, the settings' format and row groups."""

    name: str
    format: str
    row_group_bytes: int = 128 * MIB


WAYS = (
    Way("TSV", "tsv"),
    Way("Parquet", "parquet"),
    Way("TSV and Parquet", "tsv,parquet"),
    Way("Parquet, row groups of 32 MB", "parquet", 32 * MIB),
    Way("Parquet, row groups of 8 MB", "parquet", 8 * MIB),
)


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the work, peak bytes resident, bytes written of rows."""

    cpu_seconds: float
    peak_rss_bytes: int
    bytes_out: int


def measure(data: Dataset, way: Way) -> Measured:
    """One worker's work in a process of its own."""
    out = BUILD / "lake"
    environment = {
        **os.environ,
        "SPADE_OUTPUT__FORMAT": way.format,
        "SPADE_OUTPUT__ROW_GROUP_BYTES": str(way.row_group_bytes),
    }
    command = [sys.executable, "-m", "bench.transform", "--json", "--conf", str(data.conf)]
    command += ["--out", str(out), "--edge", *map(str, data.objects)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    told = json.loads(done.stdout)
    files = (path for path in out.glob("bench/*/*/*") if not path.parts[-3].startswith("_"))
    size = sum(path.stat().st_size for path in files)
    return Measured(told["cpu_seconds"], told["peak_rss_bytes"], size)


def main() -> int:
    """Prints a table, each figure the median of the rounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.lake", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each line")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events")
    arguments = parser.parse_args()
    data = make(BUILD, "clean", arguments.events)
    rounds = [{way: measure(data, way) for way in WAYS} for _ in range(arguments.rounds)]
    print("| written | CPU s | CPU, of TSV's | size MB | size, of TSV's | RSS MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way in WAYS:
        _print(way, [(each[WAYS[0]], each[way]) for each in rounds])
    return 0


def _print(way: Way, pairs: list[tuple[Measured, Measured]]) -> None:
    cpu = statistics.median(mine.cpu_seconds for _, mine in pairs)
    ratio = statistics.median(mine.cpu_seconds / tsv.cpu_seconds for tsv, mine in pairs)
    size = statistics.median(mine.bytes_out for _, mine in pairs)
    smaller = statistics.median(mine.bytes_out / tsv.bytes_out for tsv, mine in pairs)
    peak = statistics.median(mine.peak_rss_bytes for _, mine in pairs)
    print(
        f"| {way.name} | {cpu:.2f} | {ratio:.2f} | {size / 1e6:.1f} | {smaller:.2f} "
        f"| {peak / 1e6:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
