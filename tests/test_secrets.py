"""No output contains a secret, whatever fails.

Each secret contains marks. The tests search for them, plain and encoded, in everything that a
command and its children print, log or write to files, in Spark's event log and web UI, in all
objects of the output, and in the arguments of all child processes.
"""

from __future__ import annotations

import base64
import gzip
import os
import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from unittest import mock
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from spade_spark.cli.main import main
from tests.chaos.processes import COMMAND, ProcessTree
from tests.chaos.thread_spark import on_threads
from tests.lookups.user_service import UserService
from tests.support import edge_logs
from tests.support.faulty_s3 import FaultyS3
from tests.support.harness import WINDOW, ReplayHarness, log_full_window
from tests.support.processes import free_port
from tests.support.redshift import RedshiftServer, S3Access
from tests.support.secret_markers import SecretMarkers

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads processes from /proc"),
    pytest.mark.timeout(240),
]

REPOSITORY = Path(__file__).parent.parent

PASSWORD = "qzPassOne@/:%?#'\\ &qzPassTwo"
KEY = "AKIAQZKEYONE"
SECRET = "qzSecretOne/+qzSecretTwo="
TOKEN = "qzTokenOne//+qzTokenTwo=="
ROLE = "arn:aws:iam::123456789012:role/qzRoleOne-qzRoleTwo"
USERS = "qzUsersOne:@/é%qzUsersTwo"
MARKS = SecretMarkers(
    {
        "password": ("qzPassOne", "qzPassTwo"),
        "access key": ("QZKEYONE",),
        "secret key": ("qzSecretOne", "qzSecretTwo"),
        "session token": ("qzTokenOne", "qzTokenTwo"),
        "role": ("qzRoleOne", "qzRoleTwo"),
        "user service's password": ("qzUsersOne", "qzUsersTwo"),
    }
)
PEOPLE = edge_logs.table(
    "login",
    edge_logs.column("time", "f@timestamp@unix"),
    edge_logs.column("login", "varchar", options="(20)"),
    edge_logs.column("n", "int"),
    edge_logs.column("id", "userIDWithMapping", supporting="login"),
    version=3,
)
DDL = """
INSERT INTO infra.table_version VALUES ('login', 3, '2017-02-01'), ('chat', 1, '2017-01-01');
CREATE TABLE physical.login (time timestamp, login varchar(20), n int, id bigint);
CREATE TABLE physical.chat (time timestamp, text varchar(100));
INSERT INTO physical.login VALUES ('2017-11-03 10:30:00', 'wrong', 1, 1);
INSERT INTO physical.chat VALUES ('2017-11-03 10:30:00', 'wrong');
"""


class Watched:
    """A command, everything that it writes, and the arguments of its child processes."""

    def __init__(self, folder: Path, harness: ReplayHarness, environ: dict[str, str]) -> None:
        self.folder = folder
        self.harness = harness
        self.environ = environ
        self.pages = b""
        self.printed = ""
        self.status = 0
        self.arguments: set[str] = set()
        self.during = lambda tree: None

    def run(self, *arguments: str, command: tuple[str, ...] = COMMAND) -> None:
        """Run the command and wait for its end."""
        tree = ProcessTree(arguments, self.environ, self.folder / "printed.txt", command)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(tree, arguments, ended))
        watch.start()
        try:
            self.during(tree)
            self.status = tree.wait(200)
        finally:
            ended.set()
            watch.join()
        self.printed = " ".join(tree.output.split())

    def replay(self, *options: str, level: str = "DEBUG") -> None:
        common = ["--conf", str(self.harness.conf), "--runtag", self.harness.tag, "--log", level]
        self.run("replay", *WINDOW, "login", "chat", *common, *options)

    def leaked_secrets(self) -> dict[str, list[str]]:
        """Return the names of the leaked secrets, by place."""
        secrets = {place: MARKS.found_in(data) for place, data in self._written()}
        return {place: names for place, names in secrets.items() if names}

    def _written(self):
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path != self.harness.conf:
                yield str(path), path.read_bytes()
        yield "Spark's web UI", self.pages
        yield "arguments of child processes", "\n".join(self.arguments).encode()
        for entry in self.harness.store.list("out/"):
            yield entry.key, self.harness.store.read(entry.key)

    def _watch(self, tree: ProcessTree, typed: tuple[str, ...], ended: threading.Event) -> None:
        """Record the arguments of all processes except those that the user typed."""
        own: set[tuple[str, ...]] = set()
        while not ended.wait(0.05):
            members = tree.processes()
            own |= {
                tuple(member.arguments)
                for member in members
                if member.pid == tree.driver.pid and member.arguments[-len(typed) :] == typed
            }
            # Between fork and exec, a child still has the arguments of the driver.
            for member in members:
                if tuple(member.arguments) not in own:
                    self.arguments.add(" ".join(member.arguments))


@pytest.fixture
def users():
    service = UserService()
    service.ids = {"ann": 7, "zoë'\\": 8}
    with closing(service):
        yield service


@pytest.fixture
def faulty(s3_settings):
    with FaultyS3(s3_settings.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def redshift(database, s3_server):
    access = S3Access(
        s3_server.endpoint_url, "us-west-2", {KEY: (SECRET, TOKEN)}, {ROLE: "(?!denied)"}
    )
    with RedshiftServer(database, access, password=PASSWORD) as server:
        yield server


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, database):
    harness = ReplayHarness(
        tmp_path, bucket, s3_settings, database, tables=(PEOPLE, edge_logs.CHAT), ddl=DDL
    )
    log_full_window(harness)
    return harness


@pytest.fixture
def watched(tmp_path, harness, users, faulty, redshift):
    """A command that is given all secrets."""
    temporary, events = tmp_path / "temporary", tmp_path / "events"
    temporary.mkdir()
    events.mkdir()
    harness.conf.write_text(
        harness.conf.read_text().replace(
            '"spark.ui.enabled" = "false"',
            f'"spark.ui.enabled" = "false"\n"spark.eventLog.enabled" = "true"\n'
            f'"spark.eventLog.compress" = "false"\n"spark.eventLog.dir" = "file://{events}"',
        )
    )
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {
        **{name: os.environ[name] for name in ("JAVA_HOME", "PYTHONPATH") if name in os.environ},
        "PATH": programs,
        "HOME": str(tmp_path),
        "TMPDIR": str(temporary),
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={temporary}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "SPADE_RSURL": redshift.url,
        "SPADE_S3__ENDPOINT_URL": faulty.endpoint_url,
        "SPADE_LOOKUPS__USERS__URL": f"http://reader:{quote(USERS, safe='')}@{users.host}/lookup",
    }
    return Watched(tmp_path, harness, environ)


def read_web_ui(watched, faulty):
    """Enable Spark's web UI and read it while a task waits for its first object."""
    port = free_port()
    conf = watched.harness.conf
    conf.write_text(
        conf.read_text().replace('"spark.ui.enabled" = "false"', f'"spark.ui.port" = "{port}"')
    )
    base = f"http://127.0.0.1:{port}"

    def read_pages():
        api = urlopen(f"{base}/api/v1/applications").read()
        application = api.split(b'"id" : "')[1].split(b'"')[0].decode()
        watched.pages = b"".join(
            urlopen(base + path).read()
            for path in ("/environment/", f"/api/v1/applications/{application}/environment")
        )

    faulty.inject("GET .*/edge/.*gz", "call", function=read_pages)


@pytest.mark.parametrize("encode", [str, quote, lambda text: quote(text, safe="")])
@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
def test_a_mark_is_found_in_plain_url_encoded_base64_and_compressed_text(encode, before):
    text = f"{before}{encode(PASSWORD)}".encode()
    for data in (text, base64.b64encode(text), base64.urlsafe_b64encode(text), gzip.compress(text)):
        assert any(
            "password" in name
            for name in MARKS.found_in(b"some " + data if data[0] != 31 else data)
        )
    assert MARKS.found_in(b"nothing of the kind, qzPass, qzUsers") == []


@pytest.mark.slow
@pytest.mark.spark
def test_a_replay_leaks_no_secret(watched, faulty, redshift):
    read_web_ui(watched, faulty)
    watched.replay()
    assert watched.status == 0, watched.printed
    assert any(SECRET in statement for statement in redshift.statements)
    assert b"spark.eventLog.dir" in watched.pages
    assert list((watched.folder / "events").rglob("*"))
    assert any("pyspark.daemon" in line for line in watched.arguments)
    assert watched.leaked_secrets() == {}


@pytest.mark.slow
@pytest.mark.spark
def test_replay_sh_does_not_pass_on_the_secret_in_its_command_line(watched, faulty, redshift):
    read_web_ui(watched, faulty)
    url = watched.environ.pop("SPADE_RSURL")
    options = ["--conf", str(watched.harness.conf), "--log", "DEBUG"]
    watched.run(
        "local[2]",
        url,
        *WINDOW,
        "login",
        "chat",
        *options,
        command=(str(REPOSITORY / "replay.sh"),),
    )
    assert watched.status == 0, watched.printed
    assert any("SparkSubmit" in line for line in watched.arguments)
    assert any("pyspark.daemon" in line for line in watched.arguments)
    assert watched.leaked_secrets() == {}


@pytest.mark.slow
@pytest.mark.spark
def test_a_url_on_the_command_line_is_not_passed_on(watched, faulty):
    read_web_ui(watched, faulty)
    url = watched.environ.pop("SPADE_RSURL")
    watched.replay("--rsurl", url)
    assert watched.status == 0, watched.printed
    assert watched.leaked_secrets() == {}


@pytest.mark.slow
@pytest.mark.spark
def test_a_user_service_that_is_down_leaks_no_secret(watched, faulty, users):
    read_web_ui(watched, faulty)
    users.close()
    watched.replay()
    assert watched.status == 1
    assert "the user service at 127.0.0.1 did not return a user id" in watched.printed
    assert watched.leaked_secrets() == {}


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("kind", ["denied", "bad_signature"])
def test_objects_that_s3_denies_to_tasks_leak_no_secret(watched, faulty, kind):
    faulty.inject("GET .*/edge/.*gz", kind, times=100)
    watched.replay()
    assert watched.status == 1
    assert "S3 refused the request (403" in watched.printed
    assert watched.leaked_secrets() == {}


@pytest.mark.slow
@pytest.mark.spark
def test_a_replay_that_is_killed_leaves_no_secret_behind(watched, faulty, redshift):
    trees: list[ProcessTree] = []
    watched.during = trees.append
    redshift.inject("^COPY", "call", function=lambda: trees[0].driver.send_signal(signal.SIGKILL))
    watched.replay()
    assert watched.status == -signal.SIGKILL
    assert watched.leaked_secrets() == {}


@pytest.fixture
def transformed(watched):
    """A command after the transform, which ran in this process; loads need no Spark."""
    options = [
        "--conf",
        str(watched.harness.conf),
        "--runtag",
        watched.harness.tag,
        "--skip-ace-upload",
    ]
    with on_threads(), mock.patch.dict(os.environ, watched.environ):
        assert main(["replay", *WINDOW, "login", "chat", *options]) == 0
    return watched


def test_a_load_with_keys_and_with_a_role_leaks_no_secret(transformed, redshift):
    transformed.replay("--skip-transform")
    assert transformed.status == 0, transformed.printed
    transformed.environ["SPADE_WAREHOUSE__IAM_ROLE"] = ROLE
    transformed.replay("--skip-transform", "--force")
    assert transformed.status == 0, transformed.printed
    assert any(ROLE in statement for statement in redshift.statements)
    assert transformed.leaked_secrets() == {}


def test_an_undo_its_failures_and_the_list_of_runs_leak_no_secret(transformed, redshift):
    conf = ("--conf", str(transformed.harness.conf))
    transformed.replay("--skip-transform")
    redshift.inject("^DELETE", message="Internal error", detail=PASSWORD, times=100)
    transformed.run("undo", transformed.harness.tag, *conf)
    assert transformed.status == 1, transformed.printed
    assert "Internal error" in transformed.printed
    assert transformed.leaked_secrets() == {}
    redshift.clear_faults()
    for command in (
        ("undo", transformed.harness.tag),
        ("runs",),
        ("runs", transformed.harness.tag, "--json"),
    ):
        transformed.run(*command, *conf)
        assert transformed.status == 0, transformed.printed
        assert transformed.leaked_secrets() == {}
    redshift.password = "another"
    for name in ("undo", "runs"):
        transformed.run(name, transformed.harness.tag, *conf)
        assert "password authentication failed" in transformed.printed
        assert transformed.leaked_secrets() == {}


def test_a_role_that_copy_may_not_assume_leaks_no_secret(transformed):
    transformed.environ["SPADE_WAREHOUSE__IAM_ROLE"] = f"{ROLE}-other"
    transformed.replay("--skip-transform")
    assert transformed.status == 1
    assert "not authorized to assume IAM Role" in transformed.printed
    assert transformed.leaked_secrets() == {}


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_keys_that_copy_rejects_leak_no_secret(transformed, name):
    transformed.environ[name] += "x"
    transformed.replay("--skip-transform")
    assert transformed.status == 1
    assert "S3ServiceException" in transformed.printed
    assert transformed.leaked_secrets() == {}


def test_load_errors_leak_no_secret(transformed):
    transformed.harness.sql("ALTER TABLE physical.login ALTER COLUMN login TYPE int USING 1")
    transformed.replay("--skip-transform")
    assert transformed.status == 1
    assert "COPY rejected values" in transformed.printed
    assert transformed.leaked_secrets() == {}


@pytest.mark.parametrize("action", ["refuse", "drop_before"])
@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("^SELECT version", PASSWORD),
        ("^COPY", f"{PASSWORD} {SECRET} {TOKEN}"),
        ("^DELETE", f"{PASSWORD} {SECRET} {TOKEN}"),
        ("^COMMIT", f"{PASSWORD} {SECRET} {TOKEN}"),
    ],
)
def test_a_warehouse_that_repeats_secrets_leaks_no_secret(
    transformed, redshift, statement, detail, action
):
    redshift.inject(statement, action, message="Internal error", detail=detail)
    transformed.replay("--skip-transform")
    assert transformed.status in (0, 1), transformed.printed
    assert transformed.leaked_secrets() == {}


def test_a_wrong_password_is_not_shown(watched, redshift):
    redshift.password = "another"
    for command in ("replay", "plan"):
        watched.run(
            command, *WINDOW, "login", "--conf", str(watched.harness.conf), "--log", "DEBUG"
        )
        assert watched.status == 1
        assert "password authentication failed" in watched.printed
    assert watched.leaked_secrets() == {}


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda url: url.replace("postgres://", "postgres:/"),
        lambda url: url + "?sslmod=require",
        lambda url: url.replace("127.0.0.1", "host.invalid"),
        lambda url: url.replace("127.0.0.1:", "127.0.0.1:x"),
    ],
)
def test_an_invalid_warehouse_url_is_not_repeated(watched, corrupt):
    watched.environ["SPADE_RSURL"] = corrupt(watched.environ["SPADE_RSURL"])
    watched.replay()
    assert watched.status in (1, 2)
    assert "warehouse" in watched.printed
    assert watched.leaked_secrets() == {}


def test_a_setting_of_the_wrong_type_is_not_repeated(watched):
    watched.environ |= {"SPADE_LOOKUPS__USERS__TIMEOUT": USERS}
    watched.replay()
    assert watched.status == 1
    assert "lookups.users.timeout" in watched.printed
    assert watched.leaked_secrets() == {}


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_plan_leaks_no_secret(watched, extra):
    options = ["--conf", str(watched.harness.conf), "--log", "DEBUG", *extra]
    for role in ("", ROLE):
        watched.environ["SPADE_WAREHOUSE__IAM_ROLE"] = role
        watched.run("plan", *WINDOW, "login", "chat", *options)
        assert watched.status == 0, watched.printed
        assert "COPY" in watched.printed
        assert watched.leaked_secrets() == {}


def test_a_plan_that_s3_denies_leaks_no_secret(watched, faulty):
    for kind in ("denied", "bad_signature"):
        faulty.inject("GET .*list-type", kind)
        watched.run("plan", *WINDOW, "login", "--conf", str(watched.harness.conf), "--log", "DEBUG")
        assert watched.status == 1
        assert "403" in watched.printed
    assert watched.leaked_secrets() == {}
