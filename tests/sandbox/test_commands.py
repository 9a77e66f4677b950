"""`spade-spark sandbox` as a user runs it, and the commands that it prints."""

import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from spade_spark.sandbox.demo_queries import DEMO_QUERIES, run_query
from spade_spark.sandbox.sandbox import WRONG_WINDOW
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo

REPO_ROOT = Path(__file__).parents[2]


@pytest.fixture
def sandbox(tmp_path, default_signals):
    """The sandbox's process, its printed commands by purpose, and its settings file."""
    conf = tmp_path / "conf" / "local.toml"
    command = [sys.executable, "-c", "from spade_spark.cli.main import run; run()", "sandbox"]
    command += ["--events", "5000", "--conf", str(conf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO_ROOT)
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line.rstrip("\n"))
        if "Press Ctrl-C" in line:
            break
    commands = {
        purpose.removeprefix("# "): line
        for purpose, line in pairwise(printed)
        if purpose.startswith("# ")
    }
    yield process, commands, conf
    process.kill()
    process.wait()
    process.stdout.close()


def _run_shell(line, **options):
    return subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=REPO_ROOT,
        **options,
    )


def _wrong(url):
    with Session(ConnectionInfo.parse(url)) as session:
        return {
            query.table: run_query(session, query, WRONG_WINDOW, "physical").wrong
            for query in DEMO_QUERIES
        }


def test_the_sandbox_runs_until_ctrl_c_and_removes_its_settings_file(sandbox):
    process, commands, conf = sandbox
    assert conf.exists()
    children = psutil.Process(process.pid).children(recursive=True)
    buckets = _run_shell(commands["List the output bucket"])
    assert "<Name>compacter</Name>" in buckets.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert not conf.exists()


@pytest.mark.slow
def test_the_printed_psql_command_shows_the_live_tables(sandbox):
    _, commands, _ = sandbox
    shown = _run_shell(commands["Query the warehouse"], input="\\dt physical.*\n")
    assert all(query.table in shown.stdout for query in DEMO_QUERIES), shown.stderr


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize(
    "purpose",
    [
        "Replay with replay.sh",
        "Replay with spark-submit",
        "Replay with spade-spark",
    ],
)
def test_a_printed_replay_command_corrects_the_rows(sandbox, purpose):
    _, commands, _ = sandbox
    arguments = shlex.split(commands[purpose])
    url = next(argument for argument in arguments if argument.startswith("postgres://"))
    assert all(_wrong(url).values())
    replay = _run_shell(commands[purpose])
    assert replay.returncode == 0, replay.stdout + replay.stderr
    assert not any(_wrong(url).values())
