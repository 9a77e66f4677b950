"""Logins that are fetched for each session: secrets, IAM, and the keys of COPY."""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from botocore.stub import Stubber

from spade_spark.errors import ConnectionLostError, SettingsError, WarehouseError
from spade_spark.runs.load_results import TableLoaded
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse import logins
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo, Login
from spade_spark.warehouse.credentials import copy_credentials
from spade_spark.warehouse.logins import CachedLogins, ExpiringLogin, connection_info
from spade_spark.warehouse.sql import Sql
from tests.support.redshift import RedshiftServer
from tests.warehouse.harness import NEW, REPLACED, WarehouseHarness

CLUSTER_HOST = "events.abc123.us-west-2.redshift.amazonaws.com"
WORKGROUP_HOST = "loading.123456789012.eu-west-1.redshift-serverless.amazonaws.com"


@pytest.fixture
def aws(s3_server, aws_keys, monkeypatch):
    """All AWS clients use moto's server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")


@pytest.fixture
def server(shared_database, redshift_access):
    with RedshiftServer(shared_database, redshift_access, password="marked-first") as server:
        yield server


@pytest.fixture
def secret(aws, server):
    """A secret with the server's password."""
    secret = Secret(server)
    secret.client.create_secret(Name=secret.name, SecretString=secret.text)
    return secret


class Secret:
    def __init__(self, server: RedshiftServer) -> None:
        self.server = server
        self.name = f"redshift/{uuid.uuid4().hex[:8]}"
        self.client = boto3.client("secretsmanager")

    @property
    def text(self) -> str:
        login = {"engine": "redshift", "username": "postgres", "password": self.server.password}
        return json.dumps(login)

    def rotate(self, password: str) -> None:
        self.server.password = password
        self.client.put_secret_value(SecretId=self.name, SecretString=self.text)


def url_without_password(server: RedshiftServer, user: str = "") -> str:
    database = server.url.rpartition("/")[2]
    return f"postgres://{user}{'@' if user else ''}127.0.0.1:{server.port}/{database}"


def settings(url: str, **values: object) -> WarehouseSettings:
    return WarehouseSettings.model_validate({"url": url, **values})


def user_of(info: ConnectionInfo) -> str:
    with Session(info) as session:
        ((user,),) = session.rows(Sql("SELECT current_user"))
    return str(user)


@pytest.mark.parametrize("user", ["", "postgres"])
def test_the_login_is_read_from_a_secret(server, secret, user):
    info = connection_info(
        settings(url_without_password(server, user), secret=secret.name), S3Settings()
    )
    assert user_of(info) == "postgres"
    assert str(info).startswith("postgres@" if user else "(user of warehouse.secret)@")


def test_a_password_that_is_rotated_between_two_sessions_is_read_again(server, secret):
    info = connection_info(settings(url_without_password(server), secret=secret.name), S3Settings())
    assert user_of(info) == "postgres"
    secret.rotate("marked-second")
    assert user_of(info) == "postgres"


def test_a_password_that_a_rotation_has_changed_only_in_the_warehouse_is_a_transient_error(
    server, secret
):
    """The load is retried until the rotation has also changed the secret."""
    info = connection_info(settings(url_without_password(server), secret=secret.name), S3Settings())
    assert user_of(info) == "postgres"
    server.password = "marked-second"
    with pytest.raises(ConnectionLostError, match="perhaps because it is being rotated"):
        Session(info)
    secret.rotate("marked-second")
    assert user_of(info) == "postgres"


def test_an_unknown_commit_is_looked_up_with_the_password_of_that_time(server, secret, on_postgres):
    harness = WarehouseHarness(server.url, on_postgres.s3, on_postgres.client, on_postgres.bucket)
    harness.create_table()
    files = harness.write_files(*NEW)
    harness.more_settings = {"url": url_without_password(server), "secret": secret.name}

    def lose_the_commit_and_rotate() -> None:
        secret.rotate("marked-second")
        server.inject("^COMMIT", "drop_after")

    server.inject("^INSERT INTO .*replay", "call", function=lose_the_commit_and_rotate)
    harness.load_table(files)
    harness.url = server.url  # with the new password
    assert harness.rows() == REPLACED
    assert len(harness.replay_log()) == 1


def test_a_refused_secret_is_reported_without_its_value(server, secret):
    info = connection_info(settings(url_without_password(server), secret=secret.name), S3Settings())
    server.password = "marked-elsewhere"
    with pytest.raises(WarehouseError, match=r"check warehouse\.secret and its value") as refused:
        Session(info)
    assert "marked" not in f"{refused.value} {info} {info!r} {info.login()!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("marked", "is not a JSON object with username and password"),
        ('["marked"]', "is not a JSON object with username and password"),
        ('{"username": "postgres", "pass": "marked"}', "is not a JSON object with username"),
        ('{"username": "other", "password": "marked"}', "the secret in warehouse.secret has anoth"),
    ],
)
def test_an_invalid_secret_is_refused_without_its_value(server, secret, text, message):
    secret.client.put_secret_value(SecretId=secret.name, SecretString=text)
    url = url_without_password(server, "postgres")
    with pytest.raises(WarehouseError, match=message) as refused:
        Session(connection_info(settings(url, secret=secret.name), S3Settings()))
    assert "marked" not in str(refused.value)


def test_a_missing_secret_is_reported_with_the_permission(server, aws):
    info = connection_info(settings(url_without_password(server), secret="no/such"), S3Settings())
    with pytest.raises(WarehouseError, match=r"ResourceNotFoundException.*GetSecretValue"):
        Session(info)


def test_aws_that_does_not_respond_is_a_transient_error(server, aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    info = connection_info(settings(url_without_password(server), secret="any"), S3Settings())
    with pytest.raises(ConnectionLostError, match="AWS does not respond"):
        Session(info)


def test_a_cluster_of_moto_gives_a_password_for_the_database_user(server, aws):
    """GetClusterCredentials returns ``IAM:postgres``, which must be sent as the user."""
    cluster = f"cluster-{uuid.uuid4().hex[:8]}"
    boto3.client("redshift").create_cluster(
        ClusterIdentifier=cluster,
        NodeType="ra3.large",
        MasterUsername="admin",
        MasterUserPassword="Password1",
    )
    url = url_without_password(server, "postgres")
    info = connection_info(settings(url, iam_login=True, cluster=cluster), S3Settings())
    login = info.login()
    assert login.user == "IAM:postgres"
    server.logins.add(login.user, login.password)
    assert user_of(info) == "postgres"
    assert login.password not in f"{info} {info!r} {login} {login!r}"


@pytest.fixture
def stub(monkeypatch, aws_keys):
    """Stub the AWS clients, which check the parameters; yield the regions that were used."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    regions: list[tuple[str, str]] = []
    stubbers = []

    def add(service: str, method: str, response: dict[str, object], expected: dict[str, object]):
        client = boto3.client(service, region_name="us-west-2")  # type: ignore[call-overload] # the name varies
        stubber = Stubber(client)
        stubber.add_response(method, response, expected)
        stubber.activate()
        stubbers.append(stubber)

        def make(service: str, region: str):
            regions.append((service, region))
            return client

        monkeypatch.setattr(logins, "_client", make)
        return regions

    yield add
    for stubber in stubbers:
        stubber.assert_no_pending_responses()


EXPIRATION = datetime.now(timezone.utc) + timedelta(minutes=15)


def test_a_cluster_gives_a_password_for_the_database_user(stub):
    regions = stub(
        "redshift",
        "get_cluster_credentials",
        {"DbUser": "IAM:loader", "DbPassword": "marked", "Expiration": EXPIRATION},
        {
            "ClusterIdentifier": "events",
            "DbUser": "loader",
            "DbName": "dev",
            "DurationSeconds": 900,
            "AutoCreate": False,
        },
    )
    info = connection_info(
        settings(f"postgres://loader@{CLUSTER_HOST}/dev", iam_login=True), S3Settings()
    )
    assert info.login() == Login("IAM:loader", "marked")
    assert regions == [("redshift", "us-west-2")]


@pytest.mark.parametrize(
    ("url", "more", "region"),
    [
        (f"postgres://{CLUSTER_HOST}/dev", {}, "us-west-2"),
        (f"postgres://{CLUSTER_HOST.upper()}.cn/dev", {}, "us-west-2"),
        ("postgres://tunnel.local/dev", {"cluster": "events", "region": "eu-west-1"}, "eu-west-1"),
        ("postgres://tunnel.local/dev", {"cluster": "events"}, S3Settings().region),
    ],
)
def test_a_cluster_gives_a_password_for_the_iam_identity_if_the_url_has_no_user(
    stub, url, more, region
):
    regions = stub(
        "redshift",
        "get_cluster_credentials_with_iam",
        {"DbUser": "IAMR:loading-role", "DbPassword": "marked", "Expiration": EXPIRATION},
        {"ClusterIdentifier": "events", "DbName": "dev", "DurationSeconds": 900},
    )
    info = connection_info(settings(url, iam_login=True, **more), S3Settings())
    assert info.login() == Login("IAMR:loading-role", "marked")
    assert regions == [("redshift", region)]
    assert str(info).startswith("(IAM identity)@")


@pytest.mark.parametrize(
    ("url", "more", "region"),
    [
        (f"postgres://{WORKGROUP_HOST}/dev", {}, "eu-west-1"),
        (f"postgres://{WORKGROUP_HOST}.cn/dev", {}, "eu-west-1"),
        ("postgres://localhost/dev", {"workgroup": "loading", "region": "eu-west-2"}, "eu-west-2"),
    ],
)
def test_a_serverless_workgroup_gives_a_password(stub, url, more, region):
    regions = stub(
        "redshift-serverless",
        "get_credentials",
        {"dbUser": "IAMR:loading-role", "dbPassword": "marked", "expiration": EXPIRATION},
        {"workgroupName": "loading", "dbName": "dev", "durationSeconds": 900},
    )
    info = connection_info(settings(url, iam_login=True, **more), S3Settings())
    assert info.login() == Login("IAMR:loading-role", "marked")
    assert regions == [("redshift-serverless", region)]


class Minting:
    """Mints passwords that the server accepts until they expire."""

    def __init__(self, server: RedshiftServer, lifetime: timedelta) -> None:
        self.server, self.lifetime, self.minted = server, lifetime, 0
        self.accepted = True

    def __call__(self) -> ExpiringLogin:
        self.minted += 1
        expires = datetime.now(timezone.utc) + self.lifetime
        login = Login("IAM:postgres", f"marked-{self.minted}")
        self.server.logins.revoke(login.user)
        if self.accepted:
            self.server.logins.add(login.user, login.password, expires=expires)
        return ExpiringLogin(login, expires)


def minting_info(server: RedshiftServer, minting: Minting) -> ConnectionInfo:
    url = url_without_password(server)
    return replace(ConnectionInfo.parse(url), logins=CachedLogins(minting, "the permissions"))


def test_a_temporary_password_is_used_until_shortly_before_it_expires(server):
    minting = Minting(server, timedelta(minutes=15))
    info = minting_info(server, minting)
    assert [user_of(info) for _ in range(3)] == ["postgres"] * 3
    assert minting.minted == 1
    minting.lifetime = timedelta(seconds=30)
    short = minting_info(server, minting)
    assert [user_of(short) for _ in range(2)] == ["postgres"] * 2
    assert minting.minted == 3


def test_a_temporary_password_that_is_refused_is_replaced_once(server):
    minting = Minting(server, timedelta(minutes=15))
    info = minting_info(server, minting)
    user_of(info)
    server.logins.revoke("IAM:postgres")  # such as after a clock error
    assert user_of(info) == "postgres"
    assert minting.minted == 2
    minting.accepted = False
    server.logins.revoke("IAM:postgres")
    with pytest.raises(WarehouseError, match="authentication failed") as refused:
        Session(info)
    assert minting.minted == 3
    assert "marked" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "values", "message"),
    [
        (
            "postgres://u:marked@h/d",
            {"secret": "name"},
            "the password in warehouse.url and warehouse.secret contradict each other",
        ),
        (
            f"postgres://u:marked@{CLUSTER_HOST}/d",
            {"iam_login": True},
            "the password in warehouse.url and warehouse.iam_login contradict each other",
        ),
        (
            "postgres://u@h/d",
            {"iam_login": True, "secret": "name"},
            "warehouse.secret and warehouse.iam_login contradict each other",
        ),
        (
            "postgres://h/d",
            {"iam_login": True, "cluster": "a", "workgroup": "b"},
            "warehouse.cluster and warehouse.workgroup contradict each other",
        ),
        (
            "postgres://h/d",
            {"iam_login": True, "region": "us-west-2"},
            "set warehouse.cluster or warehouse.workgroup",
        ),
        (f"postgres://{CLUSTER_HOST}", {"iam_login": True}, "needs the database"),
        (f"postgres://u@{WORKGROUP_HOST}/d", {"iam_login": True}, "leave the user out"),
    ],
)
def test_contradictory_or_incomplete_settings_are_refused_by_name(url, values, message):
    with pytest.raises(SettingsError, match=message.replace(".", r"\.")) as refused:
        connection_info(settings(url, **values), S3Settings())
    assert "marked" not in str(refused.value)


def test_each_copy_uses_the_current_aws_keys(
    shared_database, redshift_access, on_postgres, tmp_path, monkeypatch
):
    """The keys expire at once, so boto3 requests new ones for the second table."""
    keys = tmp_path / "keys.json"
    program = f"import pathlib; print(pathlib.Path({str(keys)!r}).read_text())"
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'keys.py'}\n")
    (tmp_path / "keys.py").write_text(program)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

    def issue(key: str) -> None:
        expires = datetime.now(timezone.utc) + timedelta(seconds=60)
        values = {"AccessKeyId": key, "SecretAccessKey": f"secret-{key}", "SessionToken": "token"}
        keys.write_text(json.dumps({"Version": 1, **values, "Expiration": expires.isoformat()}))
        accepted.clear()
        accepted[key] = (f"secret-{key}", "token")

    accepted: dict[str, tuple[str, str]] = {}
    issue("AKIAFIRST")
    with RedshiftServer(shared_database, replace(redshift_access, keys=accepted)) as server:
        harness = WarehouseHarness(
            server.url, on_postgres.s3, on_postgres.client, on_postgres.bucket
        )
        files = [
            harness.write_files(*NEW, table=harness.create_table(name)) for name in ("one", "two")
        ]
        server.inject("^DELETE", "call", function=lambda: issue("AKIASECOND"))
        outcomes = harness.load(*files, poolsize=1)
        assert [type(outcome) for outcome in outcomes] == [TableLoaded, TableLoaded]
        copies = [sql for sql in server.statements if sql.startswith("COPY")]
    assert ["AKIAFIRST" in copies[0], "AKIASECOND" in copies[1]] == [True, True]


def test_aws_keys_that_cannot_be_renewed_are_reported(tmp_path, monkeypatch):
    program = tmp_path / "keys.py"
    (tmp_path / "config").write_text(
        f"[default]\ncredential_process = {sys.executable} {program}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    expires = datetime.now(timezone.utc) + timedelta(minutes=1)  # boto3 renews them before
    keys = {"AccessKeyId": "A", "SecretAccessKey": "marked", "Expiration": expires.isoformat()}
    program.write_text(f"print({json.dumps({'Version': 1, **keys})!r})")
    current = copy_credentials("", S3Settings())
    program.write_text("raise SystemExit('no session')")
    with pytest.raises(
        WarehouseError, match=r"(?s)cannot be renewed.*log in to AWS again"
    ) as refused:
        current()
    assert "marked" not in str(refused.value)
