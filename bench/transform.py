"""Measure the work of one task and its floor (``python -m bench.transform --help``).

The work is the function that a Spark task calls, with directories instead of S3: it reads gzip
objects and writes gzip TSV files and the completion record. The floor is the part that every
transform needs: inflate the same input, and deflate and write the same output, with the same
library and level. It is measured in the same process right after the work, because the speed of the
machine drifts and only the ratio is meaningful.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from spade_spark.blueprint.fetch import fetch
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.manifest import Completion
from spade_spark.settings import Settings, load
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition
from spade_spark.storage.base import open_store
from spade_spark.writers import tsv

_READ_BYTES = 32 * 1024
_INFLATED_BYTES = 128 * 1024
_GZIP = 31


@dataclass(frozen=True)
class Measured:
    """The measurements of a run.

    Attributes:
        events: Events of all outcomes, and lines that the prefilter skipped.
        rows: Rows written.
        cpu_seconds: User and system time of the work.
        wall_seconds: Elapsed time of the work.
        peak_rss_bytes: Peak RSS of the process.
        bytes_in: Compressed bytes read.
        bytes_inflated: Bytes of the inflated lines.
        bytes_out: Compressed bytes written, rows and untracked events.
        floor_cpu_seconds: User and system time of the floor.
    """

    events: int
    rows: int
    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int
    bytes_in: int
    bytes_inflated: int
    bytes_out: int
    floor_cpu_seconds: float

    @property
    def ratio(self) -> float:
        """CPU time of the work divided by that of the floor."""
        return self.cpu_seconds / self.floor_cpu_seconds


def measure(objects: Sequence[Path], conf: Path, out: Path, tables: Sequence[str] = ()) -> Measured:
    """Measure the work on ``objects`` as one partition, then the floor.

    Args:
        objects: The gzip objects.
        conf: The settings; their input and output locations are ignored.
        out: The output directory; its content is deleted.
        tables: The requested tables; all if empty.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    root = Path(os.path.commonpath([path.absolute().parent for path in objects]))
    settings = _settings(load(conf), root, out)
    job = BroadcastContext(
        run_tag="bench",
        plan="0" * 64,
        day="20171103",
        settings=settings,
        schemas=fetch(settings.blueprint.schemas, settings.s3),
        requested=frozenset(tables) or None,
    )
    sources = tuple(_source(path.absolute(), root, settings) for path in objects)
    wall, cpu = time.perf_counter(), time.process_time()
    completion = run_partition(job, InputPartition(0, sources), 0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = _peak_rss()
    written = [out / file.key for file in completion.files]
    written += [Path(file.url) for file in completion.untracked]
    return _measured(completion, wall, cpu, peak, _floor(objects, written, out / "floor.gz"))


def _peak_rss() -> int:
    """Return the peak RSS of this program; getrusage includes that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _settings(settings: Settings, edge: Path, out: Path) -> Settings:
    return settings.model_copy(
        update={
            "input": settings.input.model_copy(update={"edge": str(edge)}),
            "output": settings.output.model_copy(update={"base": str(out), "untracked": ""}),
        }
    )


def _source(path: Path, root: Path, settings: Settings) -> InputObject:
    key = str(path.relative_to(root))
    (stored,) = open_store(settings.input.edge, settings.s3).list(key)
    return InputObject(key, stored.size, stored.etag)


def _measured(completion: Completion, wall: float, cpu: float, peak: int, floor: float) -> Measured:
    ledger = completion.counts
    return Measured(
        events=sum(ledger.outcomes.values()) + ledger.filtered,
        rows=sum(file.rows for file in completion.files),
        cpu_seconds=cpu,
        wall_seconds=wall,
        peak_rss_bytes=peak,
        bytes_in=ledger.bytes_in,
        bytes_inflated=ledger.bytes_inflated,
        bytes_out=sum(file.size for file in completion.files)
        + sum(file.size for file in completion.untracked),
        floor_cpu_seconds=floor,
    )


def _floor(objects: Sequence[Path], written: Sequence[Path], scratch: Path) -> float:
    """Return the CPU seconds to inflate the objects and to deflate and write the output."""
    started = time.process_time()
    for path in objects:
        with path.open("rb") as stream:
            for _ in _inflated(stream):
                pass
    seconds = time.process_time() - started
    for path in written:
        with path.open("rb") as stream, scratch.open("wb", buffering=0) as out:
            seconds += _deflate(_inflated(stream), out)
        scratch.unlink()
    return seconds


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the inflated pieces of a gzip file."""
    pending = b""
    while pending or (pending := stream.read(_READ_BYTES)):
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not inflater.eof:
            if inflater.needs_input:
                pending = pending or stream.read(_READ_BYTES)
            yield inflater.decompress(pending, _INFLATED_BYTES)
            pending = b""
        pending = inflater.unused_data


def _deflate(pieces: Iterator[bytes], out: BinaryIO) -> float:
    """Return the CPU seconds to deflate and write, without those to make the pieces."""
    deflater = isal_zlib.compressobj(tsv.LEVEL, isal_zlib.DEFLATED, _GZIP)
    seconds = 0.0
    for piece in pieces:
        started = time.process_time()
        out.write(deflater.compress(piece))
        seconds += time.process_time() - started
    started = time.process_time()
    out.write(deflater.flush())
    return seconds + time.process_time() - started


def main() -> int:
    """Print the measurements."""
    parser = argparse.ArgumentParser(prog="python -m bench.transform", description=__doc__)
    parser.add_argument("--edge", nargs="+", type=Path, required=True, metavar="FILE")
    parser.add_argument("--conf", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--table", nargs="*", default=[], metavar="NAME", help="only these tables")
    parser.add_argument("--json", action="store_true", help="JSON instead of lines")
    arguments = parser.parse_args()
    measured = measure(arguments.edge, arguments.conf, arguments.out, arguments.table)
    if arguments.json:
        print(json.dumps(asdict(measured)))
    else:
        for name, value in asdict(measured).items():
            print(f"{name:18} {value:,}")
        print(f"{'ratio':18} {measured.ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
