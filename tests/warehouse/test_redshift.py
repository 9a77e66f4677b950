"""Specifics of Redshift: the COPY statement, credentials and system tables."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import pytest

from spade_spark.runs.load_results import UndoSucceeded
from spade_spark.settings import S3Settings
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.dialects.redshift import COPY_OPTIONS, Redshift
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.warehouse.table_requirements import loadable_columns
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.warehouse.window_swap import WindowSwap
from tests.support.redshift import RedshiftServer, judge
from tests.warehouse.conftest import KEYS, ROLE
from tests.warehouse.harness import (
    FAST_RETRIES,
    NEW,
    OLD,
    REPLACED,
    WINDOW,
    WarehouseHarness,
    no_lock,
)

BAD = b'"2017-11-04 13:30:00"\t"x"\t"abc"'


def test_copy_has_exactly_the_specified_options(on_redshift, redshift):
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    on_redshift.load_table(files)
    (copy,) = (sql for sql in redshift.statements if sql.startswith("COPY"))
    stage = copy.split('"')[1]
    assert stage.startswith("replay_stage_")
    manifest = copy.split("'")[1]
    assert manifest.startswith(f"{files.copy_manifest}.")
    assert copy == (
        f'COPY "{stage}" ("time", "name", "n") FROM \'{manifest}\' '
        "ACCESS_KEY_ID 'AKIATEST' SECRET_ACCESS_KEY 'marked-secret-key' REGION 'us-west-2' "
        "REMOVEQUOTES DELIMITER '\\t' GZIP ESCAPE TRUNCATECOLUMNS ROUNDEC FILLRECORD "
        "COMPUPDATE OFF STATUPDATE OFF EMPTYASNULL ACCEPTINVCHARS '?' TRIMBLANKS MANIFEST"
    )
    assert copy.endswith(COPY_OPTIONS)


def test_staging_columns_are_wider_by_one_character_to_count_truncated_values(
    on_redshift, redshift
):
    columns = {
        "time": "timestamp NOT NULL",
        "v": "varchar(5)",
        "c": "char(3)",
        "w": "varchar(65535)",
    }
    on_redshift.create_table(columns=columns, rows=())
    row = b'"2017-11-04 13:30:00"\t"v"\t"c"\t"w"'
    on_redshift.load_table(on_redshift.write_files(row, columns=tuple(columns)))
    (create,) = (sql for sql in redshift.statements if sql.startswith("CREATE TEMP"))
    assert create.partition(" (")[2] == (
        '"time" timestamp without time zone ENCODE AZ64 NOT NULL, '
        '"v" character varying(9) ENCODE LZO, "c" character(7) ENCODE LZO, '
        '"w" character varying(65535) ENCODE LZO) DISTSTYLE EVEN'
    )
    (insert,) = (sql for sql in redshift.statements if sql.startswith("INSERT") and "CAST(" in sql)
    assert 'CAST("v" AS character varying(5)), CAST("c" AS character(3)), "w" FROM' in insert


def stage_attributes(redshift):
    """Return the table attributes of the staging table."""
    (create,) = (sql for sql in redshift.statements if sql.startswith("CREATE TEMP TABLE"))
    return create[create.index("DISTSTYLE") :]


def backup_attributes(redshift):
    """Return the table attributes of the backup."""
    pattern = re.compile(r'CREATE TABLE "backup\S+" ?(.*) AS SELECT .*')
    (attributes,) = (match[1] for sql in redshift.statements if (match := pattern.fullmatch(sql)))
    return attributes


def undo(harness):
    """Undo the latest load."""
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)[-1:]
    (outcome,) = undo_tables(
        harness.warehouse,
        loads,
        harness.settings,
        guards=LoadGuards(allow_empty=True),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert isinstance(outcome, UndoSucceeded), outcome


@pytest.mark.parametrize(
    ("clause", "stage", "backup"),
    [
        ("DISTKEY (name)", 'DISTSTYLE KEY DISTKEY ("name")', 'DISTSTYLE KEY DISTKEY ("name")'),
        ("DISTSTYLE KEY DISTKEY (n)", 'DISTSTYLE KEY DISTKEY ("n")', 'DISTSTYLE KEY DISTKEY ("n")'),
        ("DISTSTYLE ALL", "DISTSTYLE ALL", "DISTSTYLE ALL"),
        ("DISTSTYLE EVEN", "DISTSTYLE EVEN", "DISTSTYLE EVEN"),
        ("DISTKEY (x)", "DISTSTYLE EVEN", 'DISTSTYLE KEY DISTKEY ("x")'),  # not staged
        ("", "DISTSTYLE EVEN", ""),  # AUTO (ALL), as it is small
    ],
)
def test_the_stage_and_the_backups_are_distributed_like_the_target(
    on_redshift, redshift, clause, stage, backup
):
    on_redshift.execute(
        f"CREATE TABLE {on_redshift.schema}.login "
        f"(time timestamp, name varchar(5), n integer, x integer) {clause}"
    )
    on_redshift.execute(
        f"INSERT INTO {on_redshift.control}.table_version VALUES ('login', 3, '2017-01-01')"
    )
    redshift.clear_faults()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    assert stage_attributes(redshift) == stage
    assert backup_attributes(redshift) == backup
    redshift.clear_faults()
    undo(on_redshift)
    assert backup_attributes(redshift) == backup


@pytest.mark.parametrize(
    ("current", "stage"),
    [("9 11 ", "DISTSTYLE EVEN"), ("9 12 name", 'DISTSTYLE KEY DISTKEY ("name")')],
)
def test_the_current_style_of_an_automatic_distribution_counts(
    on_redshift, redshift, current, stage
):
    on_redshift.create_table()
    on_redshift.execute(f"COMMENT ON TABLE {on_redshift.schema}.login IS 'distribution: {current}'")
    on_redshift.load_table(on_redshift.write_files(*NEW))
    assert stage_attributes(redshift) == stage


def test_a_distribution_that_cannot_be_read_is_unknown(on_redshift, redshift):
    on_redshift.create_table()
    redshift.inject("attisdistkey", sqlstate="42703", message="no such column", detail="", times=9)
    on_redshift.load_table(on_redshift.write_files(*NEW))
    assert stage_attributes(redshift) == "DISTSTYLE EVEN"
    assert backup_attributes(redshift) == ""


def test_each_staging_column_has_the_default_encoding_of_its_type():
    types = {
        "boolean": "RAW",
        "real": "RAW",
        "double precision": "RAW",
        "super": "RAW",
        "smallint": "AZ64",
        "bigint": "AZ64",
        "numeric(18,4)": "AZ64",
        "date": "AZ64",
        "timestamp with time zone": "AZ64",
        "timestamp without time zone": "AZ64",
        "time without time zone": "RAW",
        "time with time zone": "RAW",
        "character(3)": "LZO",
        "character varying(65535)": "LZO",
    }
    warehouse = Redshift(ConnectionInfo.parse("redshift://h"), S3Settings(), CopyCredentials)
    columns = [WarehouseColumn(f"c{n}", type_, not_null=False) for n, type_ in enumerate(types)]
    create = warehouse.create_stage("stage", "s", "t", columns, None).sql()
    assert re.findall(r"ENCODE (\w+)", create) == list(types.values())
    judge.check(create)


def test_the_fingerprint_leaves_out_columns_that_cannot_be_hashed(
    on_redshift, redshift, behind_redshift
):
    """PostgreSQL's type bytea stands for VARBYTE here."""
    on_redshift.create_table(rows=OLD[1:2])
    behind_redshift(
        f"ALTER TABLE {on_redshift.schema}.login ADD span interval day to second DEFAULT '1 day', "
        "ADD data bytea DEFAULT 'x'"
    )
    redshift.clear_faults()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    undo(on_redshift)
    hashes = [sql for sql in redshift.statements if "FNV_HASH" in sql]
    assert len(hashes) == 3  # after the load, before the undo and after the undo
    assert all('"n"' in sql and '"span"' not in sql and '"data"' not in sql for sql in hashes)
    assert on_redshift.rows(columns="time, name, n, span") == [(*OLD[1], timedelta(days=1))]


def test_a_super_value_above_the_limit_of_varchar_is_not_serialized():
    warehouse = Redshift(ConnectionInfo.parse("redshift://h"), S3Settings(), CopyCredentials)
    hashed = warehouse.row_hash([WarehouseColumn("s", "super", not_null=False)]).sql()
    assert (
        'CASE WHEN JSON_SIZE("s") <= 65535 THEN JSON_SERIALIZE("s") '
        'ELSE CAST(JSON_SIZE("s") AS VARCHAR) END' in hashed
    )
    judge.check(f'SELECT {hashed} FROM "t"')


def test_a_plan_shows_the_statements_sent_without_secrets(on_redshift, redshift):
    harness = on_redshift
    harness.create_table()
    files = harness.write_files(*NEW)
    with Session(ConnectionInfo.parse(harness.url)) as session:
        columns, _ = loadable_columns(
            session,
            harness.warehouse,
            schemas_from_settings(harness.settings),
            "login",
            files.columns,
        )
    swap = WindowSwap(
        harness.warehouse, schemas_from_settings(harness.settings), files, WINDOW, "tag"
    )
    planned = [str(statement) for statement in swap.script(columns)]
    redshift.clear_faults()
    harness.load_table(files)
    sent = redshift.statements
    for secret in KEYS[:2]:
        sent = [sql.replace(secret, "***") for sql in sent]
    sent = [re.sub(r"\.[0-9a-f]{32}\.json'", "'", sql) for sql in sent]
    assert not any(secret in line for secret in KEYS[:2] for line in planned)
    *known, insert, commit = planned
    position = 0
    for line in known:
        position = sent.index(line, position) + 1
    # Values that are known only after the swap are placeholders in the plan.
    assert ":rows_deleted, :rows_inserted, " in insert
    assert sent[position].startswith(insert.partition(":rows_deleted")[0])
    assert sent[position + 1] == commit


@pytest.mark.parametrize(
    ("credentials", "clause"),
    [
        (CopyCredentials(role="arn:marked"), "IAM_ROLE 'arn:marked'"),
        (CopyCredentials(role="default"), "IAM_ROLE default"),
        (
            CopyCredentials(key="marked1", secret="marked2"),
            "ACCESS_KEY_ID 'marked1' SECRET_ACCESS_KEY 'marked2'",
        ),
        (
            CopyCredentials(key="marked1", secret="marked2", token="marked3"),
            "ACCESS_KEY_ID 'marked1' SECRET_ACCESS_KEY 'marked2' SESSION_TOKEN 'marked3'",
        ),
    ],
)
def test_credentials_are_sent_and_never_shown(credentials, clause):
    assert credentials.clause().sql() == clause
    assert "marked" not in f"{credentials} {credentials!r} {credentials.clause()}"


def test_a_configured_role_takes_precedence_over_keys(on_redshift, redshift):
    on_redshift.iam_role = ROLE
    on_redshift.create_table()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    (copy,) = (sql for sql in redshift.statements if sql.startswith("COPY"))
    assert f"IAM_ROLE '{ROLE}'" in copy
    assert "ACCESS_KEY_ID" not in copy


def test_no_failure_shows_a_secret(on_redshift, redshift, monkeypatch, caplog, capfd):
    """Wrong keys, which S3 repeats in its response; load errors; lost connections; rejections."""
    caplog.set_level(logging.DEBUG)
    harness = on_redshift
    harness.create_table()
    shown = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "marked-wrong-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "marked-token")
    shown.append(harness.fail_to_load(harness.write_files(*NEW)).reason)
    assert "InvalidAccessKeyId" in shown[0]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    shown.append(harness.fail_to_load(harness.write_files(*NEW)).reason)
    assert "SignatureDoesNotMatch" in shown[1]
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    shown.append(harness.fail_to_load(harness.write_files(BAD)).reason)
    for action in ("refuse", "drop_before"):
        redshift.inject("^COPY", action, times=100)
        shown.append(harness.fail_to_load(harness.write_files(*NEW)).reason)
        redshift.clear_faults()
    redshift.inject("^COPY", sqlstate="42601", message="near 'marked-secret-key'", detail="")
    shown.append(harness.fail_to_load(harness.write_files(*NEW)).reason)
    for text in (*shown, *capfd.readouterr()):
        assert "marked" not in text
        assert redshift.password not in text
    # botocore's debug log contains the key's id. This checks only our own logs.
    assert not any("marked" in r.getMessage() for r in caplog.records if r.name.startswith("spade"))


@pytest.mark.parametrize("system", [("stl_load_errors",), ("sys_load_error_detail",)])
def test_load_errors_are_read_from_whichever_system_table_exists(
    on_postgres, redshift_access, database, system
):
    with RedshiftServer(database, redshift_access, system=system) as server:
        harness = WarehouseHarness(
            server.url, on_postgres.s3, on_postgres.client, on_postgres.bucket
        )
        harness.create_table()
        files = harness.write_files(NEW[0], BAD)
        reason = harness.fail_to_load(files).reason
    assert (
        f"{files.files[0].url}, line 2, column \"n\", raw value 'abc': "
        "Invalid digit, Value 'a', Pos 0, Type: Integer" in reason
    )


def test_errors_of_an_earlier_copy_are_not_reported_for_a_later_one(
    on_redshift, redshift, s3_client
):
    """A COPY that fails for another reason has no rows in the system tables."""
    harness = on_redshift
    harness.create_table()
    harness.fail_to_load(harness.write_files(BAD))
    files = harness.write_files(*NEW)
    redshift.inject(
        "^COPY",
        "call",
        function=lambda: s3_client.delete_object(
            Bucket=harness.bucket, Key=files.files[0].url.removeprefix(harness.output)
        ),
    )
    reason = harness.fail_to_load(files).reason
    assert "NoSuchKey" in reason
    assert "raw value" not in reason
    assert harness.rows() == list(OLD)


def test_copy_rejects_a_region_other_than_the_buckets(on_redshift, s3_settings):
    harness = on_redshift
    harness.create_table()
    files = harness.write_files(*NEW)
    elsewhere = s3_settings.model_copy(update={"region": "eu-west-1"})
    opened = open_warehouse(harness.settings, elsewhere)
    warehouse = Redshift(opened.connection_info, elsewhere, lambda: CopyCredentials("", *KEYS))
    (outcome,) = load_tables(
        warehouse,
        [files],
        WINDOW,
        harness.settings,
        run_tag="t",
        guards=LoadGuards(),
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert "PermanentRedirect" in getattr(outcome, "reason", "")


def test_all_parts_of_a_table_are_loaded(on_redshift):
    on_redshift.create_table()
    on_redshift.load_table(on_redshift.write_files(*NEW, parts=2))
    assert on_redshift.rows() == REPLACED
