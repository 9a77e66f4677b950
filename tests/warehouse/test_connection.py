"""Connection URLs, and errors of the driver, translated and without secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    ConnectionLostError,
    SerializationError,
    SettingsError,
    WarehouseError,
)
from spade_spark.warehouse.connection import Session, StatementError, UnconfirmedCommitError
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.sql import Secret, Sql
from tests.support.redshift import CONFLICTS


def test_a_url_is_read_with_all_its_parts():
    url = (
        "postgres://me:secret@cluster.abc.us-west-2.redshift.amazonaws.com:5555/dev?sslmode=require"
    )
    info = ConnectionInfo.parse(url)
    assert (info.user, info.password, info.port) == ("me", "secret", "5555")
    assert (info.database, info.options) == ("dev", (("sslmode", "require"),))
    assert str(info) == "me@cluster.abc.us-west-2.redshift.amazonaws.com:5555/dev"


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("postgres://u@cluster.abc.us-west-2.redshift.amazonaws.com/dev", "5439"),
        ("postgres://u@localhost/dev", "5432"),
        ("postgres://u@/dev?host=/tmp/socket", "5432"),
    ],
)
def test_a_missing_port_gets_the_default(url, port):
    assert ConnectionInfo.parse(url).port == port


@given(st.text("abc/@:?#%&= é'\"\\", max_size=12))
def test_a_percent_encoded_password_may_contain_any_character(password):
    encoded = "".join(f"%{byte:02X}" for byte in password.encode())
    info = ConnectionInfo.parse(f"postgres://me:{encoded}@host:5439/dev")
    assert (info.password, info.host, info.database) == (password, "host", "dev")


@pytest.mark.parametrize("password", ["p@ss", "a/b", "a#b", "a:b", "p@s/s?w#rd"])
def test_a_password_without_percent_encoding_is_accepted(password):
    info = ConnectionInfo.parse(f"postgres://me:{password}@host:5439/dev")
    assert (info.password, info.host, info.database) == (password, "host", "dev")


@pytest.mark.parametrize("url", ["mysql://u:marked@h/d", "marked", "postgres://u:marked@h:x/d"])
def test_an_invalid_url_is_rejected_without_repeating_it(url):
    with pytest.raises(SettingsError, match="must look like postgres://") as error_info:
        ConnectionInfo.parse(url)
    assert "marked" not in str(error_info.value)


@pytest.mark.parametrize("part", ["user%00", "user:hidden%00"])
def test_a_nul_character_is_rejected_without_repeating_the_url(part):
    with pytest.raises(SettingsError, match="NUL character") as rejected:
        ConnectionInfo.parse(f"postgres://{part}@localhost/dev")
    assert "hidden" not in str(rejected.value)


def test_a_value_that_python_cannot_represent_is_an_error_of_its_statement(shared_database):
    with (
        Session(ConnectionInfo.parse(shared_database)) as session,
        pytest.raises(StatementError, match=r"cannot be read: year -44 .*SELECT TIMESTAMP"),
    ):
        session.rows(Sql("SELECT TIMESTAMP '0044-03-15 BC'"))


def test_the_environment_cannot_replace_the_address_of_this_machine(shared_database, monkeypatch):
    """Connections to this machine are not encrypted."""
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    with Session(ConnectionInfo.parse(shared_database)) as session:
        assert session.rows(Sql("SELECT 1")) == [(1,)]


def test_an_unknown_option_is_rejected():
    with pytest.raises(SettingsError, match="unknown option"):
        ConnectionInfo.parse("postgres://u:marked@h/d?password=marked")


def test_connection_info_never_shows_its_password():
    info = ConnectionInfo.parse("postgres://me:marked@host/dev")
    assert "marked" not in f"{info} {info!r}"


def test_a_wrong_password_is_a_permanent_error(redshift):
    url = redshift.url.replace(":p%40ss", ":marked")
    with pytest.raises(WarehouseError, match="password authentication failed") as error_info:
        Session(ConnectionInfo.parse(url))
    assert "marked" not in str(error_info.value)


def test_a_missing_database_is_a_permanent_error(shared_database):
    url = shared_database.replace("/warehouse_", "/no_such_")
    with pytest.raises(WarehouseError, match="does not exist; check user, password and database"):
        Session(ConnectionInfo.parse(url))


def test_a_syntax_error_does_not_repeat_the_secrets_of_its_statement(shared_database):
    with Session(ConnectionInfo.parse(shared_database)) as session:
        with pytest.raises(StatementError) as error_info:
            session.run(Sql("COPY x FROM ", Secret("marked"), " KEY ", Secret("other")))
        assert "marked" not in str(error_info.value)
        assert error_info.value.__cause__ is None
        with pytest.raises(StatementError, match=r"\*\*\*") as error_info:
            session.run(Sql("SELECT CAST(", Secret("marked"), " AS integer)"))
        assert "marked" not in str(error_info.value)


@pytest.mark.parametrize(
    ("action", "options", "error"),
    [
        ("refuse", {}, SerializationError),
        (
            "refuse",
            {"sqlstate": "40001", "message": "could not serialize access"},
            SerializationError,
        ),
        ("refuse", {"sqlstate": "40P01", "message": "deadlock detected"}, SerializationError),
        ("refuse", {"sqlstate": "53100", "message": "Disk Full"}, StatementError),
        ("refuse", {"sqlstate": "57P01", "message": "terminating connection"}, ConnectionLostError),
        ("drop_before", {}, ConnectionLostError),
        ("drop_after", {}, ConnectionLostError),
    ],
)
def test_errors_are_translated_by_whether_a_retry_can_help(redshift, action, options, error):
    with Session(ConnectionInfo.parse(redshift.url)) as session:
        redshift.inject("^SELECT 1", action, detail="", **options)
        with pytest.raises(error):
            session.run(Sql("SELECT 1"))


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_every_conflict_with_another_transaction_is_retried(redshift, conflict):
    with Session(ConnectionInfo.parse(redshift.url)) as session:
        redshift.inject("^SELECT 1", **CONFLICTS[conflict])
        with pytest.raises(SerializationError, match="a concurrent transaction prevented this one"):
            session.run(Sql("SELECT 1"))


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        ('relation "infra.replay" does not exist', "42P01"),
        ("permission denied for relation login", "42501"),
        ("column 1018 does not exist", "42703"),
        ("Load into table '1023' failed. Check 'stl_load_errors' system table", "XX000"),
        ("Query (28572825) cancelled on user's request", "57014"),
        (
            'Query (28572825) cancelled by WLM abort action of Query Monitoring Rule "limit"',
            "57014",
        ),
        ("Disk Full", "53100"),
        ("cannot execute INSERT in a read-only transaction", "25006"),
    ],
)
def test_errors_that_a_retry_would_meet_again_are_not_retried(redshift, message, sqlstate):
    with Session(ConnectionInfo.parse(redshift.url)) as session:
        redshift.inject("^SELECT 1", message=message, sqlstate=sqlstate, detail="")
        with pytest.raises(StatementError):
            session.run(Sql("SELECT 1"))


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("refuse", SerializationError),
        ("drop_before", CommitOutcomeUnknownError),
        ("drop_after", CommitOutcomeUnknownError),
        ("refuse_after", SerializationError),
    ],
)
def test_a_failed_commit_is_rejected_or_unknown(redshift, action, error):
    with Session(ConnectionInfo.parse(redshift.url)) as session:
        redshift.inject("^COMMIT", action)
        with pytest.raises(error), session.transaction():
            session.run(Sql("SELECT 1"))


@pytest.mark.parametrize(
    ("action", "options", "expected"),
    [
        ("answer", {"tag": "ROLLBACK"}, ConnectionLostError),
        ("answer", {"tag": "BEGIN"}, ConnectionLostError),
        ("answer", {"tag": ""}, ConnectionLostError),
        ("refuse", {"sqlstate": "53100", "message": "Disk Full"}, StatementError),
        ("refuse_after", {"sqlstate": "XX000", "message": "internal error"}, StatementError),
        ("refuse", {"sqlstate": "57P01", "message": "shutting down"}, ConnectionLostError),
    ],
)
def test_any_other_answer_to_commit_is_an_unknown_outcome_and_ends_the_session(
    redshift, action, options, expected
):
    with Session(ConnectionInfo.parse(redshift.url)) as session:
        redshift.inject("^COMMIT", action, detail="", **options)
        with (
            pytest.raises(UnconfirmedCommitError, match="it is unknown whether") as raised,
            session.transaction(),
        ):
            session.run(Sql("SELECT 1"))
        assert type(raised.value.if_rolled_back) is expected
        with pytest.raises(ConnectionLostError):
            session.run(Sql("SELECT 1"))


def test_a_transaction_rolls_back_on_any_error_and_the_session_stays_usable(shared_database):
    with Session(ConnectionInfo.parse(shared_database)) as session:
        session.run(Sql("CREATE TEMP TABLE t (n integer)"))
        with pytest.raises(ZeroDivisionError), session.transaction():
            session.run(Sql("INSERT INTO t VALUES (1)"))
            raise ZeroDivisionError
        with session.rolled_back():
            session.run(Sql("INSERT INTO t VALUES (2)"))
        assert session.rows(Sql("SELECT COUNT(*) FROM t")) == [(0,)]


def test_a_commit_that_the_warehouse_turned_into_a_rollback_is_not_confirmed(shared_database):
    with (
        Session(ConnectionInfo.parse(shared_database)) as session,
        pytest.raises(UnconfirmedCommitError) as raised,
        session.transaction(),
        pytest.raises(StatementError),
    ):
        session.run(Sql("SELECT 1/0"))
    assert "answered COMMIT with ROLLBACK" in str(raised.value.if_rolled_back)
