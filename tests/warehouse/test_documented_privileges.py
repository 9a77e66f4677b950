"""The privileges in ``docs/redshift.md`` are enough for everything that a loader does."""

from __future__ import annotations

import re
import uuid
from contextlib import closing
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from spade_spark.warehouse.backup import backups_before, drop
from spade_spark.warehouse.connection import Session
from tests.docs.pages import DOCS, blocks
from tests.support.redshift import RedshiftServer
from tests.warehouse.harness import NEW, OLD, REPLACED, WarehouseHarness
from tests.warehouse.test_preflight import problems
from tests.warehouse.test_sql_names import check, undo


@pytest.fixture(params=["PostgreSQL", "Redshift"])
def administrator(request, database, redshift_access, on_postgres):
    """A harness in a database of its own, whose users have no privileges."""
    s3 = (on_postgres.s3, on_postgres.client, on_postgres.bucket)
    harness = WarehouseHarness(database, *s3)
    name = database.partition("?")[0].rpartition("/")[2]
    harness.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    harness.execute(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC")
    if request.param == "PostgreSQL":
        yield harness
        return
    with RedshiftServer(database, redshift_access) as server:
        yield WarehouseHarness(server.url, *s3)


def documented_privileges(harness: WarehouseHarness, user: str) -> list[str]:
    """Return the statements of the page, with the names of the test."""
    page = (DOCS / "redshift.md").read_text("utf-8")
    (block,) = [block.text for block in blocks(page) if "GRANT TEMP" in block.text]
    database = harness.url.partition("?")[0].rpartition("/")[2]
    names = {
        "physical": harness.schema,
        "infra": harness.control,
        "replay_backup": harness.backups,
        "events": database,
        "loader": user,
    }
    text = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), block)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def single_privileges(statements: list[str]) -> list[str]:
    """Return each privilege on each object of the GRANTs: ``SELECT ON infra.table_version``."""
    grant = re.compile(r"GRANT (.+) ON ((?:DATABASE |(?:ALL TABLES IN )?SCHEMA )?)(.+) TO \w+")
    return [
        f"{privilege} ON {kind}{name}"
        for privileges, kind, names in (
            match.groups() for match in map(grant.fullmatch, statements) if match
        )
        for privilege in privileges.split(", ")
        for name in names.split(", ")
    ]


@pytest.fixture
def run_as_administrator(database):
    """Runs statements in PostgreSQL, behind the stand-in."""
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def run(*statements: str) -> None:
            for statement in statements:
                cursor.execute(statement)

        yield run


@pytest.fixture
def user(administrator, run_as_administrator):
    """A user with the documented privileges."""
    name = f"loader_{uuid.uuid4().hex[:8]}"
    administrator.create_table()
    run_as_administrator(f"CREATE ROLE {name} LOGIN", *documented_privileges(administrator, name))
    return name


@pytest.fixture
def limited(administrator, user):
    """The harness as that user."""
    harness = WarehouseHarness.__new__(WarehouseHarness)
    url = administrator.url.replace("//postgres@", f"//{user}@")
    url = url.replace("//postgres:", f"//{user}:")
    harness.__dict__.update(administrator.__dict__, url=url)
    return harness


def test_each_documented_privilege_is_necessary(administrator, run_as_administrator, user, limited):
    privileges = single_privileges(documented_privileges(administrator, user))
    assert len(privileges) == 10
    for privilege in privileges:
        run_as_administrator(f"REVOKE {privilege} FROM {user}")
        assert any(privilege.split()[0] in problem for problem in problems(limited)), privilege
        run_as_administrator(f"GRANT {privilege} TO {user}")
    check(limited)


def test_a_user_with_the_documented_privileges_plans_loads_undoes_and_prunes(
    administrator, limited
):
    check(limited)
    limited.load_table(limited.write_files(*NEW))
    assert administrator.rows() == REPLACED
    undo(limited)
    assert administrator.rows() == sorted(OLD)
    later = datetime.now(timezone.utc) + timedelta(days=1)
    warehouse = limited.warehouse
    with Session(warehouse.connection_info) as session:
        backups = backups_before(session, warehouse, limited.schemas, later)
        for backup in backups:
            drop(session, warehouse, limited.schemas, backup)
        assert len(backups) == 2
        assert backups_before(session, warehouse, limited.schemas, later) == ()
