"""The doors as people use them: replay.sh and spark-submit as processes, on a cluster too."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from tests.support import edge_logs
from tests.support.harness import AFTER, BEFORE, WINDOW, ReplayHarness, log_full_window
from tests.support.processes import PROGRAMS, REPOSITORY, environment, free_port, run

PASSWORD = "marked-Pa55word"
JOB = REPOSITORY / "jobs" / "replay.py"
REPLAY_SH = REPOSITORY / "replay.sh"

RIGHT = [
    BEFORE,
    ("2017-11-03 10:00:00", "ann", 1),
    ("2017-11-03 11:59:59", "zoë'\\", None),
    AFTER,
]

STAND_IN = """#!/bin/sh
printf 'rsurl=%s\\n' "${SPADE_RSURL-unset}"
printf '%s\\n' "$@"
"""


@pytest.fixture
def stand_in(tmp_path):
    """A checkout whose spark-submit prints its arguments, one a line; runs its replay.sh."""
    shutil.copy(REPLAY_SH, tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "spark-submit"
    program.write_text(STAND_IN)
    program.chmod(0o755)

    def replay_sh(*words):
        return subprocess.run(
            [tmp_path / "replay.sh", *words],
            env=environment(PATH=f"{tmp_path}/bin:/usr/bin:/bin"),
            capture_output=True,
            text=True,
            check=False,
        )

    return replay_sh


@pytest.mark.parametrize(
    ("word", "master"),
    [
        ("spark-master.example.com", "spark://spark-master.example.com:7077"),
        ("10.0.0.7", "spark://10.0.0.7:7077"),
        ("localhost", "spark://localhost:7077"),
        ("local-1.example.com", "spark://local-1.example.com:7077"),
        ("local", "local"),
        ("local[*]", "local[*]"),
        ("local[4]", "local[4]"),
        ("yarn", "yarn"),
        ("spark://10.0.0.7:7078", "spark://10.0.0.7:7078"),
        ("k8s://https://kubernetes:6443", "k8s://https://kubernetes:6443"),
    ],
)
def test_a_host_is_a_master_by_its_usual_port_and_a_url_is_taken_as_it_is(stand_in, word, master):
    printed = stand_in(word, "-", *WINDOW, "login").stdout.splitlines()
    assert printed[1:3] == ["--master", master]


def test_words_reach_the_job_as_they_are_and_the_url_by_the_environment(stand_in, tmp_path):
    url = f"postgres://me:{PASSWORD}@db/dev"
    printed = stand_in("yarn", url, *WINDOW, "login", "--conf", "a b.toml").stdout.splitlines()
    assert printed == [
        f"rsurl={url}",
        "--master",
        "yarn",
        f"{tmp_path}/jobs/replay.py",
        *WINDOW,
        "login",
        "--conf",
        "a b.toml",
    ]


def test_a_dash_stands_for_no_warehouse(stand_in):
    printed = stand_in("yarn", "-", *WINDOW, "login", "--skip-ace-upload").stdout.splitlines()
    assert printed[0] == "rsurl=unset"


def test_too_few_words_are_answered_with_what_there_is_to_write(stand_in):
    done = stand_in("yarn", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "replay.sh MASTER REDSHIFT_TARGET START END [TABLE ... | --all-tables] [options]\n"
    )


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [PROGRAMS / "spade-spark", "replay", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    print(f"\nspade-spark replay --help: {median:.2f} s, median of 3")
    assert "--skip-ace-upload" in done.stdout
    assert median < 1.5  # half a second on a machine that does nothing else


@pytest.fixture
def world(tmp_path, bucket, s3_settings, database):
    return ReplayHarness(tmp_path, bucket, s3_settings, database)


@pytest.fixture
def full(world):
    """A world with the window's logs in it."""
    log_full_window(world)
    return world


def _with_password(url):
    """The URL with a password in it, which a socket that trusts everybody does not ask for."""
    return url.replace("postgres@", f"postgres:{PASSWORD}@")


def _options(world):
    return ["--conf", world.conf, "--runtag", world.tag]


def _assert_password_unseen(ended):
    # The shell's own command line is what was typed; it is gone with its exec.
    commands = "\n".join(each for each in ended.commands if "replay.sh" not in each)
    assert "java" in commands
    assert "jobs/replay.py" in commands
    for text in (commands, ended.out, ended.err):
        assert PASSWORD not in text


@pytest.mark.spark
def test_replay_sh_makes_a_window_right_and_shows_the_password_to_nobody(full, tmp_path):
    url = _with_password(full.url)
    words = ["local[2]", url, *WINDOW, "login", "chat", *_options(full)]
    ended = run(REPLAY_SH, *words, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert full.rows("login") == RIGHT
    _assert_password_unseen(ended)


@pytest.mark.slow
@pytest.mark.spark
def test_spark_submit_makes_a_window_right_and_its_event_log_has_no_password(full, tmp_path):
    """Not even where the URL was given as an argument, which Spark notes down."""
    events = tmp_path / "events"
    events.mkdir()
    confs = {
        "spark.master": "local[2]",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }
    submit = [word for name, value in confs.items() for word in ("--conf", f"{name}={value}")]
    words = [*WINDOW, "login", "--rsurl", _with_password(full.url), *_options(full)]
    ended = run("spark-submit", *submit, JOB, *words, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert full.rows("login") == RIGHT
    (log,) = events.iterdir()
    logged = log.read_text("utf-8")
    assert "SparkListenerEnvironmentUpdate" in logged
    assert "sun.java.command" in logged
    assert PASSWORD not in logged
    assert PASSWORD not in ended.out + ended.err


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (
            ["lgoin", "--skip-ace-upload"],
            2,
            "spade-spark: Blueprint has no table lgoin: did you mean login?",
        ),
        (
            ["login", "--skip-transform"],
            1,
            "spade-spark: s3://{bucket}/out/{tag}/ has no manifest: the run is not complete.",
        ),
    ],
)
def test_spark_submit_passes_on_what_the_job_ends_with(full, tmp_path, words, status, line):
    more = {"SPADE_RSURL": full.url}
    ended = run("spark-submit", JOB, *WINDOW, *words, *_options(full), cwd=tmp_path, **more)
    assert ended.status == status
    # spark-submit puts both streams of the job on its standard output.
    (said,) = ended.out.splitlines()
    assert said.startswith(line.format(bucket=full.bucket, tag=full.tag))


@pytest.mark.slow
def test_the_most_talkative_log_has_no_credentials(full, tmp_path):
    """The S3 client's own DEBUG shows every request, with the session's token in it."""
    more = {"SPADE_RSURL": _with_password(full.url), "AWS_SESSION_TOKEN": "marked-token"}
    words = [*WINDOW, "login", "--skip-transform", "--log", "DEBUG", *_options(full)]
    ended = run("spade-spark", "replay", *words, cwd=tmp_path, **more)
    assert ended.status == 1
    assert "has no manifest" in ended.err
    assert "marked" not in ended.err + ended.out


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A standalone cluster of one worker on this machine; its master's URL."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    with (
        _daemon(folder, "master.Master", "--port", port, ready="I have been elected leader"),
        _daemon(
            folder,
            "worker.Worker",
            *("--cores", 2, "--memory", "2g", "--work-dir", folder / "work"),
            url,
            ready="Successfully registered with master",
        ),
    ):
        yield url, folder / "work"


@contextmanager
def _daemon(folder, name, *words, ready):
    """A process of the cluster, once it has said that it is ready."""
    log = folder / f"{name}.log"
    loopback = ["--host", "127.0.0.1", "--webui-port", "0"]
    command = [PROGRAMS / "spark-class", f"org.apache.spark.deploy.{name}", *loopback, *words]
    more = {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "marked-secret-key",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=out,
            stderr=out,
            cwd=folder,
            env=environment(**more),
        )
    try:
        deadline = time.monotonic() + 60
        while ready not in log.read_text("utf-8"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _changing(world, key):
    """Replaces an object as soon as a run's plan is there: Spark takes longer to begin."""

    def change():
        plan = f"out/{world.tag}/_plan.json"
        while not stop.wait(0.02):
            if list(world.store.list(plan)):
                world.put(key, edge_logs.log([b"another"]))
                return

    stop = threading.Event()
    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _applications(work):
    """Applications that the worker has run executors for."""
    return {folder.name for folder in work.glob("app-*")}


@pytest.mark.slow
@pytest.mark.spark
def test_a_cluster_transforms_and_the_load_follows_by_itself(full, cluster, tmp_path):
    master, work = cluster
    before = _applications(work)
    skip = ["--skip-ace-upload", *_options(full)]
    made = run(REPLAY_SH, master, "-", *WINDOW, "login", "chat", *skip, cwd=tmp_path)
    assert made.status == 0, made.err
    assert len(_applications(work) - before) == 1
    load = ["--skip-transform", *_options(full)]
    more = {"SPADE_RSURL": _with_password(full.url)}
    loaded = run("spade-spark", "replay", *WINDOW, "login", *load, cwd=tmp_path, **more)
    assert loaded.status == 0, loaded.err
    assert full.rows("login") == RIGHT
    assert PASSWORD not in "\n".join(loaded.commands) + loaded.out + loaded.err


@pytest.mark.slow
@pytest.mark.spark
def test_what_an_executor_refuses_is_one_line_on_the_driver(full, cluster, tmp_path):
    """An object is replaced after the plan was written, before a task reads it."""
    master, _ = cluster
    key = edge_logs.key("2017-11-03T18:00:00")
    words = ["login", "--skip-ace-upload", *_options(full)]
    with _changing(full, key):
        ended = run(REPLAY_SH, master, "-", *WINDOW, *words, cwd=tmp_path)
    assert ended.status == 1
    assert ended.out.splitlines()[-1] == (
        f"spade-spark: s3://{full.bucket}/edge/{key} has changed since it was planned: "
        "leave out --runtag to start a new run"
    )
    assert "Traceback" not in ended.err + ended.out
    assert "Exception" not in ended.err + ended.out
