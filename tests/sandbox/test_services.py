"""The services work, run concurrently, and end with their parent."""

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import psutil
import psycopg2
import pytest

from spade_spark.errors import SpadeError
from spade_spark.sandbox import postgres_process
from spade_spark.sandbox.services import PostgresServer, S3Server
from spade_spark.sandbox.subprocesses import interrupt_on_signals, run_supervised

EXIT_TIMEOUT = 10.0

PARENT = """
import sys, time
from spade_spark.sandbox.services import PostgresServer, S3Server
with S3Server() as s3, PostgresServer() as postgres:
    print(postgres.directory, flush=True)
    {body}
"""


def _s3(server):
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def _query(url, query):
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            (value,) = cursor.fetchall()[0]
            return value
    finally:
        connection.close()


def _start_parent(body):
    """Start a process with both servers; return it, its children and the database directory."""
    code = PARENT.format(body=body)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    directory = Path(parent.stdout.readline().strip())
    children = psutil.Process(parent.pid).children(recursive=True)
    assert any("postgres" in child.name() for child in children)
    return parent, children, directory


def _assert_gone(children, directory):
    _, alive = psutil.wait_procs(children, timeout=EXIT_TIMEOUT)
    assert alive == []
    deadline = time.monotonic() + EXIT_TIMEOUT
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not directory.exists()


def test_s3_stores_objects():
    with S3Server() as server:
        client = _s3(server)
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="k", Body=b"bytes")
        assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"bytes"


def test_s3_writes_no_access_log(capfd):
    with S3Server() as server:
        _s3(server).list_buckets()
    assert capfd.readouterr() == ("", "")


def test_two_s3_servers_are_independent():
    with S3Server() as one, S3Server() as other:
        _s3(one).create_bucket(Bucket="bucket")
        assert _s3(other).list_buckets()["Buckets"] == []


def test_postgres_listens_on_a_socket_that_only_its_owner_can_open():
    with PostgresServer() as server:
        assert _query(server.url(), "SHOW listen_addresses") == ""
        assert (server.directory.stat().st_mode & 0o077) == 0


def test_databases_of_one_server_are_separate():
    with PostgresServer() as server:
        one, other = server.create_database("one"), server.create_database("other")
        assert _query(one, "SELECT current_database()") == "one"
        assert _query(other, "SELECT current_database()") == "other"


def test_two_postgres_servers_run_concurrently():
    with PostgresServer() as one, PostgresServer() as other:
        assert _query(one.url(), "SELECT 1") == _query(other.url(), "SELECT 1") == 1


def test_postgres_stores_its_data_in_the_given_directory(tmp_path_factory):
    directory = Path("/tmp") / f"spade-test-{os.getpid()}"
    with PostgresServer(directory) as server:
        assert _query(server.url(), "SELECT 1") == 1
        assert (directory / "data" / "PG_VERSION").exists()
    assert not directory.exists()


def test_a_directory_that_is_not_empty_is_rejected(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(SpadeError, match="is not empty"):
        PostgresServer(tmp_path)
    assert (tmp_path / "file").exists()


def test_a_path_too_long_for_a_socket_is_rejected(tmp_path):
    with pytest.raises(SpadeError, match="too long for a Unix socket"):
        PostgresServer(tmp_path / ("x" * 100))


def test_an_exception_leaves_no_process():
    others = set(psutil.Process().children(recursive=True))
    with pytest.raises(RuntimeError), PostgresServer() as server:
        children = set(psutil.Process().children(recursive=True)) - others
        assert children
        raise RuntimeError
    _assert_gone(list(children), server.directory)


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_parent_leaves_no_process(sent):
    parent, children, directory = _start_parent("time.sleep(60)")
    parent.send_signal(sent)
    parent.wait(EXIT_TIMEOUT)
    _assert_gone(children, directory)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGHUP])
def test_signals_that_were_ignored_at_the_start_stay_ignored(default_signals, ignored):
    signal.signal(ignored, signal.SIG_IGN)
    with interrupt_on_signals():
        try:
            os.kill(os.getpid(), ignored)
        except KeyboardInterrupt:
            pytest.fail(f"{ignored.name} was not ignored")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_supervised_program_handles_signals_that_its_parent_ignores(default_signals):
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
        program = ["sh", "-c", f"kill -{int(number)} $$"]
        assert run_supervised(program, os.environ) not in {0, None}


def test_ctrl_c_on_a_terminal_does_not_reach_the_servers():
    """They are in other process groups than the parent, which ends them in order."""
    with S3Server() as s3, PostgresServer() as postgres:
        groups = {os.getpgid(server.pid) for server in (s3, postgres)}
        assert os.getpgid(0) not in groups


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")
def test_postgres_ends_even_if_its_supervisor_is_killed():
    with PostgresServer() as server:
        children = psutil.Process(server.pid).children(recursive=True)
        os.kill(server.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=EXIT_TIMEOUT)
    subprocess.run(["rm", "-r", server.directory], check=True)
    assert alive == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_root_copies_programs_that_the_user_nobody_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres_process, "_can_run", lambda *_: False)
    nobody = pwd.getpwnam("nobody")
    account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    programs = postgres_process._readable_programs(tmp_path, account)
    assert programs.is_relative_to(tmp_path)
    process = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True)
    assert b"PostgreSQL" in process.stdout
    assert programs.stat().st_uid == nobody.pw_uid


def test_a_server_that_cannot_start_reports_the_error(capfd, monkeypatch):
    monkeypatch.setenv("PATH", "")
    server = PostgresServer()
    monkeypatch.setattr(
        server, "_arguments", (str(server.directory / "missing"),)
    )  # no such directory
    with pytest.raises(SpadeError, match="did not start"), server:
        pass
    assert "missing" in capfd.readouterr().err
    server.directory.rmdir()
