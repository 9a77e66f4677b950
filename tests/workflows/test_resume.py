"""A replay that was killed in the middle is gone on with by the same command."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import time

import psutil
import pytest

from tests.support import edge_logs
from tests.support.harness import WINDOW, World
from tests.support.processes import environment, run

pytestmark = [pytest.mark.slow, pytest.mark.spark]

OBJECTS = 8  # and so many partitions: each is larger than what two share
RECORDS = 8_000  # an object
ENOUGH = 2  # partitions done, at which the replay is killed


def _fill(world):
    """Objects of a megabyte and more, whose rows are all different."""
    for number in range(OBJECTS):
        dice = random.Random(number)
        lines = [
            edge_logs.record(
                "login", {"login": f"{number}-{n}", "n": n, "x": dice.randbytes(120).hex()}
            )
            for n in range(RECORDS)
        ]
        world.put(edge_logs.key("2017-11-03T18:00:00", f"node{number}"), edge_logs.log(lines))


def _done(world):
    """The attempts that completed, by partition."""
    entries = world.store.list(f"out/{world.tag}/_completed/")
    records = [json.loads(world.store.read(entry.key)) for entry in entries]
    return {record["partition"]: record["attempt"] for record in records}


def _rows(world, tag):
    """The rows of a run's manifest, sorted."""
    manifest = json.loads(world.store.read(f"out/{tag}/_manifest.json"))
    (table,) = manifest["tables"]
    files = [gzip.decompress(world.store.read(f"out/{file['key']}")) for file in table["files"]]
    return sorted(b"".join(files).splitlines())


def _kill_in_the_middle(world, command, cwd):
    """Kills the driver, as the kernel would, as soon as some partitions are done.

    Returns:
        The processes that it had started.
    """
    log = cwd / "killed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 100
        while len(_done(world)) < ENOUGH:
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    return started


def test_a_killed_replay_is_gone_on_with_and_does_nothing_twice(
    tmp_path, bucket, s3_settings, aws_keys
):
    world = World(tmp_path, bucket, s3_settings, "")
    world.configure('"local[2]"', '"local[1]"')
    _fill(world)
    words = [*WINDOW, "login", "--skip-ace-upload", "--conf", str(world.conf), "--runtag"]
    command = ["spade-spark", "replay", *words]

    started = _kill_in_the_middle(world, [*command, world.tag], tmp_path)
    done = _done(world)
    assert ENOUGH <= len(done) < OBJECTS
    assert not list(world.store.list(f"out/{world.tag}/_manifest.json"))

    again = run(*command, world.tag, cwd=tmp_path)
    assert again.status == 0, again.err
    assert f"going on: {len(done)} of {OBJECTS} partitions done" in again.err
    assert {number: _done(world)[number] for number in done} == done
    assert len(_done(world)) == OBJECTS

    assert started
    assert not psutil.wait_procs(started, timeout=10)[1]

    undisturbed = run(*command, "undisturbed", cwd=tmp_path)
    assert undisturbed.status == 0, undisturbed.err
    assert _rows(world, world.tag) == _rows(world, "undisturbed")
    assert len(_rows(world, world.tag)) == OBJECTS * RECORDS
