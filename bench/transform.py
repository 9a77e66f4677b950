"""One worker's work in one process, and its floor: ``python -m bench.transform --help``.

The work is that of a Spark task, by the very function that a task calls, with a directory in S3's
place: gzip objects on disk to gzip TSV files on disk, with their completion record. The floor is
what no transform can do without: inflating the same input, deflating the same output and writing
it, with the same library at the same level, and nothing else. It is measured in the same process
right after the work, because the machine's speed drifts and only their ratio means something.
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
    """What a run came to.

    Attributes:
        events: Events, however they ended; with named tables also the lines passed over.
        rows: Rows written.
        cpu_seconds: User and system time of the process for the work.
        wall_seconds: Time that passed.
        peak_rss_bytes: The most memory that the process had resident, from its start.
        bytes_in: Compressed bytes read.
        bytes_inflated: Bytes of lines.
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
        """CPU time of the work in units of the floor's."""
        return self.cpu_seconds / self.floor_cpu_seconds


def measure(objects: Sequence[Path], conf: Path, out: Path, tables: Sequence[str] = ()) -> Measured:
    """Does the work on ``objects`` as one partition, then the floor.

    Args:
        objects: The gzip objects.
        conf: The settings; where they read from and write to does not count.
        out: A directory for the output; what is in it is removed.
        tables: The tables to make; all where none is named.
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
    """The most bytes resident since this program began; getrusage tells of its parent as well."""
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
    """CPU seconds of inflating the objects and of deflating and writing what was written."""
    begun = time.process_time()
    for path in objects:
        with path.open("rb") as stream:
            for _ in _inflated(stream):
                pass
    seconds = time.process_time() - begun
    for path in written:
        with path.open("rb") as stream, scratch.open("wb", buffering=0) as out:
            seconds += _deflate(_inflated(stream), out)
        scratch.unlink()
    return seconds


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """A gzip file inflated, a piece at a time."""
    ahead = b""
    while ahead or (ahead := stream.read(_READ_BYTES)):
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not inflater.eof:
            if inflater.needs_input:
                ahead = ahead or stream.read(_READ_BYTES)
            yield inflater.decompress(ahead, _INFLATED_BYTES)
            ahead = b""
        ahead = inflater.unused_data


def _deflate(pieces: Iterator[bytes], out: BinaryIO) -> float:
    """CPU seconds of deflating and writing; making the pieces does not count."""
    deflater = isal_zlib.compressobj(tsv.LEVEL, isal_zlib.DEFLATED, _GZIP)
    seconds = 0.0
    for piece in pieces:
        begun = time.process_time()
        out.write(deflater.compress(piece))
        seconds += time.process_time() - begun
    begun = time.process_time()
    out.write(deflater.flush())
    return seconds + time.process_time() - begun


def main() -> int:
    """Prints what was measured."""
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
