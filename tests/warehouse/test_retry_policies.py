"""Queries before a load are retried, and their errors say what to do next."""

from __future__ import annotations

import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import ConnectionLostError, SerializationError, WarehouseError
from spade_spark.retry import RetryPolicy
from spade_spark.warehouse import preflight
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.sql import Sql
from tests.warehouse.harness import WINDOW

FAST_RETRIES = RetryPolicy(max_attempts=3, max_seconds=20, initial_wait=0.01, max_wait=0.02)
LOGIN = Table("login", 3, (Column("t", "time", "f@timestamp@unix"), Column("n", "n", "int")))


def run_preflight(harness):
    return preflight.run_preflight(
        harness.warehouse, [LOGIN], WINDOW, harness.settings, output=harness.output
    )


def select_one(session: Session) -> int:
    ((value,),) = session.rows(Sql("SELECT 1"))
    return int(value)


@pytest.mark.parametrize("action", ["refuse", "drop_before", "drop_after"])
def test_a_conflict_or_lost_connection_is_retried(redshift, action):
    fault = redshift.inject("^SELECT 1", action, times=2)
    assert query_with_retries(ConnectionInfo.parse(redshift.url), select_one, FAST_RETRIES) == 1
    assert fault.triggered == 2


def test_the_preflight_and_the_version_query_are_retried_after_a_lost_connection(
    on_redshift, redshift
):
    on_redshift.create_table()
    expected = run_preflight(on_redshift)
    faults = [redshift.inject(statement, "drop_before") for statement in ("version", "DATE_TRUNC")]
    assert run_preflight(on_redshift) == expected
    assert [fault.triggered for fault in faults] == [1, 1]


@pytest.mark.parametrize(
    ("action", "error"), [("refuse", SerializationError), ("drop_after", ConnectionLostError)]
)
def test_a_lasting_error_says_what_to_do(redshift, action, error):
    fault = redshift.inject("^SELECT 1", action, times=100)
    with pytest.raises(error, match="nothing was changed; run the same command again"):
        query_with_retries(ConnectionInfo.parse(redshift.url), select_one, FAST_RETRIES)
    assert fault.triggered == 3


def test_a_rejected_query_is_not_retried_and_says_what_to_do(redshift):
    fault = redshift.inject(
        "^SELECT 1", message="Disk Full", detail="", sqlstate="53100", times=100
    )
    advice = "Disk Full.*; fix this, then run the same command again"
    with pytest.raises(WarehouseError, match=advice):
        query_with_retries(ConnectionInfo.parse(redshift.url), select_one, FAST_RETRIES)
    assert fault.triggered == 1
