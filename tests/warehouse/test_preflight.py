"""The preflight reports all problems at once, each with what to do."""

from __future__ import annotations

from datetime import datetime

import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import SettingsError, WarehouseError
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import preflight
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.control_objects import migrate_replay_log
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.workflows.preview import column_differences
from tests.warehouse.conftest import ROLE
from tests.warehouse.harness import NEW, REPLACED, WINDOW, WarehouseHarness

LOGIN = Table(
    "login",
    3,
    (
        Column("time", "time", "f@timestamp@unix"),
        Column("name", "name", "varchar", "(5)"),
        Column("n", "n", "int"),
    ),
)


def check(harness, *tables, **settings):
    return require(harness, *tables, **settings).tables


def require(harness, *tables, **settings):
    changed = {**harness.settings.model_dump(by_alias=True), **settings}
    return preflight.require_preflight(
        harness.warehouse,
        tables or [LOGIN],
        WINDOW,
        WarehouseSettings.model_validate(changed),
        output=harness.output,
    )


def problems(harness, *tables, **settings):
    with pytest.raises(WarehouseError) as refused:
        check(harness, *tables, **settings)
    first, *lines = str(refused.value).split("\n")
    assert "nothing was started" in first
    return [problem.strip() for problem in lines]


def test_a_table_that_passes_is_reported_with_its_rows_by_hour(harness):
    harness.create_table(
        columns={"time": "timestamp", "name": "varchar(5)", "n": "integer", "x": "date"}, rows=()
    )
    for time in ("12:59:59", "13:00:00", "13:59:59", "14:00:00", "14:00:01"):
        harness.execute(f"INSERT INTO {harness.schema}.login (time) VALUES ('2017-11-04 {time}')")
    (status,) = check(harness)
    assert (status.table, status.version, status.rows) == ("login", 3, 3)
    assert [column.name for column in status.columns] == ["time", "name", "n"]
    assert status.unfilled_columns == ("x",)
    hours = ((datetime(2017, 11, 4, 13), 2), (datetime(2017, 11, 4, 14), 1))  # noqa: DTZ001 - the column has no zone
    assert status.hours == hours


def test_the_preflight_writes_nothing(harness):
    harness.create_table()
    check(harness)
    tables = harness.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = '{harness.control}'"
    )
    assert tables == [("table_version",)]


def test_only_the_rows_are_queried_for_each_table(on_redshift, redshift):
    harness = on_redshift
    names = [harness.create_table(f"table_{number}", rows=()) for number in range(40)]
    tables = [Table(name, 3, LOGIN.columns) for name in names]

    def statements(checked):
        redshift.clear_faults()
        check(harness, *checked)
        counted = [sql for sql in redshift.statements if "DATE_TRUNC" in sql]
        return len(counted), len(redshift.statements) - len(counted)

    counts, others = statements(tables[:8])
    assert counts == 8
    assert statements(tables) == (40, others)


def test_rows_are_counted_for_tables_of_the_same_name_in_another_case(on_postgres):
    """PostgreSQL distinguishes them, unlike Redshift."""
    on_postgres.create_table("login")
    on_postgres.create_table("Login", rows=())
    lower, upper = check(on_postgres, LOGIN, Table("Login", 3, LOGIN.columns))
    assert (lower.rows, upper.rows) == (2, 0)


def test_tables_whose_names_differ_only_in_case_are_refused_on_redshift(on_redshift):
    """They are one table there, so that the rows of one would be lost."""
    on_redshift.create_table("login")
    on_redshift.execute(
        f"INSERT INTO {on_redshift.control}.table_version VALUES ('Login', 3, '2017-01-01')"
    )
    tables = [LOGIN, Table("Login", 3, LOGIN.columns)]
    (problem,) = problems(on_redshift, *tables)
    assert problem.startswith(
        f"login and Login are one table in Redshift, {on_redshift.schema}.login"
    )


@pytest.mark.parametrize("name", ["replay", "table_version", "replay_lock_login"])
def test_a_control_table_is_not_a_target(harness, name):
    harness.more_settings = {"control": harness.schema}
    harness.execute(
        f"CREATE TABLE {harness.schema}.table_version "
        "(name varchar(100), version integer, ts timestamp)"
    )
    harness.create_control_objects("login")
    harness.execute(
        f"INSERT INTO {harness.schema}.table_version VALUES ('{name}', 3, '2017-01-01')"
    )
    refusal = f"{harness.schema}.{name} is a control table of spade-spark"
    assert any(refusal in problem for problem in problems(harness, Table(name, 3, LOGIN.columns)))
    assert refusal in harness.fail_to_load(harness.write_files(*NEW, table=name)).reason


def test_all_problems_of_all_tables_are_reported_at_once(harness):
    harness.create_table("login", columns={"time": "timestamp", "n": "integer"}, rows=(), version=2)
    harness.create_table("newer")
    harness.execute(
        f"INSERT INTO {harness.control}.table_version VALUES ('newer', 7, '2017-01-02')"
    )
    harness.execute(f"CREATE TABLE {harness.schema}.unversioned (time timestamp)")
    tables = [
        LOGIN,
        Table("newer", 3, LOGIN.columns),
        Table("missing", 1, LOGIN.columns),
        Table("unversioned", 1, LOGIN.columns[:1]),
        Table("timeless", 1, LOGIN.columns[1:]),
    ]
    harness.create_table("timeless", version=1)
    reported = problems(harness, *tables)
    assert len(reported) == 6
    for problem, expected in zip(
        reported,
        [
            f'{harness.schema}.login has no column "name", which Blueprint has',
            f"{harness.control}.table_version has version 2 of login, but the replay",
            "version 7 of newer, but the replay makes version 3: migrate the table and update its "
            "version, or replay with the schemas of version 7",
            f"the table {harness.schema}.missing does not exist",
            "has no version of unversioned, but the replay makes version 1: add the version",
            'timeless has no column "time" that Blueprint fills',
        ],
        strict=True,
    ):
        assert expected in problem


def test_the_names_in_the_table_of_versions_may_be_padded(harness):
    harness.create_table()
    versions = f"{harness.control}.table_version"
    harness.execute(f"DROP TABLE {versions}")
    harness.execute(f"CREATE TABLE {versions} (name char(100), version integer, ts timestamp)")
    harness.execute(f"INSERT INTO {versions} VALUES ('login', 2, NULL), ('login', 3, NULL)")
    check(harness)


def test_missing_schemas_and_control_tables_are_reported_with_their_setting(harness):
    assert problems(harness, schema="nowhere", control="neither") == [
        "the schema nowhere does not exist: create it, or correct warehouse.schema",
        "the schema neither does not exist: create it, or correct warehouse.control",
    ]
    harness.create_table()
    harness.execute(f"DROP TABLE {harness.control}.table_version")
    assert (
        f"the table {harness.control}.table_version(name, version, ts), which"
        in problems(harness)[0]
    )


def test_a_table_that_is_not_a_replay_log_is_rejected(harness):
    harness.create_table()
    harness.execute(f"CREATE TABLE {harness.control}.replay (run_tag varchar(10), ts timestamp)")
    (problem,) = problems(harness)
    assert "has no column table_name, window_start" in problem


@pytest.fixture
def as_loader(harness, request):
    """The harness, the same with a user who may only use the schemas, and that user."""
    user = f"loader_{harness.id}"
    server = request.getfixturevalue("redshift_server")
    harness.create_table()
    harness.execute(f"CREATE ROLE {user} LOGIN")
    harness.execute(f"CREATE SCHEMA {harness.backups}")
    harness.execute(
        f"GRANT USAGE ON SCHEMA {harness.schema}, {harness.control}, {harness.backups} TO {user}"
    )
    harness.execute(f"GRANT CREATE ON SCHEMA {harness.backups} TO {user}")
    url = server.url_of(user)
    if "host=" in harness.url:
        url = harness.url.replace("postgres@", f"{user}@")
    limited = WarehouseHarness.__new__(WarehouseHarness)
    limited.__dict__.update(harness.__dict__, url=url)
    return harness, limited, user


def test_missing_privileges_are_reported(as_loader):
    harness, limited, user = as_loader
    harness.create_control_objects("login")
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    harness.execute(f"GRANT SELECT ON {harness.schema}.login TO {user}")
    assert problems(limited) == [
        *(
            f"the warehouse user has no {privilege} privilege on {harness.control}.replay: GRANT "
            f'{privilege} ON "{harness.control}"."replay"'
            for privilege in ("SELECT", "INSERT")
        ),
        f"the warehouse user has no DELETE privilege on {harness.control}.replay_lock_login: "
        f'GRANT DELETE ON "{harness.control}"."replay_lock_login"',
        *(
            f"the warehouse user has no {privilege} privilege on {harness.schema}.login: GRANT "
            f'{privilege} ON "{harness.schema}"."login"'
            for privilege in ("INSERT", "DELETE")
        ),
    ]
    harness.execute(f"GRANT SELECT, INSERT, DELETE ON {harness.schema}.login TO {user}")
    harness.execute(f"GRANT SELECT, INSERT ON {harness.control}.replay TO {user}")
    harness.execute(f"GRANT DELETE ON {harness.control}.replay_lock_login TO {user}")
    check(limited)
    limited.load_table(limited.write_files(*NEW))
    assert harness.rows() == REPLACED


@pytest.fixture
def with_roles(as_loader):
    """The limited harness, whose user has a role of Redshift."""
    harness, limited, user = as_loader
    grants = "redshift_system.svv_user_grants"
    harness.execute(f"INSERT INTO {grants} VALUES (101, '{user}', 1, 'loaders', false)")
    yield harness, limited, user
    harness.execute(f"DELETE FROM {grants}")


def grant_reading(harness, user):
    """Grant what the preflight itself needs, but not what a load needs."""
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    harness.execute(f"GRANT SELECT ON {harness.schema}.login TO {user}")


def assert_warned(limited, reason, **settings):
    result = require(limited, **settings)
    warnings = [text for text in result.warnings if f"privilege on {limited.schema}.login" in text]
    assert warnings == [
        f"the warehouse user has no {privilege} privilege on {limited.schema}.login: GRANT "
        f'{privilege} ON "{limited.schema}"."login" (only a warning: {reason})'
        for privilege in ("INSERT", "DELETE")
    ]
    assert [table.rows for table in result.tables] == [2]


def test_a_missing_privilege_is_a_warning_if_it_is_not_checked(as_loader):
    harness, limited, user = as_loader
    grant_reading(harness, user)
    assert problems(limited)
    assert_warned(limited, "warehouse.check_privileges is false", check_privileges=False)


@pytest.mark.parametrize("harness", ["Redshift"], indirect=True)
def test_a_missing_privilege_is_a_warning_if_the_user_has_roles_on_redshift(with_roles):
    harness, limited, user = with_roles
    grant_reading(harness, user)
    assert_warned(limited, "a role of the warehouse user may grant it")


def test_a_query_that_needs_a_missing_privilege_is_reported_with_its_error(as_loader):
    harness, limited, user = as_loader
    reported = problems(limited, check_privileges=False)
    assert any("table_version cannot be read: permission denied" in text for text in reported)
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    (problem,) = problems(limited, check_privileges=False)
    assert problem.startswith("the rows of login cannot be counted: permission denied")


def test_a_replay_log_that_cannot_be_created_is_reported_with_its_statement(as_loader):
    harness, limited, user = as_loader
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    harness.execute(f"GRANT SELECT, INSERT, DELETE ON {harness.schema}.login TO {user}")
    problem, _ = problems(limited)
    assert f"{harness.control}.replay does not exist, and the warehouse user cannot" in problem
    assert f'CREATE TABLE IF NOT EXISTS "{harness.control}"."replay" ("run_tag" ' in problem


def test_lock_tables_that_cannot_be_created_are_reported_with_their_statements(as_loader):
    harness, limited, user = as_loader
    harness.create_control_objects("other")
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    harness.execute(f"GRANT SELECT, INSERT, DELETE ON {harness.schema}.login TO {user}")
    harness.execute(f"GRANT SELECT, INSERT ON {harness.control}.replay TO {user}")
    lock = f'"{harness.control}"."replay_lock_login"'
    assert problems(limited) == [
        "lock tables do not exist, and the warehouse user cannot create them "
        f'({harness.control}.replay_lock_login): GRANT CREATE ON SCHEMA "{harness.control}", or '
        "have an administrator run the following and GRANT DELETE on them: CREATE TABLE IF NOT "
        f'EXISTS {lock} ("unused" INTEGER)'
    ]
    harness.execute(f"GRANT CREATE ON SCHEMA {harness.control} TO {user}")
    check(limited)
    limited.load_table(limited.write_files(*NEW))
    assert harness.rows() == REPLACED


def test_an_unusable_backup_schema_is_reported_unless_backups_are_disabled(as_loader):
    harness, limited, user = as_loader
    harness.create_control_objects("login")
    harness.execute(f"GRANT SELECT ON {harness.control}.table_version TO {user}")
    for table in ("replay", "replay_lock_login"):
        harness.execute(f"GRANT SELECT, INSERT, DELETE ON {harness.control}.{table} TO {user}")
    harness.execute(f"GRANT SELECT, INSERT, DELETE ON {harness.schema}.login TO {user}")
    check(limited)
    harness.execute(f"REVOKE CREATE ON SCHEMA {harness.backups} FROM {user}")
    (problem,) = problems(limited)
    assert f'GRANT CREATE ON SCHEMA "{harness.backups}", or set warehouse.backup = false' in problem
    harness.execute(f"DROP SCHEMA {harness.backups}")
    (problem,) = problems(limited)
    assert f"the backup schema {harness.backups} does not exist" in problem
    assert "or set warehouse.backup = false" in problem
    check(limited, backup=False)
    check(harness)


def test_a_replay_log_of_the_first_version_is_reported_with_the_statements_to_upgrade_it(harness):
    harness.create_table()
    harness.load()
    for column in ("backup", "fingerprint"):
        harness.execute(f'ALTER TABLE {harness.control}.replay DROP COLUMN "{column}"')
    (problem,) = problems(harness)
    assert (
        f"an older version of spade-spark created {harness.control}.replay; to upgrade it, give "
        "--migrate to spade-spark replay or undo, or run: ALTER TABLE" in problem
    )
    for statement in problem.partition(", or run: ")[2].split("; "):
        harness.execute(statement)
    check(harness)
    harness.load_table(harness.write_files(*NEW))


@pytest.mark.parametrize("type_", ["date", "timestamptz", "time", "timetz", "varchar(19)"])
def test_a_time_column_that_is_not_a_timestamp_without_time_zone_is_refused(harness, type_):
    """A date, for instance, would select and delete whole days."""
    harness.create_table(columns={"time": type_, "name": "varchar(5)", "n": "integer"}, rows=())
    (problem,) = problems(harness)
    assert problem.startswith(f'{harness.schema}.login: the time column "time" has type ')
    assert "replace the column by one of that type, correct warehouse.time_column, or" in problem


def test_a_time_column_that_was_replaced_since_the_plan_is_refused_by_the_load(harness):
    harness.create_table()
    check(harness)
    before = harness.rows()
    harness.execute(f"ALTER TABLE {harness.schema}.login ADD COLUMN day date")
    harness.execute(f"UPDATE {harness.schema}.login SET day = CAST(time AS date)")
    harness.execute(f"ALTER TABLE {harness.schema}.login RENAME COLUMN time TO moment")
    harness.execute(f"ALTER TABLE {harness.schema}.login RENAME COLUMN day TO time")
    reason = harness.fail_to_load(harness.write_files(*NEW)).reason
    assert 'the time column "time" has type date' in reason
    assert len(harness.rows()) == len(before)


@pytest.mark.parametrize("type_", ["timestamp(0)", "timestamp(3)"])
def test_a_timestamp_of_less_precision_is_a_time_column_on_postgresql(on_postgres, type_):
    on_postgres.create_table(columns={"time": type_, "name": "varchar(5)", "n": "integer"}, rows=())
    check(on_postgres)


@pytest.mark.parametrize("missing", [("backup", "fingerprint"), ("fingerprint",)])
def test_a_replay_log_of_an_older_version_is_read_and_migrated(harness, missing):
    harness.create_table()
    harness.load_table(harness.write_files(*NEW), run_tag="before")
    for column in missing:
        harness.execute(f'ALTER TABLE {harness.control}.replay DROP COLUMN "{column}"')
    with Session(harness.warehouse.connection_info) as session:
        (row,) = replay_log_rows(session, harness.control)
    assert (row.run_tag, row.deleted, row.inserted) == ("before", 2, 2)
    assert [getattr(row, column) for column in missing] == [""] * len(missing)
    statements = migrate_replay_log(harness.warehouse, harness.control)
    assert len(statements) == len(missing)
    assert migrate_replay_log(harness.warehouse, harness.control) == ()
    check(harness)
    harness.load_table(harness.write_files(*NEW), run_tag="after")


def test_a_replay_log_that_the_user_may_not_alter_is_not_migrated(as_loader):
    harness, limited, _ = as_loader
    harness.load_table(harness.write_files(*NEW))
    harness.execute(f"ALTER TABLE {harness.control}.replay DROP COLUMN fingerprint")
    with pytest.raises(WarehouseError) as refused:
        migrate_replay_log(limited.warehouse, limited.control)
    assert f"the replay log {harness.control}.replay cannot be upgraded: must be" in str(
        refused.value
    )
    assert "have the owner of the table run this statement" in str(refused.value)


def test_other_tables_are_not_migrated(harness):
    harness.execute(f"CREATE TABLE {harness.control}.replay (run_tag varchar(10), ts timestamp)")
    assert migrate_replay_log(harness.warehouse, harness.control) == ()


def test_a_missing_bucket_is_reported(harness):
    harness.create_table()
    harness.bucket = "no-such-bucket"
    (problem,) = problems(harness)
    assert "cannot read the run's files below s3://no-such-bucket/" in problem


def test_a_role_that_may_not_read_the_bucket_is_reported_without_showing_it(on_redshift, s3_client):
    harness = on_redshift
    harness.create_table()
    harness.iam_role = ROLE
    check(harness)
    harness.bucket = f"denied-{harness.id}"
    s3_client.create_bucket(
        Bucket=harness.bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    (problem,) = problems(harness)
    assert f"COPY cannot read s3://{harness.bucket}/: " in problem
    assert "Access Denied" in problem
    assert "marked" not in problem


def test_a_role_that_cannot_be_assumed_is_reported_without_showing_it(on_redshift):
    on_redshift.create_table()
    on_redshift.iam_role = "arn:aws:iam::123456789012:role/marked-other"
    (problem,) = problems(on_redshift)
    assert "is not authorized to assume IAM Role ***" in problem
    assert "associate the role in warehouse.iam_role with the cluster or workgroup" in problem


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "Problem reading manifest file - S3ServiceException:The bucket you are attempting to "
            "access must be addressed using the specified endpoint. Please send all future "
            "requests to this endpoint.,Status 301,Error PermanentRedirect,Rid 0A1B",
            "set s3.region to the region of the bucket",
        ),
        (
            "The requested role arn:aws:iam::123456789012:role/r is not associated to cluster",
            "associate the role in warehouse.iam_role with the cluster or workgroup",
        ),
        (
            "Not authorized to get credentials of role arn:aws:iam::123456789012:role/r",
            "associate the role in warehouse.iam_role with the cluster or workgroup",
        ),
        (
            "Problem reading manifest file - S3ServiceException:The provided token has expired.,"
            "Status 400,Error ExpiredToken,Rid 0A1B",
            "run the same command again",
        ),
        (
            "Problem reading manifest file - S3ServiceException:The specified bucket does not "
            "exist,Status 404,Error NoSuchBucket,Rid 0A1B",
            "create the bucket, or correct output.base",
        ),
        (
            "COPY with MANIFEST parameter requires full path of an S3 object.",
            "grant the role in warehouse.iam_role s3:GetObject and s3:ListBucket there",
        ),
        (
            "Problem reading manifest file - S3 connection timed out",
            "check warehouse.iam_role, s3.region and the network",
        ),
        (
            "Query (48) cancelled on user's request due to statement timeout",
            "check warehouse.iam_role, s3.region and the network",
        ),
    ],
)
def test_every_error_of_the_role_except_a_missing_object_is_reported(
    on_redshift, redshift, message, advice
):
    on_redshift.create_table()
    on_redshift.iam_role = ROLE
    redshift.inject("NOLOAD", message=message, detail="")
    (problem,) = problems(on_redshift)
    assert problem.startswith(f"COPY cannot read {on_redshift.output}: {message}")
    assert advice in problem.partition(message)[2]


def test_a_bucket_in_another_region_is_reported(on_redshift):
    on_redshift.create_table()
    on_redshift.iam_role = ROLE
    on_redshift.s3 = on_redshift.s3.model_copy(update={"region": "eu-west-1"})
    (problem,) = problems(on_redshift)
    assert "Error PermanentRedirect" in problem
    assert "set s3.region to the region of the bucket" in problem


def test_a_role_that_finds_no_object_may_read_the_bucket(on_redshift, redshift):
    on_redshift.create_table()
    on_redshift.iam_role = ROLE
    redshift.inject(
        "NOLOAD",
        message="Problem reading manifest file - S3ServiceException:The specified key does not "
        "exist.,Status 404,Error NoSuchKey,Rid 0A1B,ExtRid 0A1B,CanRetry 1",
        detail="",
    )
    check(on_redshift)


def test_a_role_that_cannot_be_checked_without_temporary_tables_is_reported(on_redshift, redshift):
    on_redshift.create_table()
    on_redshift.iam_role = ROLE
    denied = 'permission denied to create temporary tables in database "dev"'
    redshift.inject('TABLE "spade_preflight"', message=denied, detail="", sqlstate="42501")
    (problem,) = problems(on_redshift)
    assert f"the role in warehouse.iam_role cannot be checked: {denied}" in problem


def test_redshift_reads_only_from_s3(on_redshift, tmp_path):
    on_redshift.create_table()
    with pytest.raises(WarehouseError, match="Redshift can only read from S3"):
        preflight.require_preflight(
            on_redshift.warehouse, [LOGIN], WINDOW, on_redshift.settings, output=str(tmp_path)
        )


def test_a_column_type_that_copy_cannot_load_is_reported(on_redshift, on_postgres):
    on_redshift.create_table(rows=())
    # PostgreSQL, behind the stand-in, has no type that Redshift has and COPY cannot load.
    table = f"{on_redshift.schema}.login"
    on_postgres.execute(f"ALTER TABLE {table} DROP COLUMN name, ADD COLUMN name inet")
    (problem,) = problems(on_redshift)
    assert 'column "name" has type inet, which COPY cannot load from text' in problem


def test_the_columns_that_the_fingerprint_leaves_out_are_named(on_redshift, behind_redshift):
    on_redshift.create_table()
    behind_redshift(f"ALTER TABLE {on_redshift.schema}.login ADD span interval day to second")
    (status,) = check(on_redshift)
    assert list(column_differences(LOGIN, status)) == [
        "span is not in Blueprint: new rows get its default value",
        "span is interval day to second: the fingerprint leaves it out, so an undo does not notice "
        "changes of its values",
    ]


def test_the_ascii_letters_of_names_are_folded_to_lower_case_on_redshift(on_redshift):
    on_redshift.create_table(
        columns={"time": "timestamp", "n": "integer", "ÉTÉ": "integer"}, rows=()
    )
    outbound = (
        Column("t", "TIME", "f@timestamp@unix"),
        Column("n", "N", "int"),
        Column("é", "ÉTÉ", "int"),
    )
    upper = Table("Login", 3, outbound)
    on_redshift.execute(
        f"INSERT INTO {on_redshift.control}.table_version VALUES ('Login', 3, '2017-01-01')"
    )
    (status,) = check(on_redshift, upper)
    assert [column.name for column in status.columns] == ["time", "n", "ÉtÉ"]


def test_a_warehouse_is_recognized_by_its_version(on_postgres, redshift, s3_settings):
    assert on_postgres.warehouse.name == "PostgreSQL"
    settings = WarehouseSettings.model_validate({"url": redshift.url})
    assert open_warehouse(settings, s3_settings).name == "Redshift"


def test_copy_without_credentials_is_a_settings_error(redshift, s3_settings, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    settings = WarehouseSettings.model_validate({"url": redshift.url})
    with pytest.raises(SettingsError, match="or provide AWS keys to this process"):
        open_warehouse(settings, s3_settings)
