"""The sandbox has wrong rows in a window, and correct rows outside it."""

import os

import psutil
import pytest

from spade_spark.runs.run_store import RunStore
from spade_spark.sandbox.demo_queries import DEMO_QUERIES, replay_log_rows, run_query
from spade_spark.sandbox.sample_schemas import MISTAKES, TABLES
from spade_spark.sandbox.sandbox import LOG_WINDOW, Sandbox
from spade_spark.settings import load
from spade_spark.storage.base import open_store
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.sql import Sql

EVENTS = 6000


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(EVENTS) as running:
        yield running


@pytest.fixture(scope="module")
def session(sandbox):
    with Session(ConnectionInfo.parse(sandbox.warehouse_url)) as opened:
        yield opened


def test_the_settings_file_is_complete(sandbox):
    settings = load(sandbox.settings_path, environ={})
    assert settings == sandbox.settings
    assert settings.s3.endpoint_url == sandbox.endpoint_url
    assert settings.warehouse.url.get_secret_value() == sandbox.warehouse_url


def test_the_edge_bucket_has_two_days_and_the_output_bucket_is_empty(sandbox):
    edge = open_store(sandbox.settings.input.edge, sandbox.settings.s3)
    assert {entry.key.partition("/")[0] for entry in edge.list()} == {"20261014", "20261015"}
    base = open_store(sandbox.settings.output.base, sandbox.settings.s3)
    assert list(base.list()) == []
    assert RunStore(base, "demo").completed_run() is None


@pytest.mark.parametrize("query", DEMO_QUERIES, ids=lambda query: query.table)
def test_most_rows_in_the_window_are_wrong(sandbox, session, query):
    result = run_query(session, query, sandbox.window, "physical")
    assert result.rows > 50
    assert result.wrong > result.rows / 2


@pytest.mark.parametrize("query", DEMO_QUERIES, ids=lambda query: query.table)
def test_rows_outside_the_window_are_correct(sandbox, session, query):
    in_window = run_query(session, query, sandbox.window, "physical")
    in_logs = run_query(session, query, LOG_WINDOW, "physical")
    assert in_window.outside[0] > 50
    assert in_logs.wrong == in_window.wrong
    assert in_logs.outside[0] == 0


def test_the_sandbox_names_the_tables_with_mistakes(sandbox):
    assert {query.table for query in DEMO_QUERIES} == {mistake.table for mistake in MISTAKES}
    assert set(sandbox.tables) == {query.table for query in DEMO_QUERIES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_warehouse_has_the_published_version(session, table):
    assert replay_log.version(session, "infra", table.name) == table.version


def test_the_replay_log_exists_and_is_empty(session):
    assert replay_log_rows(session, "infra") == []


def test_user_ids_were_looked_up(session):
    ((known, unknown),) = session.rows(
        Sql(
            "SELECT COUNT(*) FILTER (WHERE user_id IS NOT NULL), "
            "COUNT(*) FILTER (WHERE user_id IS NULL) FROM physical.purchase"
        )
    )
    assert 0 < unknown < known / 20


@pytest.mark.slow
def test_the_sandbox_removes_its_processes_files_and_variables():
    before = dict(os.environ)
    others = set(psutil.Process().children(recursive=True))
    with Sandbox(1000) as sandbox:
        children = set(psutil.Process().children(recursive=True)) - others
        assert sandbox.settings_path.exists()
        assert "AWS_ACCESS_KEY_ID" in os.environ
    _, alive = psutil.wait_procs(list(children), timeout=10)
    assert not sandbox.directory.exists()
    assert dict(os.environ) == before
    assert alive == []


@pytest.mark.slow
def test_an_error_at_the_start_removes_processes_and_files(monkeypatch):
    directories = []

    def fail(_settings, _logs, _wrong, scratch):
        directories.append(scratch.parent)
        raise RuntimeError("no")

    monkeypatch.setattr("spade_spark.sandbox.sandbox.fill_warehouse", fail)
    children_before = set(psutil.Process().children(recursive=True))
    with pytest.raises(RuntimeError, match="no"), Sandbox(1000):
        pass
    assert not directories[0].exists()
    assert set(psutil.Process().children(recursive=True)) <= children_before
