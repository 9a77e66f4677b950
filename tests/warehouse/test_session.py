"""What a session sets when it starts: the search path, and parameters from the settings."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing

import psycopg2
import pytest

from spade_spark import settings as settings_module
from spade_spark.errors import SettingsError
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.sql import Sql
from tests.support.redshift import RedshiftServer
from tests.warehouse.harness import FAST_RETRIES, NEW, OLD, REPLACED, WarehouseHarness
from tests.warehouse.test_sql_names import check, undo

RAISE = (
    "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile code runs as %', current_user; END $$"
)


@pytest.fixture(params=["PostgreSQL", "Redshift"])
def own_harness(request, database, redshift_access, on_postgres):
    """A harness in a database of its own, in which all users may write to ``public``."""
    s3 = (on_postgres.s3, on_postgres.client, on_postgres.bucket)
    harness = WarehouseHarness(database, *s3)
    harness.execute("GRANT CREATE ON SCHEMA public TO public")
    if request.param == "PostgreSQL":
        yield harness
        return
    with RedshiftServer(database, redshift_access) as server:
        yield WarehouseHarness(server.url, *s3)


def create_in_public(database: str, statements: Sequence[str]) -> None:
    """Run statements as another user, in a database whose sessions search ``public`` first.

    On Redshift, the parameter group of a cluster sets such a default.
    """
    user, name = f"other_{uuid.uuid4().hex[:8]}", database.partition("?")[0].rpartition("/")[2]
    setup = (
        f"ALTER DATABASE {name} SET search_path TO public, pg_catalog",
        f"CREATE ROLE {user} LOGIN",
        f"SET ROLE {user}",
    )
    with (
        closing(psycopg2.connect(database)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for statement in (*setup, *statements):
            cursor.execute(statement)


def statements_of(name: str, arguments: str, result: str) -> str:
    return f"CREATE FUNCTION public.{name}({arguments}) RETURNS {result} {RAISE}"


HOSTILE = {
    "an operator for equal strings": (
        statements_of("hostile_equal", "varchar, varchar", "boolean"),
        "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, "
        "FUNCTION = public.hostile_equal)",
    ),
    "functions for more specific types": (
        statements_of("octet_length", "varchar", "integer"),
        statements_of("hashtextextended", "text, integer", "bigint"),
        statements_of("hash_record_extended", "record, integer", "bigint"),
        statements_of("fnv_hash", "integer, bigint", "bigint"),
    ),
    "tables with the names of system tables": (
        "CREATE TABLE public.pg_class AS SELECT * FROM pg_catalog.pg_class LIMIT 0",
        "CREATE TABLE public.pg_namespace AS SELECT * FROM pg_catalog.pg_namespace LIMIT 0",
        "CREATE TABLE public.svv_table_info (n integer)",
    ),
    "functions with the names of system functions": (
        statements_of("version", "", "text"),
        statements_of("format_type", "oid, integer", "text"),
        statements_of("set_config", "text, text, boolean", "text"),
    ),
}


@pytest.mark.parametrize("statements", HOSTILE.values(), ids=HOSTILE)
def test_no_object_that_another_user_creates_in_public_is_used(own_harness, database, statements):
    own_harness.create_table()
    create_in_public(database, statements)
    check(own_harness)
    own_harness.load_table(own_harness.write_files(*NEW))
    assert own_harness.rows() == REPLACED
    undo(own_harness)
    assert own_harness.rows() == sorted(OLD)


def parameters(session: Session, *names: str) -> list[str]:
    return [session.rows(Sql(f"SHOW {name}"))[0][0] for name in names]


def test_a_session_sets_what_the_loader_relies_on(shared_database, postgres_server):
    name = f"reader_{uuid.uuid4().hex[:8]}"
    url = shared_database.replace("//postgres@", f"//{name}@")
    with Session(ConnectionInfo.parse(shared_database)) as session:
        session.run(Sql(f"CREATE ROLE {name} LOGIN"))
        for value in ("datestyle TO 'SQL, DMY'", "timezone TO 'Asia/Tokyo'", "search_path TO evil"):
            session.run(Sql(f"ALTER ROLE {name} SET {value}"))
        session.run(Sql(f"ALTER ROLE {name} SET extra_float_digits TO -10"))
        session.run(Sql(f"ALTER ROLE {name} SET standard_conforming_strings TO off"))
        session.run(Sql(f"ALTER ROLE {name} SET client_encoding TO latin1"))
        session.run(Sql(f"ALTER ROLE {name} SET client_min_messages TO error"))
    with Session(ConnectionInfo.parse(url)) as session:
        assert parameters(session, "search_path", "datestyle", "timezone", "client_encoding") == [
            "pg_catalog, pg_temp",
            "ISO, MDY",
            "UTC",
            "UTF8",
        ]
        assert parameters(
            session, "extra_float_digits", "standard_conforming_strings", "client_min_messages"
        ) == ["1", "on", "notice"]


def test_a_policy_that_hides_rows_is_an_error(on_postgres, shared_database):
    """Else the hidden rows of a window would be kept beside the new ones."""
    on_postgres.create_table()
    name = f"reader_{on_postgres.id}"
    table = f"{on_postgres.schema}.login"
    for statement in (
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA {on_postgres.schema} TO {name}",
        f"GRANT SELECT ON {table} TO {name}",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY visible ON {table} USING (n > 2)",
    ):
        on_postgres.execute(statement)
    url = shared_database.replace("//postgres@", f"//{name}@")
    with (
        Session(ConnectionInfo.parse(url)) as session,
        pytest.raises(StatementError, match="row-level security policy"),
    ):
        session.rows(Sql(f"SELECT COUNT(*) FROM {table}"))


def test_a_session_is_set_up_in_one_statement_that_redshift_documents(redshift):
    with Session(ConnectionInfo.parse(redshift.url, {"query_group": "replay"})):
        pass
    (statement,) = [sql for sql in redshift.statements if "set_config" in sql]
    assert "('query_group', 'replay', FALSE)" in statement
    assert len(redshift.statements) <= 2  # the driver sends one of its own


@pytest.mark.parametrize("action", ["refuse", "drop_before", "drop_after"])
def test_a_conflict_or_a_lost_connection_while_a_session_starts_is_retried(redshift, action):
    redshift.inject("set_config", action)
    info = ConnectionInfo.parse(redshift.url, {"query_group": "replay"})
    rows = query_with_retries(info, lambda session: session.rows(Sql("SELECT 1")), FAST_RETRIES)
    assert rows == [(1,)]


def read(tmp_path, text: str, **environ: str) -> WarehouseSettings:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return settings_module.load(path, environ).warehouse


def test_the_parameters_of_the_settings_are_set_in_each_session(shared_database, tmp_path):
    text = '[warehouse.session]\n"app.name" = "it\'s"\nwork_mem = 1024\nENABLE_SEQSCAN = false\n'
    values = read(tmp_path, text).session
    with Session(ConnectionInfo.parse(shared_database, values)) as session:
        assert parameters(session, '"app.name"', "work_mem", "enable_seqscan") == [
            "it's",
            "1MB",
            "off",
        ]


def test_an_environment_variable_sets_a_parameter(tmp_path):
    environ = {"SPADE_WAREHOUSE__SESSION__QUERY_GROUP": "replay"}
    assert read(tmp_path, "", **environ).session == {"query_group": "replay"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('search_path = "public"', "search_path cannot be set: spade-spark sets it"),
        ('Timezone = "UTC"', "timezone cannot be set: spade-spark sets it"),
        ('datestyle = "ISO"', "datestyle cannot be set"),
        ('client_min_messages = "error"', "client_min_messages cannot be set"),
        ('client_encoding = "UTF8"', "client_encoding cannot be set"),
        ("standard_conforming_strings = false", "standard_conforming_strings cannot be set"),
        ("extra_float_digits = 0", "extra_float_digits cannot be set"),
        ("row_security = true", "row_security cannot be set"),
        ("enable_case_sensitive_identifier = true", "it changes how names are read"),
        ('default_transaction_isolation = "read committed"', "its own isolation level"),
        ('role = "admin"', "role cannot be set: it changes the user"),
        ('session_authorization = "admin"', "it changes the user"),
        ("synchronous_commit = false", "a committed load could be lost"),
        ('session_replication_role = "replica"', "it turns off triggers"),
        ("lock_timeout = 1", "the lookup after an unknown commit waits for a lock"),
        ("enable_numeric_rounding = true", "it changes the meaning or the text of values"),
        ("\"x', 'y\" = 1", "is not the name of a session parameter"),
        ('query_group = "a\\\\b"', "the value of query_group contains a backslash"),
        ('query_group = ["a"]', "warehouse.session.query_group"),
    ],
)
def test_a_parameter_that_could_change_a_load_is_refused(tmp_path, line, message):
    with pytest.raises(SettingsError, match=r"warehouse\.session") as refused:
        read(tmp_path, f"[warehouse.session]\n{line}\n")
    assert message in str(refused.value)


@pytest.mark.parametrize("parameter", ["wlm_query_slot_count", "work_mem"])
def test_a_parameter_that_the_warehouse_does_not_know_is_reported(harness, parameter):
    others = {"PostgreSQL": "wlm_query_slot_count", "Redshift": "work_mem"}
    info = ConnectionInfo.parse(harness.url, {parameter: "64"})
    if parameter != others[harness.warehouse.name]:
        Session(info).close()
        return
    with pytest.raises(SettingsError, match=rf'"{parameter}".*correct or remove it'):
        Session(info)


@pytest.mark.parametrize(
    "options",
    [
        "-c search_path=public",
        "-csearch_path=public",
        "--search-path=public",
        "-c work_mem=1MB  --role=admin",
        "-c app.x=a\\ b -c Session_Authorization=x",
        "-P",
        "-c work_mem",
        "work_mem=1",
    ],
)
def test_the_options_of_the_url_cannot_set_a_refused_parameter(options):
    with pytest.raises(SettingsError, match="the parameter options of the warehouse URL"):
        ConnectionInfo.parse(f"postgres://u@h/d?options={options.replace(' ', '%20')}")


def test_other_options_of_the_url_are_sent(shared_database):
    options = "-c%20work_mem=1MB%20--app.name=a%5C%20b"
    with Session(ConnectionInfo.parse(f"{shared_database}&options={options}")) as session:
        assert parameters(session, "work_mem", '"app.name"') == ["1MB", "a b"]


def test_the_variable_pgoptions_is_not_used(shared_database, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c session_replication_role=replica")
    with Session(ConnectionInfo.parse(shared_database)) as session:
        assert parameters(session, "session_replication_role") == ["origin"]


def test_a_short_statement_timeout_does_not_end_the_wait_for_an_unknown_commit(
    redshift, on_redshift
):
    """The lost session holds the lock for longer than the timeout, and commits late."""
    on_redshift.more_settings = {"session": {"statement_timeout": "1000"}}
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)

    def lose_the_next_commit() -> None:
        redshift.inject("^COMMIT", "drop_then_run", seconds=2)

    redshift.inject("^INSERT INTO .*replay", "call", function=lose_the_next_commit)
    on_redshift.load_table(files)
    assert on_redshift.rows() == REPLACED
    assert len(on_redshift.replay_log()) == 1
