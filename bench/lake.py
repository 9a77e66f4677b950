"""Compare TSV and Parquet: CPU time, size and memory of a task (``python -m bench.lake``).

The work is that of :mod:`bench.transform` on the clean data of :mod:`bench.data`. Each measurement
is a separate process with its own memory peak. The formats alternate, and each ratio is between two
runs of one round, because the speed of the machine drifts.
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
class OutputFormat:
    """An output format: its name in the printed table and its settings."""

    name: str
    format: str
    row_group_bytes: int = 128 * MIB


FORMATS = (
    OutputFormat("TSV", "tsv"),
    OutputFormat("Parquet", "parquet"),
    OutputFormat("TSV and Parquet", "tsv,parquet"),
    OutputFormat("Parquet, row groups of 32 MB", "parquet", 32 * MIB),
    OutputFormat("Parquet, row groups of 8 MB", "parquet", 8 * MIB),
)


@dataclass(frozen=True)
class Measured:
    """The CPU seconds, the peak RSS in bytes and the bytes of the written row files."""

    cpu_seconds: float
    peak_rss_bytes: int
    bytes_out: int


def measure(data: Dataset, output: OutputFormat) -> Measured:
    """Run the work of one task in a separate process."""
    out = BUILD / "lake"
    environment = {
        **os.environ,
        "SPADE_OUTPUT__FORMAT": output.format,
        "SPADE_OUTPUT__ROW_GROUP_BYTES": str(output.row_group_bytes),
    }
    command = [sys.executable, "-m", "bench.transform", "--json", "--conf", str(data.conf)]
    command += ["--out", str(out), "--edge", *map(str, data.objects)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    measured = json.loads(done.stdout)
    files = (path for path in out.glob("bench/*/*/*") if not path.parts[-3].startswith("_"))
    size = sum(path.stat().st_size for path in files)
    return Measured(measured["cpu_seconds"], measured["peak_rss_bytes"], size)


def main() -> int:
    """Print a table with the medians of all rounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.lake", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements per format")
    parser.add_argument("--events", type=int, default=EVENTS, help="number of events")
    arguments = parser.parse_args()
    data = make(BUILD, "clean", arguments.events)
    rounds = [
        {output: measure(data, output) for output in FORMATS} for _ in range(arguments.rounds)
    ]
    print("| output | CPU s | CPU relative to TSV | size MB | size relative to TSV | RSS MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for output in FORMATS:
        _print(output, [(runs[FORMATS[0]], runs[output]) for runs in rounds])
    return 0


def _print(output: OutputFormat, pairs: list[tuple[Measured, Measured]]) -> None:
    cpu = statistics.median(measured.cpu_seconds for _, measured in pairs)
    ratio = statistics.median(measured.cpu_seconds / tsv.cpu_seconds for tsv, measured in pairs)
    size = statistics.median(measured.bytes_out for _, measured in pairs)
    smaller = statistics.median(measured.bytes_out / tsv.bytes_out for tsv, measured in pairs)
    peak = statistics.median(measured.peak_rss_bytes for _, measured in pairs)
    print(
        f"| {output.name} | {cpu:.2f} | {ratio:.2f} | {size / 1e6:.1f} | {smaller:.2f} "
        f"| {peak / 1e6:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
