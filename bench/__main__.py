"""Generate the data and print the results (``make bench`` or ``python -m bench --help``)."""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.data import Dataset, make

BUILD = Path("build/bench")


@dataclass(frozen=True)
class Row:
    """A row of the results: the data, the target ratio (0 for none), events and objects."""

    kind: str
    target: float
    events: int
    objects: int = 1


ROWS = (
    Row("clean", 3.8, 300_000),
    Row("real-life", 6, 300_000),
    Row("rare", 1.5, 300_000),
    Row("wide", 0, 50_000),
)
ONE_OBJECT = Row("memory", 0, 25_000)
TWENTY_OBJECTS = Row("memory", 0, 500_000, objects=20)


def main() -> None:
    """Print the median of each row, then the memory, then the peers."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements per row")
    parser.add_argument("--scale", type=float, default=1, help="factor for the number of events")
    parser.add_argument("--no-peers", action="store_true", help="skip the peers of bench/peers")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    data = {row: _make(row, arguments.scale) for row in (*ROWS, ONE_OBJECT, TWENTY_OBJECTS)}
    print(
        "\n| data | events | rows | CPU s | floor s | ratio | target | MB/s | RSS MB "
        "| size relative to gzip -6 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in ROWS:
        runs = [_measure(data[row]) for _ in range(arguments.rounds)]
        runs.sort(key=lambda run: run["cpu_seconds"] / run["floor_cpu_seconds"])
        _print_row(row, runs)
    memory = [_measure(data[row])["peak_rss_bytes"] for row in (ONE_OBJECT, TWENTY_OBJECTS)]
    one, twenty = (size / 1e6 for size in memory)
    print(f"\npeak RSS: {one:.0f} MB for one object, {twenty:.0f} MB for a partition of 20")
    if not arguments.no_peers:
        _peers(data[ROWS[0]])


def _make(row: Row, scale: float) -> Dataset:
    kind = "clean" if row.kind == "memory" else row.kind
    return make(BUILD, kind, int(row.events * scale), row.objects)


def _measure(data: Dataset) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.transform", "--json", "--conf", str(data.conf)]
    command += ["--out", str(BUILD / "out"), "--edge", *map(str, data.objects)]
    if data.tables:
        command += ["--table", *data.tables]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _print_row(row: Row, runs: Sequence[dict[str, Any]]) -> None:
    run = runs[len(runs) // 2]
    ratios = [other["cpu_seconds"] / other["floor_cpu_seconds"] for other in runs]
    print(
        f"| {row.kind} | {run['events']:,} | {run['rows']:,} | {run['cpu_seconds']:.2f} "
        f"| {run['floor_cpu_seconds']:.2f} "
        f"| **{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
        f"| {row.target or 'none'} | {run['bytes_inflated'] / 1e6 / run['cpu_seconds']:.0f} "
        f"| {run['peak_rss_bytes'] / 1e6:.0f} | {_size_relative_to_gzip(BUILD / 'out'):.2f} |",
        flush=True,
    )


def _size_relative_to_gzip(out: Path) -> float:
    """Return the size of the largest file in ``out`` relative to gzip at level 6."""
    largest = max(out.rglob("*.gz"), key=lambda path: path.stat().st_size)
    return largest.stat().st_size / len(gzip.compress(gzip.decompress(largest.read_bytes()), 6))


def _peers(data: Dataset) -> None:
    """Measure the peers on the same data, each in a separate process."""
    print("\n| on the clean data | rows | CPU s | CPU us per event read |")
    print("| --- | --- | --- | --- |")
    ours = _measure(data)
    events = ours["events"]
    _print_peer("this transform", ours["rows"], ours["cpu_seconds"], events)
    objects = [str(path) for path in data.objects]
    for name, arguments in (("plain", [str(data.conf)]), ("spark", [])):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            if name == "plain":
                out.mkdir()
            command = [sys.executable, "-m", f"bench.peers.{name}", *arguments, str(out), *objects]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows, seconds = done.stdout.split()[-2:]
        _print_peer(f"bench/peers/{name}.py", int(rows), float(seconds), events)


def _print_peer(name: str, rows: int, seconds: float, events: int) -> None:
    print(f"| {name} | {rows:,} | {seconds:.1f} | {seconds / events * 1e6:.1f} |", flush=True)


def machine() -> str:
    """Return the CPU model, and the versions of Python and the libraries."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    libraries = ", ".join(f"{name} {version(name)}" for name in ("isal", "msgspec", "maxminddb"))
    return f"{model}; Python {platform.python_version()}, {libraries}"


if __name__ == "__main__":
    main()
