"""TLS: the default for each kind of host, wrong certificates, and servers without TLS."""

from __future__ import annotations

import os
from unittest.mock import patch

import certifi
import pytest

from spade_spark.errors import SettingsError, WarehouseError
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo, Login
from spade_spark.warehouse.logins import connection_info
from tests.support.redshift import RedshiftServer, issue_certificate

CLUSTER = "cluster.abc.us-west-2.redshift.amazonaws.com"
WORKGROUP = "loading.123456789012.us-west-2.redshift-serverless.amazonaws.com"


def connect(server: RedshiftServer, host: str, options: str = "", sslmode: str = "") -> bool:
    """Open a session; return whether it is encrypted.

    PGHOSTADDR directs the connection to this machine. libpq verifies the host name of the URL.
    """
    database = server.url.rpartition("/")[2]
    url = f"postgres://postgres:{server.password}@{host}:{server.port}/{database}?{options}"
    settings = WarehouseSettings.model_validate({"url": url, "sslmode": sslmode})
    with (
        patch.dict(os.environ, {"PGHOSTADDR": "127.0.0.1"}),
        Session(connection_info(settings, S3Settings())) as session,
    ):
        return bool(session._connection.info.ssl_in_use)


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        (CLUSTER, "verify-full"),
        (f"{CLUSTER}.cn", "verify-full"),
        (CLUSTER.upper(), "verify-full"),
        (f"{CLUSTER}.", "verify-full"),
        (WORKGROUP, "verify-full"),
        (f"{WORKGROUP}.cn", "verify-full"),
        (f"localhost,{CLUSTER}", "verify-full"),
        ("warehouse.example.com", "require"),
        ("redshift.amazonaws.com.example.com", "require"),
        ("10.1.2.3", "require"),
        ("localhost,10.1.2.3", "require"),
        ("localhost", ""),
        ("127.0.0.1", ""),
        ("[::1]", ""),
        ("", ""),
    ],
)
def test_the_default_mode_depends_on_the_host(host, mode):
    info = ConnectionInfo.parse(f"postgres://u@{host}/d")
    parameters = info.parameters(Login("u", ""))
    assert info.tls == parameters.get("sslmode", "") == mode
    roots = certifi.where() if mode == "verify-full" else None
    assert parameters.get("sslrootcert") == roots
    # Encryption by Kerberos would take precedence over TLS, without a verified host name.
    assert parameters.get("gssencmode") == ("disable" if mode else None)


def test_a_socket_has_no_mode():
    info = ConnectionInfo.parse("postgres://u@/d?host=/tmp/socket")
    assert "sslmode" not in info.parameters(Login("u", ""))


def test_the_url_overrides_the_setting_and_the_setting_overrides_the_default():
    def mode(url: str, sslmode: str = "") -> str:
        settings = WarehouseSettings.model_validate({"url": url, "sslmode": sslmode})
        return connection_info(settings, S3Settings()).tls

    assert mode(f"postgres://u@{CLUSTER}/d", "require") == "require"
    assert mode(f"postgres://u@{CLUSTER}/d?sslmode=verify-ca", "require") == "verify-ca"
    assert mode("postgres://u@localhost/d", "verify-full") == "verify-full"
    assert mode("postgres://u@example.com/d?sslrootcert=system") == "verify-full"


def test_an_invalid_mode_is_refused():
    with pytest.raises(SettingsError, match="sslmode in the warehouse URL must be one of disable"):
        ConnectionInfo.parse("postgres://u@h/d?sslmode=full")
    with pytest.raises(ValueError, match="sslmode"):
        WarehouseSettings.model_validate({"sslmode": "full"})


@pytest.mark.parametrize("host", [CLUSTER, WORKGROUP])
def test_a_warehouse_with_a_certificate_for_its_host_name_is_accepted(start, tmp_path, host):
    certificate = issue_certificate(tmp_path, host)
    server = start(tls=certificate)
    assert connect(server, host, f"sslrootcert={certificate.root_certificate}")


def test_certifis_authorities_are_trusted_by_default(start, tmp_path, monkeypatch):
    certificate = issue_certificate(tmp_path, CLUSTER)
    monkeypatch.setattr(certifi, "where", lambda: str(certificate.root_certificate))
    assert connect(start(tls=certificate), CLUSTER)


@pytest.fixture(params=["", "PGSSLMODE=disable", "PGREQUIRESSL=0"])
def variable(request, monkeypatch):
    """A variable that libpq reads."""
    name, _, value = request.param.partition("=")
    if name:
        monkeypatch.setenv(name, value)


def test_a_certificate_for_another_host_is_refused(start, tmp_path, variable):
    issued = issue_certificate(tmp_path, "another.host")
    server = start(tls=issued)
    with pytest.raises(WarehouseError, match=r"does not match host name.*check that the host name"):
        connect(server, CLUSTER, f"sslrootcert={issued.root_certificate}")
    assert server.statements == []


def test_a_certificate_of_an_unknown_authority_is_refused(start, tmp_path, variable):
    server = start(tls=issue_certificate(tmp_path, CLUSTER))
    with pytest.raises(WarehouseError, match=r"verify failed.*name its file with sslrootcert"):
        connect(server, CLUSTER)
    assert server.statements == []


def test_a_warehouse_without_tls_is_refused(start, variable):
    """An attacker between client and server can claim that the server has no TLS."""
    server = start()
    with pytest.raises(WarehouseError, match=r"does not support SSL.*sslmode = \"disable\""):
        connect(server, CLUSTER)
    assert server.statements == []


def test_another_host_must_offer_tls(start, tmp_path):
    with pytest.raises(WarehouseError, match=r"does not offer TLS.*sslmode = \"disable\""):
        connect(start(), "warehouse.example.com")
    certificate = issue_certificate(tmp_path, "another.host")
    assert connect(start(tls=certificate), "warehouse.example.com")


def test_a_setting_or_the_url_can_turn_tls_off(start):
    server = start()
    assert not connect(server, CLUSTER, sslmode="disable")
    assert not connect(server, CLUSTER, "sslmode=disable", sslmode="verify-full")


def test_a_warehouse_that_requires_tls_says_so(start, tmp_path):
    server = start(tls=issue_certificate(tmp_path, CLUSTER), requires_tls=True)
    with pytest.raises(WarehouseError, match=r"SSL off.*sslmode = \"require\""):
        connect(server, CLUSTER, "sslmode=disable")
    assert connect(server, CLUSTER, "sslmode=require")


def test_loopback_and_sockets_need_no_tls(start, shared_database):
    assert not connect(start(), "127.0.0.1")
    with Session(ConnectionInfo.parse(shared_database)) as session:
        assert not session._connection.info.ssl_in_use


def test_a_request_for_a_sha_256_digest_is_a_permanent_error_with_two_ways_out(start):
    server = start(requests_digest=True)
    with pytest.raises(WarehouseError, match="method 13 not supported") as refused:
        connect(server, "127.0.0.1")
    assert "ALTER USER ... PASSWORD 'md5...'" in str(refused.value)
    assert "warehouse.iam_login" in str(refused.value)
    assert server.password not in str(refused.value)
