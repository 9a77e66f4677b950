"""The same command resumes a replay that was killed."""

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
from tests.support.harness import WINDOW, ReplayHarness
from tests.support.processes import environment, run

pytestmark = [pytest.mark.slow, pytest.mark.spark]

OBJECTS = 8  # large enough for a partition each
RECORDS = 8_000  # per object
KILL_AFTER = 2  # completed partitions


def _write_logs(harness):
    """Write objects of more than a megabyte each; all their rows differ."""
    for number in range(OBJECTS):
        rng = random.Random(number)
        lines = [
            edge_logs.record(
                "login", {"login": f"{number}-{n}", "n": n, "x": rng.randbytes(120).hex()}
            )
            for n in range(RECORDS)
        ]
        harness.put(edge_logs.key("2017-11-03T18:00:00", f"node{number}"), edge_logs.log(lines))


def _done(harness):
    """Return the completed attempts, by partition."""
    entries = harness.store.list(f"out/{harness.tag}/_completed/")
    records = [json.loads(harness.store.read(entry.key)) for entry in entries]
    return {record["partition"]: record["attempt"] for record in records}


def _rows(harness, tag):
    """Return the sorted rows of the files in a run's manifest."""
    manifest = json.loads(harness.store.read(f"out/{tag}/_manifest.json"))
    (table,) = manifest["tables"]
    files = [gzip.decompress(harness.store.read(f"out/{file['key']}")) for file in table["files"]]
    return sorted(b"".join(files).splitlines())


def _kill_in_the_middle(harness, command, cwd):
    """Kill the driver with SIGKILL once some partitions are done.

    Returns:
        Its child processes.
    """
    log = cwd / "killed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 100
        while len(_done(harness)) < KILL_AFTER:
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    return children


def test_a_killed_replay_resumes_and_repeats_no_finished_partition(
    tmp_path, bucket, s3_settings, aws_keys
):
    harness = ReplayHarness(tmp_path, bucket, s3_settings, "")
    harness.configure('"local[2]"', '"local[1]"')
    _write_logs(harness)
    options = ["--skip-ace-upload", "--conf", str(harness.conf), "--runtag"]
    command = ["spade-spark", "replay", *WINDOW, "login", *options]

    children = _kill_in_the_middle(harness, [*command, harness.tag], tmp_path)
    done = _done(harness)
    assert KILL_AFTER <= len(done) < OBJECTS
    assert not list(harness.store.list(f"out/{harness.tag}/_manifest.json"))

    resumed = run(*command, harness.tag, cwd=tmp_path)
    assert resumed.status == 0, resumed.err
    assert f"resuming: {len(done)} of {OBJECTS} partitions done" in resumed.err
    assert {number: _done(harness)[number] for number in done} == done
    assert len(_done(harness)) == OBJECTS

    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]

    uninterrupted = run(*command, "uninterrupted", cwd=tmp_path)
    assert uninterrupted.status == 0, uninterrupted.err
    assert _rows(harness, harness.tag) == _rows(harness, "uninterrupted")
    assert len(_rows(harness, harness.tag)) == OBJECTS * RECORDS
