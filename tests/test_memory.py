"""A worker's memory does not grow with what it reads."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")

INFLATED = 50_000_000  # bytes of one object
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

# The peak is the kernel's own of this address space: getrusage's begins, for a new process, with
# what the process that started it had.
CHILD = """
import json, re, sys
from pathlib import Path
from spade_spark.spark.broadcast_context import Job
from spade_spark.spark.task import run_partition
from spade_spark.plan import Partition, Source
from spade_spark.settings import S3Settings, Settings
from spade_spark.store import open_store

edge, output, schemas, objects, tag = sys.argv[1:]
sources = [Source(each.key, each.size, each.etag) for each in open_store(edge, S3Settings()).list()]
settings = Settings.model_validate({"input": {"edge": edge}, "output": {"base": output}})
job = Job(tag, "plan", "20171103", settings, open(schemas, "rb").read(), None)
done = run_partition(job, Partition(0, tuple(sources[: int(objects)])), 0)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak": peak, "inflated": done.counts.bytes_inflated,
                  "rows": done.counts.row_count, "files": len(done.files)}))
"""


def _lines(size):
    """Lines of ``size`` bytes in all: two tables, untracked events, malformed and long ones."""
    dice = random.Random(7)
    made = 0
    while made < size:
        line = _line(dice)
        made += len(line) + 1
        yield line


def _line(dice):
    kind = dice.random()
    at = f"2017-11-03T{dice.randrange(17, 19)}:{dice.randrange(60):02d}:{dice.randrange(60):02d}Z"
    if kind < 0.02:
        return edge_logs.envelope("no json", at)
    if kind < 0.05:
        return edge_logs.record(
            f"unknown_{dice.randrange(9)}", {"a": "é" * dice.randrange(300)}, at
        )
    if kind < 0.4:
        return edge_logs.record("login", {"login": f"user{dice.randrange(10**6)}", "n": 5}, at)
    properties = {
        "device": f"{dice.getrandbits(128):x}",
        "title": dice.choice(["plain", 'quo"ted', "日本語", "tab\t"]),
        "words": " ".join(f"{dice.getrandbits(20):x}" for _ in range(8)),
        "minute": dice.randrange(1000),
        "buffers": None if kind < 0.5 else dice.randrange(5),
        "rate": dice.random(),
        "context": {"page": "home", "of_no_table": [dice.randrange(1000)] * 200},
    }
    return edge_logs.record("play", properties, at)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Edges of 20 objects of 50 MB each, and of one object of a tenth of that.

    Their members are the same, so that they are soon made.
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


def _run(folder, kind, objects):
    """One partition of so many objects in a process of its own; what it says at its end."""
    places = [f"{folder}/{kind}/", f"{folder}/out/", f"{folder}/schemas.json"]
    command = [sys.executable, "-c", CHILD, *places, str(objects), f"{kind}-{objects}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _compare(few, many, words):
    print(f"\npeak RSS: {words[0]} {few['peak']} kB, {words[1]} {many['peak']} kB")
    assert many["peak"] <= few["peak"] * ALLOWED


@pytest.mark.slow
def test_twenty_objects_of_50_megabytes_take_the_memory_of_one(folder, one_large):
    twenty = _run(folder, "large", 20)
    assert one_large["inflated"] >= INFLATED
    assert twenty["inflated"] == 20 * one_large["inflated"]
    assert twenty["rows"] == 20 * one_large["rows"] > 0
    _compare(one_large, twenty, ("1 object of 50 MB", "20 of them"))


def test_an_object_of_50_megabytes_takes_the_memory_of_one_of_5(folder, one_large):
    small = _run(folder, "small", 1)
    assert one_large["inflated"] == MEMBERS * small["inflated"]
    _compare(small, one_large, ("1 object of 5 MB", "1 of 50 MB"))
