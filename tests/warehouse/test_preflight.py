"""What is looked at before anything is computed: all problems at once, each with what to do."""

from __future__ import annotations

from datetime import datetime

import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import SettingsError, WarehouseError
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import preflight
from spade_spark.warehouse.dialects.base import open_warehouse
from tests.warehouse.conftest import ROLE
from tests.warehouse.harness import NEW, REPLACED, WINDOW, Lab

LOGIN = Table(
    "login",
    3,
    (
        Column("time", "time", "f@timestamp@unix"),
        Column("name", "name", "varchar", "(5)"),
        Column("n", "n", "int"),
    ),
)


def check(lab, *tables, **settings):
    changed = {**lab.settings.model_dump(by_alias=True), **settings}
    return preflight.require_preflight(
        lab.warehouse,
        tables or [LOGIN],
        WINDOW,
        WarehouseSettings.model_validate(changed),
        output=lab.output,
    )


def problems(lab, *tables, **settings):
    with pytest.raises(WarehouseError) as refused:
        check(lab, *tables, **settings)
    first, *found = str(refused.value).split("\n")
    assert "nothing was started" in first
    return [problem.strip() for problem in found]


def test_a_table_that_is_fit_is_told_with_its_rows_by_hour(lab):
    lab.table(
        columns={"time": "timestamp", "name": "varchar(5)", "n": "integer", "x": "date"}, rows=()
    )
    for time in ("12:59:59", "13:00:00", "13:59:59", "14:00:00", "14:00:01"):
        lab.run(f"INSERT INTO {lab.schema}.login (time) VALUES ('2017-11-04 {time}')")
    (state,) = check(lab)
    assert (state.table, state.version, state.rows) == ("login", 3, 3)
    assert [column.name for column in state.columns] == ["time", "name", "n"]
    assert state.others == ("x",)
    hours = ((datetime(2017, 11, 4, 13), 2), (datetime(2017, 11, 4, 14), 1))  # noqa: DTZ001 - the column has no zone
    assert state.hours == hours


def test_looking_writes_nothing(lab):
    lab.table()
    check(lab)
    made = lab.run("SELECT COUNT(*) FROM pg_class WHERE relname = 'replay' AND relnamespace = "
                   f"(SELECT oid FROM pg_namespace WHERE nspname = '{lab.control}')")  # fmt: skip
    assert made == [(0,)]


def test_all_problems_of_all_tables_are_told_at_once(lab):
    lab.table("login", columns={"time": "timestamp", "n": "integer"}, rows=(), version=2)
    lab.table("newer")
    lab.run(f"INSERT INTO {lab.control}.table_version VALUES ('newer', 7, '2017-01-02')")
    lab.run(f"CREATE TABLE {lab.schema}.unversioned (time timestamp)")
    tables = [
        LOGIN,
        Table("newer", 3, LOGIN.columns),
        Table("missing", 1, LOGIN.columns),
        Table("unversioned", 1, LOGIN.columns[:1]),
        Table("timeless", 1, LOGIN.columns[1:]),
    ]
    lab.table("timeless", version=1)
    found = problems(lab, *tables)
    assert len(found) == 6
    for problem, expected in zip(
        found,
        [
            f'{lab.schema}.login has no column "name", which Blueprint has',
            f"{lab.control}.table_version has version 2 of login, the replay makes version 3",
            "has version 7 of newer, the replay makes version 3",
            f"there is no table {lab.schema}.missing",
            "has no version of unversioned, the replay makes version 1",
            'timeless has no column "time" that Blueprint fills',
        ],
        strict=True,
    ):
        assert expected in problem


def test_schemas_and_control_tables_that_are_not_there_are_named_with_their_setting(lab):
    assert problems(lab, schema="nowhere", control="neither") == [
        "there is no schema nowhere: create it, or set warehouse.schema right",
        "there is no schema neither: create it, or set warehouse.control right",
    ]
    lab.table()
    lab.run(f"DROP TABLE {lab.control}.table_version")
    assert f"there is no table {lab.control}.table_version(name, version, ts)" in problems(lab)[0]


def test_a_ledger_of_another_shape_is_refused(lab):
    lab.table()
    lab.run(f"CREATE TABLE {lab.control}.replay (run_tag varchar(10), ts timestamp)")
    (found,) = problems(lab)
    assert "lacks table_name, window_start" in found


@pytest.fixture
def as_loader(lab, request):
    """The lab, and the same as a user who was granted nothing but the use of the schemas."""
    user = f"loader_{lab.id}"
    server = request.getfixturevalue("redshift_server")
    lab.table()
    lab.run(f"CREATE ROLE {user} LOGIN")
    lab.run(f"CREATE SCHEMA {lab.backups}")
    lab.run(f"GRANT USAGE ON SCHEMA {lab.schema}, {lab.control}, {lab.backups} TO {user}")
    lab.run(f"GRANT CREATE ON SCHEMA {lab.backups} TO {user}")
    url = server.url_of(user)
    if "host=" in lab.url:
        url = lab.url.replace("postgres@", f"{user}@")
    limited = Lab.__new__(Lab)
    limited.__dict__.update(lab.__dict__, url=url)
    return lab, limited, user


def test_privileges_that_are_missing_are_named(as_loader):
    lab, limited, user = as_loader
    lab.load()
    lab.run(f"GRANT SELECT ON {lab.control}.table_version TO {user}")
    lab.run(f"GRANT SELECT ON {lab.schema}.login TO {user}")
    assert problems(limited) == [
        *(
            f"the user may not {privilege} on {lab.control}.replay: GRANT {privilege}"
            for privilege in ("SELECT", "INSERT", "DELETE")
        ),
        *(
            f"the user may not {privilege} on {lab.schema}.login: GRANT {privilege}"
            for privilege in ("INSERT", "DELETE")
        ),
    ]
    for table in (f"{lab.schema}.login", f"{lab.control}.replay"):
        lab.run(f"GRANT SELECT, INSERT, DELETE ON {table} TO {user}")
    check(limited)
    limited.loaded(limited.files(*NEW))
    assert lab.rows() == REPLACED


def test_a_ledger_that_may_not_be_created_is_told_with_the_statement_that_would(as_loader):
    lab, limited, user = as_loader
    lab.run(f"GRANT SELECT ON {lab.control}.table_version TO {user}")
    lab.run(f"GRANT SELECT, INSERT, DELETE ON {lab.schema}.login TO {user}")
    (found,) = problems(limited)
    assert f"there is no table {lab.control}.replay, and the user may not create it" in found
    assert f'CREATE TABLE IF NOT EXISTS "{lab.control}"."replay" ("run_tag" ' in found


def test_a_schema_for_backups_that_is_missing_or_closed_is_told_unless_none_is_wanted(as_loader):
    lab, limited, user = as_loader
    lab.load()
    lab.run(f"GRANT SELECT ON {lab.control}.table_version TO {user}")
    for table in (f"{lab.schema}.login", f"{lab.control}.replay"):
        lab.run(f"GRANT SELECT, INSERT, DELETE ON {table} TO {user}")
    check(limited)
    lab.run(f"REVOKE CREATE ON SCHEMA {lab.backups} FROM {user}")
    (found,) = problems(limited)
    assert f'GRANT CREATE ON SCHEMA "{lab.backups}", or set warehouse.backup = false' in found
    lab.run(f"DROP SCHEMA {lab.backups}")
    (found,) = problems(limited)
    assert f"there is no schema {lab.backups} for the rows that go" in found
    assert "or set warehouse.backup = false" in found
    check(limited, backup=False)
    check(lab)


def test_a_ledger_of_the_first_form_is_told_with_the_statements_that_bring_it_up_to_date(lab):
    lab.table()
    lab.load()
    for column in ("backup", "fingerprint"):
        lab.run(f"ALTER TABLE {lab.control}.replay DROP COLUMN {column}")
    (found,) = problems(lab)
    assert f"{lab.control}.replay is of an older form: bring it up to date: ALTER TABLE" in found
    for statement in found.partition("up to date: ")[2].split("; "):
        lab.run(statement)
    check(lab)
    lab.loaded(lab.files(*NEW))


def test_a_bucket_that_is_not_there_is_told(lab):
    lab.table()
    lab.bucket = "no-such-bucket"
    (found,) = problems(lab)
    assert "s3://no-such-bucket/ cannot be read" in found


def test_a_role_that_may_not_read_the_bucket_is_told_without_showing_the_role(
    on_redshift, s3_client
):
    lab = on_redshift
    lab.table()
    lab.iam_role = ROLE
    check(lab)
    lab.bucket = f"denied-{lab.id}"
    s3_client.create_bucket(
        Bucket=lab.bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    (found,) = problems(lab)
    assert f"COPY may not read s3://{lab.bucket}/: " in found
    assert "Access Denied" in found
    assert "marked" not in found


def test_a_role_that_may_not_be_assumed_is_told_without_showing_it(on_redshift):
    on_redshift.table()
    on_redshift.iam_role = "arn:aws:iam::123456789012:role/marked-other"
    (found,) = problems(on_redshift)
    assert "is not authorized to assume IAM Role ***" in found


def test_redshift_reads_from_s3_alone(on_redshift, tmp_path):
    on_redshift.table()
    with pytest.raises(WarehouseError, match="Redshift reads from S3 alone"):
        preflight.require_preflight(
            on_redshift.warehouse, [LOGIN], WINDOW, on_redshift.settings, output=str(tmp_path)
        )


def test_a_column_of_a_type_that_copy_cannot_fill_is_told(on_redshift):
    on_redshift.table(columns={"time": "timestamp", "name": "inet", "n": "integer"}, rows=())
    (found,) = problems(on_redshift)
    assert 'column "name" has the type inet, which COPY cannot fill from text' in found


def test_names_are_folded_on_redshift_as_its_catalog_does(on_redshift):
    on_redshift.table()
    upper = Table("Login", 3, (Column("t", "TIME", "f@timestamp@unix"), Column("n", "N", "int")))
    on_redshift.run(
        f"INSERT INTO {on_redshift.control}.table_version VALUES ('Login', 3, '2017-01-01')"
    )
    (state,) = check(on_redshift, upper)
    assert [column.name for column in state.columns] == ["time", "n"]


def test_a_warehouse_is_told_by_its_version(on_postgres, redshift, s3_settings):
    assert on_postgres.warehouse.name == "PostgreSQL"
    settings = WarehouseSettings.model_validate({"url": redshift.url})
    assert open_warehouse(settings, s3_settings).name == "Redshift"


def test_copy_without_any_credentials_is_a_settings_error(redshift, s3_settings, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    settings = WarehouseSettings.model_validate({"url": redshift.url})
    with pytest.raises(SettingsError, match="or give this process AWS"):
        open_warehouse(settings, s3_settings)
