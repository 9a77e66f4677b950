"""The stand-in is as strict as Redshift's documentation, so no test passes only because PostgreSQL
is lenient."""

from __future__ import annotations

import json

import psycopg2
import pytest

from tests.support.redshift.values import LoadError, Options, TargetColumn, convert
from tests.warehouse.harness import NEW

AUTH = "ACCESS_KEY_ID 'AKIATEST' SECRET_ACCESS_KEY 'marked-secret-key'"
OPTIONS = "REMOVEQUOTES DELIMITER '\\t' GZIP ESCAPE EMPTYASNULL FILLRECORD MANIFEST"


@pytest.fixture
def cursor(redshift):
    """A cursor of psycopg2, in its default transaction mode."""
    connection = psycopg2.connect(redshift.url)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (time timestamp, name varchar(5), n integer)")
        connection.commit()
        yield cursor
    connection.close()


def copy(cursor, manifest, options=OPTIONS, auth=AUTH):
    cursor.execute(f"COPY t FROM '{manifest}' {auth} {options}")


def count(cursor):
    cursor.execute("SELECT COUNT(*) FROM t")
    return cursor.fetchone()[0]


def test_the_version_is_redshifts(cursor):
    cursor.execute("SELECT version()")
    (version,) = cursor.fetchone()
    assert version.startswith("PostgreSQL 8.0.2 on ")
    assert "Redshift 1.0." in version
    assert cursor.connection.server_version == 80002


def test_copy_is_part_of_the_transaction_it_runs_in(cursor, on_redshift):
    copy(cursor, on_redshift.write_files(*NEW).copy_manifest)
    assert count(cursor) == 2
    assert "2 record(s) loaded successfully" in cursor.connection.notices[-1]
    cursor.connection.rollback()
    assert count(cursor) == 0


def test_a_load_error_fails_the_transaction_and_is_readable_only_after_it(cursor, on_redshift):
    bad = on_redshift.write_files(*NEW, b'"x"\t"y"\t"z"').copy_manifest
    with pytest.raises(psycopg2.InternalError, match="Load into table 't' failed"):
        copy(cursor, bad)
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SELECT * FROM stl_load_errors")
    cursor.connection.rollback()
    cursor.execute(
        "SELECT line_number, TRIM(colname), TRIM(raw_field_value), err_code FROM stl_load_errors "
        "WHERE session = pg_backend_pid()"
    )
    assert cursor.fetchall() == [(3, "time", "x", 1206)]
    assert count(cursor) == 0


def test_the_count_of_the_last_copy_is_stale_after_a_failed_one(cursor, on_redshift):
    copy(cursor, on_redshift.write_files(*NEW).copy_manifest)
    cursor.connection.commit()
    with pytest.raises(psycopg2.Error):
        copy(cursor, on_redshift.write_files(b'"x"').copy_manifest)
    cursor.connection.rollback()
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchone() == (2,)


def test_truncate_commits(cursor):
    cursor.execute("INSERT INTO t (n) VALUES (1)")
    cursor.execute("TRUNCATE t")
    cursor.connection.rollback()
    assert count(cursor) == 0


@pytest.mark.parametrize(
    ("options", "auth", "message"),
    [
        (OPTIONS, "", "CREDENTIALS argument is required"),
        (OPTIONS, "IAM_ROLE 'arn:other'", "not authorized to assume"),
        (OPTIONS, "ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b'", "InvalidAccessKeyId"),
        (OPTIONS, "ACCESS_KEY_ID 'AKIATEST' SECRET_ACCESS_KEY 'b'", "SignatureDoesNotMatch"),
        (f"{OPTIONS} TRIMBLANK", AUTH, 'syntax error at or near "trimblank"'),
        (f"{OPTIONS} GZIP", AUTH, "conflicting or redundant"),
        (OPTIONS.replace(" MANIFEST", ""), AUTH, "only from manifests"),
        (f"{OPTIONS} REGION 'eu-west-1'", AUTH, "PermanentRedirect"),
        (OPTIONS.replace("GZIP ", ""), AUTH, "Load into table 't' failed"),
    ],
)
def test_copy_rejects_what_redshift_rejects(cursor, on_redshift, options, auth, message):
    with pytest.raises(psycopg2.Error, match=message):
        copy(cursor, on_redshift.write_files(*NEW).copy_manifest, options, auth)
    cursor.connection.rollback()
    assert count(cursor) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "s3://{bucket}/no-such-file"}, "NoSuchKey"),
        ({"meta": {"content_length": 3}}, "content_length"),
    ],
)
def test_the_files_must_match_the_copy_manifest(cursor, on_redshift, s3_client, change, message):
    files = on_redshift.write_files(*NEW)
    entry = {"url": files.files[0].url, "mandatory": True, "meta": {}} | change
    entry["url"] = entry["url"].format(bucket=on_redshift.bucket)
    body = json.dumps({"entries": [entry]}).encode()
    s3_client.put_object(Bucket=on_redshift.bucket, Key="m", Body=body)
    with pytest.raises(psycopg2.Error, match=message):
        copy(cursor, f"s3://{on_redshift.bucket}/m")


def test_storage_clauses_are_accepted_and_do_not_change_the_columns(cursor):
    cursor.execute(
        'CREATE TEMP TABLE u ("n" bigint NOT NULL ENCODE az64 DISTKEY, "encode zstd" varchar(20) '
        'ENCODE zstd) DISTSTYLE KEY COMPOUND SORTKEY ("n", "encode zstd")'
    )
    cursor.execute("CREATE TEMP TABLE v DISTSTYLE EVEN SORTKEY (n) AS SELECT n FROM u")
    cursor.execute("INSERT INTO u VALUES (1, 'DISTSTYLE ALL')")
    cursor.execute('SELECT "n", "encode zstd" FROM u')
    assert cursor.fetchall() == [(1, "DISTSTYLE ALL")]


def test_redshifts_own_settings_can_be_set_and_shown(cursor):
    cursor.execute("SET query_group TO 'replay'")
    cursor.execute("SHOW query_group")
    assert cursor.fetchone() == ("replay",)


def test_vacuum_runs_only_outside_a_transaction(cursor):
    with pytest.raises(psycopg2.errors.ActiveSqlTransaction):
        cursor.execute("VACUUM DELETE ONLY t")
    cursor.connection.rollback()
    cursor.connection.autocommit = True
    cursor.execute("VACUUM DELETE ONLY t")
    cursor.execute("ANALYZE t")


def test_keywords_in_literals_and_quoted_names_are_ignored(cursor):
    cursor.execute("SELECT 'DELETE FROM x RETURNING y' AS \"ON CONFLICT\"")
    assert cursor.fetchone() == ("DELETE FROM x RETURNING y",)


def test_lengths_are_in_bytes_and_text_has_256(cursor):
    with pytest.raises(psycopg2.Error, match="Value too long for character type"):
        cursor.execute("INSERT INTO t (name) VALUES ('ééé')")
    cursor.connection.rollback()
    cursor.execute("CREATE TEMP TABLE u (s text, v varchar)")
    cursor.execute("INSERT INTO u VALUES (%s, '')", ("x" * 256,))
    with pytest.raises(psycopg2.Error):
        cursor.execute("INSERT INTO u VALUES (%s, '')", ("x" * 257,))


def test_fnv_hash_depends_on_its_seed_and_the_hash_of_null_is_null(cursor):
    cursor.execute(
        "SELECT FNV_HASH(1) = FNV_HASH(1), FNV_HASH(1) = FNV_HASH(2), "
        "FNV_HASH(2, FNV_HASH(1)) = FNV_HASH(1, FNV_HASH(2)), "
        "FNV_HASH(CAST(1 AS bigint)) = FNV_HASH(1), FNV_HASH(CAST(NULL AS integer))"
    )
    assert cursor.fetchone() == (True, False, False, False, None)


def test_the_ascii_letters_of_names_are_stored_in_lower_case(cursor):
    cursor.execute('CREATE TEMP TABLE "Upper" ("Name" integer, "ÉTÉ" integer)')
    cursor.execute('SELECT name, * FROM "UPPER"')
    assert [column.name for column in cursor.description] == ["name", "name", "ÉtÉ"]


def test_lock_needs_a_transaction(redshift):
    connection = psycopg2.connect(redshift.url)
    connection.autocommit = True
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error, match="transaction blocks"):
        cursor.execute("LOCK TABLE pg_class")
    connection.close()


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("integer", b"2147483648", "Overflow"),
        ("integer", b"1.5", "Invalid digit, Value '.', Pos 1, Type: Integer"),
        ("numeric(4,2)", b"99.994", "99.99"),
        ("numeric(4,2)", b"99.995", "Numeric data overflow"),
        ("boolean", b"maybe", "Unknown boolean format"),
        ("boolean", b"Yes", "t"),
        ("timestamp without time zone", b"2017-02-30 00:00:00", "Invalid timestamp"),
        ("character varying(3)", b"\xc3\xa9\xc3\xa9", "String length exceeds DDL length"),
        ("character varying(3)", b"\xff", "Multibyte character not supported"),
        ("character varying(3)", b"x" * (4 * 1024 * 1024 + 1), "Input line is not valid"),
        ("character(3)", "é".encode(), "Multibyte character not supported for CHAR"),
    ],
)
def test_values_are_parsed_as_strictly_as_documented(type_, text, expected):
    column = TargetColumn("c", type_, not_null=False)
    try:
        (found,) = convert(text, [column], Options(roundec=True))
    except LoadError as error:
        found = error.reason
    assert found is not None
    assert found.startswith(expected)
