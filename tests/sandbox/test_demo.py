"""The demo as a user runs it: it succeeds and removes its processes and files."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

DEMO = [
    sys.executable,
    "-c",
    "from spade_spark.cli.main import run; run()",
    "demo",
    "--events",
    "5000",
]
EXIT_TIMEOUT = 15.0


def _start(output):
    return subprocess.Popen(DEMO, stdout=output, stderr=output, start_new_session=True)


def _wait_for(process, path, text, processes):
    """Wait until the demo prints ``text``; record every process that it starts."""
    deadline = time.monotonic() + 120
    while text not in path.read_text("utf-8") and time.monotonic() < deadline:
        assert process.poll() is None, path.read_text("utf-8")
        _record(process, processes)
        time.sleep(0.05)
    _record(process, processes)


def _record(process, processes):
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            processes.setdefault(child.pid, child)
    except psutil.NoSuchProcess:
        pass


def _assert_ended(processes):
    _, alive = psutil.wait_procs(list(processes.values()), timeout=EXIT_TIMEOUT)
    assert [child.cmdline() for child in alive] == []


@pytest.mark.slow
@pytest.mark.spark
def test_two_concurrent_demos_both_succeed(tmp_path):
    paths = [tmp_path / "one", tmp_path / "other"]
    demos = []
    for path in paths:
        with path.open("wb") as file:
            demos.append(_start(file))
    for demo, path in zip(demos, paths, strict=True):
        assert demo.wait(240) == 0, path.read_text("utf-8")
        output = path.read_text("utf-8")
        assert "All wrong rows are corrected, and no other rows changed." in output
        assert "untracked" in output
        assert "malformed" in output
        assert len(re.findall(r"\d, unchanged", output)) == 4


@pytest.mark.spark
def test_the_demo_succeeds_on_a_terminal_without_questions(tmp_path):
    process, terminal = pty.fork()
    if process == 0:
        os.execve(DEMO[0], DEMO, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"})
    output = b""
    with suppress(OSError):  # how Linux reports the end of the output
        while part := os.read(terminal, 65536):
            output += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, output.decode()
    assert b"All wrong rows are corrected" in output


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    "progress",
    [
        "Starting PostgreSQL",
        "Loading the warehouse",
        pytest.param("$ spade-spark replay", marks=[pytest.mark.slow, pytest.mark.spark]),
        pytest.param("transform:", marks=[pytest.mark.slow, pytest.mark.spark]),
    ],
)
def test_ctrl_c_leaves_no_process(tmp_path, progress):
    path = tmp_path / "output"
    with path.open("wb") as file:
        demo = _start(file)
    processes: dict[int, psutil.Process] = {}
    _wait_for(demo, path, progress, processes)
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    while demo.poll() is None:
        _record(demo, processes)
        time.sleep(0.02)
    assert demo.returncode == 130
    assert "Traceback" not in path.read_text("utf-8")
    assert processes
    _assert_ended(processes)


@pytest.mark.slow
@pytest.mark.spark
def test_a_killed_demo_leaves_no_processes_and_no_files(tmp_path):
    path = tmp_path / "output"
    with path.open("wb") as file:
        demo = _start(file)
    processes: dict[int, psutil.Process] = {}
    _wait_for(demo, path, "transform:", processes)
    directory = re.search(r"--conf (/.*)/sandbox.toml", path.read_text("utf-8"))
    assert directory
    assert Path(directory[1]).exists()
    assert any("java" in child.name() for child in processes.values() if child.is_running())
    demo.kill()
    demo.wait()
    _assert_ended(processes)
    assert not Path(directory[1]).exists()
