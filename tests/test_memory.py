"""The memory of a task does not grow with its input."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys

import pytest

from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from tests.support import edge_logs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

INFLATED = 50_000_000  # bytes per object
MEMBERS = 10
ALLOWED = 1.10

TABLES = (
    edge_logs.LOGIN,
    edge_logs.table(
        "play",
        edge_logs.column("time", "f@timestamp@unix"),
        *(
            edge_logs.column(name, "varchar", options="(64)")
            for name in ("device", "title", "words")
        ),
        *(edge_logs.column(name, "int") for name in ("minute", "buffers")),
        edge_logs.column("rate", "float"),
    ),
)

# VmHWM is the peak of this process. The peak of getrusage starts with that of the parent process.
CHILD = """
import json, re, sys
from pathlib import Path
from spade_spark.plan import InputObject, InputPartition
from spade_spark.settings import S3Settings, Settings
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition
from spade_spark.storage.base import open_store

edge, output, schemas, objects, tag = sys.argv[1:]
entries = open_store(edge, S3Settings()).list()
sources = [InputObject(entry.key, entry.size, entry.etag) for entry in entries]
settings = Settings.model_validate({"input": {"edge": edge}, "output": {"base": output}})
published = open(schemas, "rb").read()
context = BroadcastContext(tag, "plan", "20171103", settings, published, None)
partition = InputPartition(0, tuple(sources[: int(objects)]))
done = run_partition(context, partition, 0)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak": peak, "inflated": done.counts.bytes_inflated,
                  "rows": done.counts.row_count, "files": len(done.files)}))
"""


def _lines(size):
    """Yield ``size`` bytes of lines: events of two tables, untracked, malformed and long ones."""
    rng = random.Random(7)
    total = 0
    while total < size:
        line = _line(rng)
        total += len(line) + 1
        yield line


def _line(rng):
    choice = rng.random()
    at = f"2017-11-03T{rng.randrange(17, 19)}:{rng.randrange(60):02d}:{rng.randrange(60):02d}Z"
    if choice < 0.02:
        return edge_logs.envelope("no json", at)
    if choice < 0.05:
        return edge_logs.record(f"unknown_{rng.randrange(9)}", {"a": "é" * rng.randrange(300)}, at)
    if choice < 0.4:
        return edge_logs.record("login", {"login": f"user{rng.randrange(10**6)}", "n": 5}, at)
    properties = {
        "device": f"{rng.getrandbits(128):x}",
        "title": rng.choice(["plain", 'quo"ted', "日本語", "tab\t"]),
        "words": " ".join(f"{rng.getrandbits(20):x}" for _ in range(8)),
        "minute": rng.randrange(1000),
        "buffers": None if choice < 0.5 else rng.randrange(5),
        "rate": rng.random(),
        "context": {"page": "home", "of_no_table": [rng.randrange(1000)] * 200},
    }
    return edge_logs.record("play", properties, at)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An edge store with 20 objects of 50 MB each, and one with a single object of 5 MB.

    All objects repeat the same gzip member, which makes them fast to create.
    """
    folder = tmp_path_factory.mktemp("memory")
    member = gzip.compress(b"".join(line + b"\n" for line in _lines(INFLATED // MEMBERS)), 1)
    large = open_store(f"{folder}/large/", S3Settings())
    for number in range(20):
        large.write(f"20171103/{number:02d}.log.gz", member * MEMBERS)
    open_store(f"{folder}/small/", S3Settings()).write("20171103/00.log.gz", member)
    (folder / "schemas.json").write_bytes(edge_logs.schemas(*TABLES))
    return folder


@pytest.fixture(scope="module")
def one_large(folder):
    return _run(folder, "large", 1)


def _run(folder, edge, objects):
    """Run one partition with ``objects`` objects in a child process; return its measurements."""
    paths = [f"{folder}/{edge}/", f"{folder}/out/", f"{folder}/schemas.json"]
    command = [sys.executable, "-c", CHILD, *paths, str(objects), f"{edge}-{objects}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _compare(few, many, labels):
    print(f"\npeak RSS: {labels[0]} {few['peak']} kB, {labels[1]} {many['peak']} kB")
    assert many["peak"] <= few["peak"] * ALLOWED


@pytest.mark.slow
def test_twenty_objects_of_50_megabytes_need_no_more_memory_than_one(folder, one_large):
    twenty = _run(folder, "large", 20)
    assert one_large["inflated"] >= INFLATED
    assert twenty["inflated"] == 20 * one_large["inflated"]
    assert twenty["rows"] == 20 * one_large["rows"] > 0
    _compare(one_large, twenty, ("1 object of 50 MB", "20 objects"))


def test_an_object_of_50_megabytes_needs_no_more_memory_than_one_of_5(folder, one_large):
    small = _run(folder, "small", 1)
    assert one_large["inflated"] == MEMBERS * small["inflated"]
    _compare(small, one_large, ("1 object of 5 MB", "1 object of 50 MB"))
