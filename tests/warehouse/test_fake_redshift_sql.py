"""The stand-in refuses SQL that PostgreSQL accepts and Redshift does not document."""

from __future__ import annotations

import psycopg2
import pytest

from tests.support.redshift import judge
from tests.support.redshift.copy import parse
from tests.support.redshift.documented import ENCODINGS, LEADER_NODE_FUNCTIONS, RESERVED, TYPES
from tests.support.redshift.refused import Refused

TABLES = (
    "CREATE TEMP TABLE t (time timestamp, name varchar(5), n integer)",
    "CREATE TEMP TABLE u (time timestamp, name varchar(5), n integer)",
)


def connected(url):
    """A connection with the temporary tables ``t`` and ``u``."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
    return connection


@pytest.fixture(scope="module")
def connections(shared_database, redshift_server):
    """Connections to PostgreSQL and to the stand-in."""
    postgres, stand_in = connected(shared_database), connected(redshift_server.url)
    yield postgres, stand_in
    postgres.close()
    stand_in.close()


@pytest.fixture
def on_both(connections):
    """Cursors on PostgreSQL and on the stand-in, in transactions that are rolled back."""
    postgres, stand_in = connections
    yield postgres.cursor(), stand_in.cursor()
    postgres.rollback()
    stand_in.rollback()


# The statement that PostgreSQL accepts, the error of the stand-in, and what Redshift documents for
# the purpose, if it does.
REFUSED = [
    (
        "INSERT INTO t (n) VALUES (1) ON CONFLICT DO NOTHING",
        "CONFLICT",
        "INSERT INTO t (n) VALUES (1)",
    ),
    ("DELETE FROM t RETURNING n", "RETURNING", "DELETE FROM t"),
    (
        "WITH gone AS (DELETE FROM t) SELECT 1",
        r"near \"\(\"",
        "WITH kept AS (SELECT 1) SELECT * FROM kept",
    ),
    ("CREATE INDEX i ON t (n)", "CREATE INDEX not supported", ""),
    ("CREATE INDEX IF NOT EXISTS i ON t (n)", "CREATE INDEX not supported", ""),
    (
        "CREATE TEMP TABLE v (LIKE t INCLUDING ALL)",
        "INCLUDING DEFAULTS",
        "CREATE TEMP TABLE v (LIKE t)",
    ),
    (
        "CREATE TEMP TABLE v AS SELECT * FROM t WITH NO DATA",
        "WITH",
        "CREATE TEMP TABLE v AS SELECT * FROM t",
    ),
    ("CREATE TEMP TABLE v (n integer) ON COMMIT DROP", "COMMIT", "CREATE TEMP TABLE v (n integer)"),
    ("CREATE TEMP TABLE v (n integer CHECK (n > 1))", "check constraints", ""),
    ("CREATE TEMP TABLE v () INHERITS (t)", "syntax error", ""),
    ("CREATE TEMP TABLE v (n integer GENERATED ALWAYS AS IDENTITY)", "syntax error", ""),
    ("CREATE SEQUENCE pg_temp.s", "not supported", ""),
    ("CREATE TYPE pg_temp.e AS ENUM ('a')", "not supported", ""),
    (
        "ALTER TABLE t ADD COLUMN a integer, ADD COLUMN b integer",
        "syntax error",
        "ALTER TABLE t ADD COLUMN a integer",
    ),
    (
        "ALTER TABLE t ADD COLUMN a integer NOT NULL",
        "non-null default",
        "ALTER TABLE t ADD COLUMN a integer DEFAULT 1 NOT NULL",
    ),
    (
        "ALTER TABLE t ADD COLUMN a integer NOT NULL DEFAULT 1",
        "syntax error",
        "ALTER TABLE t ADD COLUMN a integer DEFAULT 1 NOT NULL",
    ),
    (
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a integer",
        "syntax error",
        "ALTER TABLE t ADD COLUMN a integer",
    ),
    ("ALTER TABLE t ALTER COLUMN n TYPE bigint", "only supported for VARCHAR", ""),
    ("ALTER TABLE t ALTER COLUMN n SET NOT NULL", "syntax error", ""),
    ("TRUNCATE t, u", "syntax error", "TRUNCATE t"),
    ("TRUNCATE t RESTART IDENTITY", "no options", "TRUNCATE TABLE t"),
    ("LOCK TABLE t IN EXCLUSIVE MODE", 'near "IN"', "LOCK TABLE t"),
    ("LOCK TABLE t NOWAIT", "NOWAIT", "LOCK t"),
    ("SAVEPOINT s", "SAVEPOINT", ""),
    ("DO $$ BEGIN END $$", 'near "DO"', ""),
    ("NOTIFY x", "not supported", ""),
    ("TABLE t", 'near "TABLE"', "SELECT * FROM t"),
    ("VALUES (1)", 'near "VALUES"', "SELECT 1"),
    ("SELECT * FROM (VALUES (1)) v", 'near "VALUES"', "SELECT * FROM (SELECT 1) v"),
    ("SELECT * FROM t, LATERAL (SELECT t.n) v", "LATERAL", ""),
    ("SELECT * FROM ONLY t", "ONLY", "SELECT * FROM t"),
    ("SELECT * FROM t FOR UPDATE", "FOR UPDATE", "SELECT * FROM t"),
    ("SELECT * FROM t FETCH FIRST 1 ROW ONLY", "FETCH", "SELECT * FROM t LIMIT 1"),
    ("SELECT * FROM t TABLESAMPLE SYSTEM (1)", "TABLESAMPLE", ""),
    ("SELECT DISTINCT ON (n) n FROM t", "DISTINCT ON", "SELECT DISTINCT n FROM t"),
    (
        "SELECT COUNT(*) FILTER (WHERE n > 1) FROM t",
        "FILTER",
        "SELECT SUM(CASE WHEN n > 1 THEN 1 ELSE 0 END) FROM t",
    ),
    (
        "SELECT SUM(n) OVER w FROM t WINDOW w AS (ORDER BY n)",
        "WINDOW",
        "SELECT SUM(n) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) FROM t",
    ),
    (
        "SELECT RANK() OVER (ORDER BY n NULLS FIRST) FROM t",
        "NULLS",
        "SELECT n FROM t ORDER BY n NULLS FIRST",
    ),
    ("WITH v AS MATERIALIZED (SELECT 1) SELECT 1", "MATERIALIZED", "WITH v AS (SELECT 1) SELECT 1"),
    ("SELECT n IS DISTINCT FROM 1 FROM t", "DISTINCT", "SELECT COALESCE(n = 1, FALSE) FROM t"),
    ("SELECT ARRAY[1]", "array", ""),
    ("SELECT n FROM t WHERE n = ANY (ARRAY[1, 2])", "array", "SELECT n FROM t WHERE n IN (1, 2)"),
    ("SELECT ROW(1, 2)", "row constructors", "SELECT 1, 2"),
    (
        "SELECT n FROM t WHERE (n, name) IN ((1, 'a'))",
        "row constructors",
        "SELECT n FROM t WHERE n = 1 AND name = 'a'",
    ),
    ('SELECT name COLLATE "C" FROM t', "collations", "SELECT name FROM t"),
    ("SELECT E'\\n'", "standard strings", "SELECT 'n'"),
    ("SELECT $$text$$", "syntax error", "SELECT 'text'"),
    ("SELECT '{}'::jsonb -> 'a'", "operator", ""),
    # Types: https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-datatypes.html
    ("CREATE TEMP TABLE v (a integer[])", "array", ""),
    ("CREATE TEMP TABLE v (a jsonb)", 'type "jsonb"', "CREATE TEMP TABLE v (a varchar(65535))"),
    ("CREATE TEMP TABLE v (a uuid)", 'type "uuid"', "CREATE TEMP TABLE v (a char(36))"),
    ("CREATE TEMP TABLE v (a bytea)", 'type "bytea"', ""),
    ("CREATE TEMP TABLE v (a serial)", 'type "serial"', ""),
    ("CREATE TEMP TABLE v (a interval)", 'type "interval"', ""),
    ("SELECT CAST('1' AS money)", 'type "money"', "SELECT CAST('1' AS decimal(10, 2))"),
    ("SELECT 't'::regclass", 'type "regclass"', "SELECT 't'::varchar"),
    # https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-functions.html
    ("SELECT * FROM generate_series(1, 2)", "generate_series", ""),
    ("SELECT string_agg(name, ',') FROM t", "string_agg", ""),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_lock", ""),
    ("SELECT pg_table_size('t')", "pg_table_size", ""),
    ("SELECT now()", "function now", "SELECT GETDATE()"),
    ("SELECT CURRENT_TIMESTAMP", "current_timestamp", "SELECT GETDATE()"),
    ("SELECT clock_timestamp()", "clock_timestamp", "SELECT GETDATE()"),
    ("SELECT hashtext('a')", "hashtext", "SELECT FNV_HASH(CAST('a' AS varchar))"),
    # https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_functions_leader_node_only.html
    (
        "SELECT current_schema(), n FROM t",
        "not supported on Amazon Redshift tables",
        "SELECT current_schema()",
    ),
    (
        "SELECT n FROM t WHERE has_table_privilege('pg_class', 'SELECT')",
        "not supported on Amazon Redshift tables",
        "SELECT relname FROM pg_class WHERE has_table_privilege('pg_class', 'SELECT')",
    ),
    # Settings: https://docs.aws.amazon.com/redshift/latest/dg/cm_chap_ConfigurationRef.html
    ("SET lock_timeout TO 1000", "lock_timeout", "SET statement_timeout TO 1000"),
    ("SET work_mem TO '1MB'", "work_mem", "SET search_path TO 'pg_catalog'"),
    ("SHOW max_connections", "max_connections", "SHOW search_path"),
    ("SET TRANSACTION READ ONLY", "TRANSACTION", ""),
]


@pytest.mark.parametrize(("sql", "message", "documented"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_redshift_does_not_document_is_refused_though_postgresql_accepts_it(
    on_both, sql, message, documented
):
    postgres, stand_in = on_both
    postgres.execute(sql)
    with pytest.raises(psycopg2.Error, match=message):
        stand_in.execute(sql)
    stand_in.connection.rollback()
    if documented:
        stand_in.execute(documented)


def test_each_word_that_redshift_reserves_is_refused_as_a_name_without_quotes():
    for word in RESERVED:
        with pytest.raises(Refused, match="syntax error at or near"):
            judge.check(f"INSERT INTO t (n, {word}) VALUES (1, 1)")


@pytest.mark.parametrize("function", sorted(LEADER_NODE_FUNCTIONS))
def test_a_function_of_the_leader_node_is_refused_in_a_query_of_a_users_table(function):
    judge.check(f'SELECT {function}(), "relname" FROM "pg_class"')
    for table in ('"t"', '"svv_table_info"'):
        with pytest.raises(Refused, match="not supported on Amazon Redshift tables"):
            judge.check(f"SELECT {function}(), 1 FROM {table}")


def test_a_reserved_word_is_refused_with_redshifts_message(on_both):
    postgres, stand_in = on_both
    sql = "CREATE TEMP TABLE v (backup varchar(9))"
    postgres.execute(sql)
    with pytest.raises(psycopg2.errors.SyntaxError, match='syntax error at or near "backup"'):
        stand_in.execute(sql)
    stand_in.connection.rollback()
    stand_in.execute('CREATE TEMP TABLE v ("backup" varchar(9))')


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_an_encoding_is_accepted_for_its_documented_types_only(encoding):
    for alias, type_ in TYPES.items():
        sql = f'CREATE TABLE "t" ("a" {alias} ENCODE {encoding})'
        if type_ in ENCODINGS[encoding]:
            judge.check(sql)
        else:
            with pytest.raises(Refused, match="invalid encoding type specified for column"):
                judge.check(sql)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("(n integer ENCODE gzip)", "syntax error|invalid encoding type"),
        ("(n integer) DISTSTYLE KEY", "requires a DISTKEY"),
        ("(n integer) DISTSTYLE ALL DISTKEY (n)", "cannot be specified with DISTSTYLE"),
        ("(n integer DISTKEY, m integer DISTKEY)", "multiple DISTKEY"),
        ('(n integer) DISTKEY ("m")', "does not exist"),
        ('("n" integer) SORTKEY ("n", "m")', "does not exist"),
        ('("oid" integer)', "system column"),
        ("(v varchar(65536))", "cannot exceed 65535"),
        ("(v char(4097))", "cannot exceed 4096"),
        ("(v decimal(39, 0))", "cannot exceed 38"),
    ],
)
def test_a_table_that_redshift_cannot_create_is_refused(definition, message):
    with pytest.raises(Refused, match=message):
        judge.check(f"CREATE TABLE t {definition}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("CSV REMOVEQUOTES", "REMOVEQUOTES is not supported with CSV"),
        ("CSV ESCAPE", "ESCAPE is not supported with CSV"),
        ("CSV FIXEDWIDTH 'n:3'", "not supported with"),
        ("FIXEDWIDTH 'n:3' DELIMITER '|'", "DELIMITER is not supported with FIXEDWIDTH"),
        ("FIXEDWIDTH 'n:3' ESCAPE", "not supported with"),
        ("JSON 'auto' FILLRECORD", "FILLRECORD is not supported with JSON"),
        ("ESCAPE QUOTE '\"'", "QUOTE is only supported with CSV"),
        ("SHAPEFILE ESCAPE", "ESCAPE is not supported with SHAPEFILE"),
        ("MAXERROR 3 IGNOREALLERRORS", "MAXERROR is not supported with IGNOREALLERRORS"),
        ("READRATIO 50", "READRATIO is not supported for COPY from S3"),
        ("SSH", "SSH is not supported for COPY from S3"),
        ("SESSION_TOKEN 'c'", "SESSION_TOKEN is not supported with IAM_ROLE"),
        ("ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b'", "not supported with IAM_ROLE"),
        ("FREEZE", 'syntax error at or near "freeze"'),
        ("HEADER", 'syntax error at or near "header"'),
        ("GZIP COMPUPDATE MAYBE", "takes ON or OFF"),
    ],
)
def test_undocumented_options_of_copy_and_documented_conflicts_are_refused(options, message):
    copy = "COPY t FROM 's3://bucket/manifest' IAM_ROLE 'role' "
    parse(f"{copy} GZIP ESCAPE REMOVEQUOTES MANIFEST")
    with pytest.raises(Refused, match=message):
        parse(f"{copy} {options}")


def test_a_name_of_more_than_127_bytes_is_refused():
    judge.check(f'SELECT 1 AS "{"é" * 63}"')
    with pytest.raises(Refused, match="longer than 127 bytes"):
        judge.check(f'SELECT 1 AS "{"é" * 64}"')


def test_a_statement_of_more_than_16_mb_is_refused():
    text = "x" * (16_777_216 - len("SELECT ''"))
    judge.check(f"SELECT '{text}'")
    with pytest.raises(Refused, match="Statement Size: 16777217 bytes"):
        judge.check(f"SELECT '{text}x'")


def test_several_statements_at_once_are_refused(on_both):
    _, stand_in = on_both
    with pytest.raises(psycopg2.Error, match="one statement at a time"):
        stand_in.execute("SELECT 1; SELECT 2")


def test_a_deeply_nested_expression_is_judged_in_every_part():
    def nested(inner):
        for number in range(40):
            inner = f'FNV_HASH(COALESCE("c{number}", 0), {inner})'
        return f'SELECT COUNT(*), SUM(CAST({inner} AS DECIMAL(38, 0))) FROM "t"'

    judge.check(nested("FNV_HASH(0)"))
    with pytest.raises(Refused, match="hashtext"):
        judge.check(nested("hashtext('a')"))
    with pytest.raises(Refused, match='near "backup"'):
        judge.check(nested("FNV_HASH(backup)"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('SELECT "a" FROM "b" WHERE "c" = 1', 'SELECT "x" FROM "y" WHERE "z" = 23'),
        (
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        ),
    ],
)
def test_statements_that_differ_in_names_and_values_are_judged_once(one, other):
    assert judge.shape(one) == judge.shape(other)
