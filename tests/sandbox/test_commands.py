"""`spade-spark sandbox` as a user runs it: what it prints can be pasted, and works."""

import re
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from spade_spark.sandbox.demo_queries import DEMO_QUERIES, run_query
from spade_spark.sandbox.sandbox import MISTAKEN
from spade_spark.warehouse.connection import ConnectionInfo, Session

CLONE = Path(__file__).parents[2]


@pytest.fixture
def sandbox(tmp_path, default_signals):
    """The running command, what it printed by purpose, and the settings that it wrote."""
    conf = tmp_path / "conf" / "local.toml"
    command = [sys.executable, "-c", "from spade_spark.cli.main import run; run()", "sandbox"]
    command += ["--events", "5000", "--conf", str(conf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CLONE)
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line.rstrip("\n"))
        if "Ctrl-C ends it" in line:
            break
    pasted = {
        purpose.removeprefix("# "): line
        for purpose, line in pairwise(printed)
        if purpose.startswith("# ")
    }
    yield process, pasted, conf
    process.kill()
    process.wait()
    process.stdout.close()


def _paste(line, **options):
    return subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=CLONE,
        **options,
    )


def _wrong(url):
    with Session(ConnectionInfo.parse(url)) as session:
        return {
            look.table: run_query(session, look, MISTAKEN, "physical").wrong
            for look in DEMO_QUERIES
        }


def test_it_stays_up_until_ctrl_c_and_takes_its_settings_with_it(sandbox):
    process, pasted, conf = sandbox
    assert conf.exists()
    children = psutil.Process(process.pid).children(recursive=True)
    buckets = _paste(pasted["the output bucket"])
    assert "<Name>compacter</Name>" in buckets.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert not conf.exists()


@pytest.mark.slow
def test_the_psql_line_shows_the_live_tables(sandbox):
    _, pasted, _ = sandbox
    shown = _paste(pasted["the warehouse"], input="\\dt physical.*\n")
    assert all(look.table in shown.stdout for look in DEMO_QUERIES), shown.stderr


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("purpose", ["a replay", "the same by spark-submit", "the same by itself"])
def test_a_pasted_replay_makes_the_rows_right(sandbox, purpose):
    _, pasted, _ = sandbox
    words = shlex.split(pasted[purpose])
    url = next(word for word in words if re.match("postgres://", word))
    assert all(_wrong(url).values())
    done = _paste(pasted[purpose])
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(_wrong(url).values())
