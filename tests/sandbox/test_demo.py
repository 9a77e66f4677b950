"""The demo as a user runs it: it ends well, twice at once, and Ctrl-C leaves nothing."""

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
GONE_WITHIN = 15.0


def _start(output):
    return subprocess.Popen(DEMO, stdout=output, stderr=output, start_new_session=True)


def _wait_for(process, path, word, seen):
    """Waits until the demo has printed ``word``, noting every process that it ever started."""
    deadline = time.monotonic() + 120
    while word not in path.read_text("utf-8") and time.monotonic() < deadline:
        assert process.poll() is None, path.read_text("utf-8")
        _note(process, seen)
        time.sleep(0.05)
    _note(process, seen)


def _note(process, seen):
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            seen.setdefault(child.pid, child)
    except psutil.NoSuchProcess:
        pass


def _assert_all_gone(seen):
    _, alive = psutil.wait_procs(list(seen.values()), timeout=GONE_WITHIN)
    assert [child.cmdline() for child in alive] == []


@pytest.mark.slow
@pytest.mark.spark
def test_two_demos_at_once_both_end_well(tmp_path):
    paths = [tmp_path / "one", tmp_path / "other"]
    demos = []
    for path in paths:
        with path.open("wb") as output:
            demos.append(_start(output))
    for demo, path in zip(demos, paths, strict=True):
        assert demo.wait(240) == 0, path.read_text("utf-8")
        said = path.read_text("utf-8")
        assert "What was wrong is right, and no other row has changed." in said
        assert "untracked" in said
        assert "malformed" in said
        assert len(re.findall(r"untouched", said)) == 4


@pytest.mark.spark
def test_on_a_terminal_it_asks_nothing_and_ends_well(tmp_path):
    process, terminal = pty.fork()
    if process == 0:
        os.execve(DEMO[0], DEMO, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"})
    said = b""
    with suppress(OSError):  # how Linux says that nobody writes to it any more
        while part := os.read(terminal, 65536):
            said += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, said.decode()
    assert b"What was wrong is right" in said


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    "moment",
    [
        "starting PostgreSQL",
        "loading the warehouse",
        pytest.param("$ spade-spark replay", marks=[pytest.mark.slow, pytest.mark.spark]),
        pytest.param("transform:", marks=[pytest.mark.slow, pytest.mark.spark]),
    ],
)
def test_ctrl_c_leaves_no_process(tmp_path, moment):
    path = tmp_path / "said"
    with path.open("wb") as output:
        demo = _start(output)
    seen: dict[int, psutil.Process] = {}
    _wait_for(demo, path, moment, seen)
    os.killpg(demo.pid, signal.SIGINT)  # what a terminal does
    while demo.poll() is None:
        _note(demo, seen)
        time.sleep(0.02)
    assert demo.returncode == 130
    assert "Traceback" not in path.read_text("utf-8")
    assert seen
    _assert_all_gone(seen)


@pytest.mark.slow
@pytest.mark.spark
def test_a_demo_that_is_killed_leaves_neither_processes_nor_files(tmp_path):
    path = tmp_path / "said"
    with path.open("wb") as output:
        demo = _start(output)
    seen: dict[int, psutil.Process] = {}
    _wait_for(demo, path, "transform:", seen)
    directory = re.search(r"--conf (/.*)/sandbox.toml", path.read_text("utf-8"))
    assert directory
    assert Path(directory[1]).exists()
    assert any("java" in child.name() for child in seen.values() if child.is_running())
    demo.kill()
    demo.wait()
    _assert_all_gone(seen)
    assert not Path(directory[1]).exists()
