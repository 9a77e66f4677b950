"""The entry points as users run them: replay.sh and spark-submit, locally and on a cluster."""

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

EXPECTED = [
    BEFORE,
    ("2017-11-03 10:00:00", "ann", 1),
    ("2017-11-03 11:59:59", "zoë'\\", None),
    AFTER,
]

FAKE_SPARK_SUBMIT = """#!/bin/sh
printf 'rsurl=%s\\n' "${SPADE_RSURL-unset}"
printf '%s\\n' "$@"
"""


@pytest.fixture
def replay_sh(tmp_path):
    """Run replay.sh of a checkout whose spark-submit prints its arguments, one per line."""
    shutil.copy(REPLAY_SH, tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "spark-submit"
    program.write_text(FAKE_SPARK_SUBMIT)
    program.chmod(0o755)

    def run_script(*arguments):
        return subprocess.run(
            [tmp_path / "replay.sh", *arguments],
            env=environment(PATH=f"{tmp_path}/bin:/usr/bin:/bin"),
            capture_output=True,
            text=True,
            check=False,
        )

    return run_script


@pytest.mark.parametrize(
    ("argument", "master"),
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
def test_a_host_becomes_a_master_url_and_a_url_is_unchanged(replay_sh, argument, master):
    printed = replay_sh(argument, "-", *WINDOW, "login").stdout.splitlines()
    assert printed[1:3] == ["--master", master]


def test_the_job_gets_the_arguments_unchanged_and_the_url_in_the_environment(replay_sh, tmp_path):
    url = f"postgres://me:{PASSWORD}@db/dev"
    printed = replay_sh("yarn", url, *WINDOW, "login", "--conf", "a b.toml").stdout.splitlines()
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


def test_a_dash_means_no_warehouse(replay_sh):
    printed = replay_sh("yarn", "-", *WINDOW, "login", "--skip-ace-upload").stdout.splitlines()
    assert printed[0] == "rsurl=unset"


def test_too_few_arguments_print_the_usage(replay_sh):
    done = replay_sh("yarn", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "replay.sh MASTER REDSHIFT_TARGET START END [TABLE ... | --all-tables] [options]\n"
    )


def test_help_is_fast():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [PROGRAMS / "spade-spark", "replay", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(f"\nspade-spark replay --help: {median:.2f} s, median of 3")
    assert "--skip-ace-upload" in done.stdout
    assert median < 1.5  # half a second on an idle machine


@pytest.fixture
def empty_harness(tmp_path, bucket, s3_settings, database):
    return ReplayHarness(tmp_path, bucket, s3_settings, database)


@pytest.fixture
def harness(empty_harness):
    """The harness, with the logs of the window."""
    log_full_window(empty_harness)
    return empty_harness


def _with_password(url):
    """Add a password to the URL, which the server does not check."""
    return url.replace("postgres@", f"postgres:{PASSWORD}@")


def _options(harness):
    return ["--conf", harness.conf, "--runtag", harness.tag]


def _assert_password_hidden(ended):
    # The command line of replay.sh itself has the URL until its exec.
    commands = "\n".join(command for command in ended.commands if "replay.sh" not in command)
    assert "java" in commands
    assert "jobs/replay.py" in commands
    for text in (commands, ended.out, ended.err):
        assert PASSWORD not in text


@pytest.mark.spark
def test_replay_sh_replaces_the_window_and_hides_the_password(harness, tmp_path):
    url = _with_password(harness.url)
    arguments = ["local[2]", url, *WINDOW, "login", "chat", *_options(harness)]
    ended = run(REPLAY_SH, *arguments, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert harness.rows("login") == EXPECTED
    _assert_password_hidden(ended)


@pytest.mark.slow
@pytest.mark.spark
def test_spark_submit_replaces_the_window_and_its_event_log_has_no_password(harness, tmp_path):
    """Spark logs the arguments, and the URL is one of them."""
    events = tmp_path / "events"
    events.mkdir()
    confs = {
        "spark.master": "local[2]",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }
    options = [part for name, value in confs.items() for part in ("--conf", f"{name}={value}")]
    arguments = [*WINDOW, "login", "--rsurl", _with_password(harness.url), *_options(harness)]
    ended = run("spark-submit", *options, JOB, *arguments, cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert harness.rows("login") == EXPECTED
    (log,) = events.iterdir()
    logged = log.read_text("utf-8")
    assert "SparkListenerEnvironmentUpdate" in logged
    assert "sun.java.command" in logged
    assert PASSWORD not in logged
    assert PASSWORD not in ended.out + ended.err


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ["lgoin", "--skip-ace-upload"],
            2,
            "spade-spark: Blueprint has no table lgoin (did you mean login?)",
        ),
        (
            ["login", "--skip-transform"],
            1,
            "spade-spark: s3://{bucket}/out/{tag}/ has no manifest: the run does not exist or ",
        ),
    ],
)
def test_spark_submit_passes_on_the_exit_status_and_message_of_the_job(
    harness, tmp_path, arguments, status, line
):
    variables = {"SPADE_RSURL": harness.url}
    job = [JOB, *WINDOW, *arguments, *_options(harness)]
    ended = run("spark-submit", *job, cwd=tmp_path, **variables)
    assert ended.status == status
    # spark-submit writes both streams of the job to its standard output.
    (message,) = ended.out.splitlines()
    assert message.startswith(line.format(bucket=harness.bucket, tag=harness.tag))


@pytest.mark.slow
def test_the_debug_log_has_no_credentials(harness, tmp_path):
    """The DEBUG log of the S3 client would have every request with its session token."""
    variables = {"SPADE_RSURL": _with_password(harness.url), "AWS_SESSION_TOKEN": "marked-token"}
    arguments = [*WINDOW, "login", "--skip-transform", "--log", "DEBUG", *_options(harness)]
    ended = run("spade-spark", "replay", *arguments, cwd=tmp_path, **variables)
    assert ended.status == 1
    assert "has no manifest" in ended.err
    assert "marked" not in ended.err + ended.out


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a cluster of one worker on this machine; yield its URL and the worker's folder."""
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
def _daemon(folder, name, *arguments, ready):
    """Start a process of the cluster and wait until its log contains ``ready``."""
    log = folder / f"{name}.log"
    loopback = ["--host", "127.0.0.1", "--webui-port", "0"]
    command = [PROGRAMS / "spark-class", f"org.apache.spark.deploy.{name}", *loopback, *arguments]
    variables = {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "marked-secret-key",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=out,
            cwd=folder,
            env=environment(**variables),
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
def _changing(harness, key):
    """Replace an object once the plan exists, before Spark has started its tasks."""

    def change():
        plan = f"out/{harness.tag}/_plan.json"
        while not stop.wait(0.02):
            if list(harness.store.list(plan)):
                harness.put(key, edge_logs.log([b"another"]))
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
    """Return the applications whose executors the worker has run."""
    return {folder.name for folder in work.glob("app-*")}


@pytest.mark.slow
@pytest.mark.spark
def test_a_cluster_transforms_and_a_separate_command_loads(harness, cluster, tmp_path):
    master, work = cluster
    before = _applications(work)
    skip = ["--skip-ace-upload", *_options(harness)]
    transformed = run(REPLAY_SH, master, "-", *WINDOW, "login", "chat", *skip, cwd=tmp_path)
    assert transformed.status == 0, transformed.err
    assert len(_applications(work) - before) == 1
    load = ["--skip-transform", *_options(harness)]
    variables = {"SPADE_RSURL": _with_password(harness.url)}
    loaded = run("spade-spark", "replay", *WINDOW, "login", *load, cwd=tmp_path, **variables)
    assert loaded.status == 0, loaded.err
    assert harness.rows("login") == EXPECTED
    assert PASSWORD not in "\n".join(loaded.commands) + loaded.out + loaded.err


@pytest.mark.slow
@pytest.mark.spark
def test_an_error_of_an_executor_is_one_line_on_the_driver(harness, cluster, tmp_path):
    """An object changes after the plan was written, before a task reads it."""
    master, _ = cluster
    key = edge_logs.key("2017-11-03T18:00:00")
    arguments = ["login", "--skip-ace-upload", *_options(harness)]
    with _changing(harness, key):
        ended = run(REPLAY_SH, master, "-", *WINDOW, *arguments, cwd=tmp_path)
    assert ended.status == 1
    assert ended.out.splitlines()[-1] == (
        f"spade-spark: s3://{harness.bucket}/edge/{key} has changed since the plan was created: "
        "leave out --runtag to start a new run"
    )
    assert "Traceback" not in ended.err + ended.out
    assert "Exception" not in ended.err + ended.out
