"""Logging in to the stand-in: passwords, IAM users, the SHA-256 request, TLS and parameters."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from tests.support.redshift import issue_certificate


def log_in(server, user="postgres", password=None, **parameters):
    """Log in and run a query; return its row."""
    with (
        closing(
            psycopg2.connect(
                server.url, user=user, password=password or server.password, **parameters
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT current_user, current_setting('search_path'), "
            "current_setting('statement_timeout')"
        )
        return cursor.fetchone()


def test_a_request_for_the_sha_256_digest_ends_the_connection(start):
    server = start(requests_digest=True)
    with pytest.raises(psycopg2.OperationalError, match="authentication method 13 not supported"):
        log_in(server)


def test_the_password_can_change_while_the_server_runs(start):
    server = start(password="first")
    log_in(server, password="first")
    server.password = "second"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        log_in(server, password="first")
    log_in(server, password="second")


def test_an_iam_user_logs_in_as_its_database_user_until_the_password_expires(start):
    server = start()
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    server.logins.add("IAM:postgres", "temporary", expires=later)
    server.logins.add("IAMR:loading-role", "of-role", database_user="postgres", expires=later)
    assert log_in(server, "IAM:postgres", "temporary")[0] == "postgres"
    assert log_in(server, "IAMR:loading-role", "of-role")[0] == "postgres"
    server.logins.add("IAM:other", "old", "postgres", datetime.now(timezone.utc))
    with pytest.raises(psycopg2.OperationalError, match='failed for user "IAM:other"'):
        log_in(server, "IAM:other", "old")


def test_a_user_can_have_several_passwords_and_loses_them_all_at_once(start):
    server = start(password="of-all")
    server.logins.add("postgres", "one")
    server.logins.add("postgres", "two")
    for password in ("one", "two"):
        log_in(server, password=password)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        log_in(server, password="of-all")
    server.logins.revoke("postgres")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        log_in(server, password="one")


def test_parameters_of_the_startup_message_apply_to_the_session(start):
    options = "-c search_path=pg_catalog -c statement_timeout=4321"
    assert log_in(start(), options=options)[1:] == ("pg_catalog", "4321ms")


def test_a_startup_parameter_can_be_one_of_redshifts_own(start):
    options = "-c query_group=loading --wlm_query_slot_count=2"
    with closing(psycopg2.connect(start().url, options=options)) as connection:
        cursor = connection.cursor()
        for name, value in (("query_group", "loading"), ("wlm_query_slot_count", "2")):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (value,)


def test_a_startup_parameter_that_redshift_does_not_have_is_refused(start):
    with pytest.raises(psycopg2.OperationalError, match="unrecognized configuration parameter"):
        log_in(start(), options="-c lock_timeout=1")


def test_a_connection_is_encrypted_and_its_certificate_can_be_verified(start, tmp_path):
    tls = issue_certificate(tmp_path)
    server = start(tls=tls, requires_tls=True)
    with closing(
        psycopg2.connect(
            server.url, host="localhost", sslmode="verify-full", sslrootcert=tls.root_certificate
        )
    ) as connection:
        assert connection.info.ssl_in_use


def test_a_certificate_of_another_host_is_detected(start, tmp_path):
    tls = issue_certificate(tmp_path, "cluster.abc.us-west-2.redshift.amazonaws.com")
    server = start(tls=tls)
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        log_in(server, sslmode="verify-full", sslrootcert=tls.root_certificate)
    log_in(server, sslmode="verify-ca", sslrootcert=tls.root_certificate)


def test_a_connection_without_tls_is_refused_where_the_server_requires_it(start, tmp_path):
    server = start(tls=issue_certificate(tmp_path), requires_tls=True)
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry .* SSL off"):
        log_in(server, sslmode="disable")


def test_each_response_is_delayed_by_the_latency(start, monkeypatch):
    server = start()
    delays: list[float] = []
    monkeypatch.setattr("tests.support.redshift.session.time.sleep", delays.append)
    server.latency = 0.0217
    log_in(server)
    assert delays.count(0.0217) == 3  # the login, BEGIN and the query
