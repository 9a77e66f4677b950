"""SQL statements: quoted for the warehouse, displayed without secrets."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spade_spark.errors import WarehouseError
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.sql import Identifier, Literal, Placeholder, Secret, Sql, identifiers

TEXT = st.text(st.characters(exclude_characters="\\\0", codec="utf-8"))


def test_a_secret_is_sent_in_clear_and_never_shown():
    statement = Sql("COPY x FROM ", Literal("s3://b/k"), " KEY ", Secret("marked's"))
    assert statement.sql() == "COPY x FROM 's3://b/k' KEY 'marked''s'"
    assert str(statement) == "COPY x FROM 's3://b/k' KEY '***'"
    assert "marked" not in repr(statement)
    assert statement.secrets == ("marked's",)


def test_a_statement_with_a_placeholder_can_be_shown_but_not_run():
    statement = Sql("INSERT INTO t VALUES (", Placeholder("rows_deleted"), ")")
    assert str(statement) == "INSERT INTO t VALUES (:rows_deleted)"
    with pytest.raises(WarehouseError, match="without a value for rows_deleted cannot be run"):
        statement.sql()


def test_names_are_quoted_one_by_one():
    assert Identifier("physical", 'we"ird').sql() == '"physical"."we""ird"'
    assert identifiers(["a", "b"]).sql() == '"a", "b"'


def test_times_are_written_without_a_time_zone():
    assert Literal(datetime(2017, 11, 4, 13, 0, 0, 5)).sql() == "'2017-11-04 13:00:00.000005'"  # noqa: DTZ001 - the column has no zone


@pytest.mark.parametrize("value", ["a\\b", "a\0b"])
@pytest.mark.parametrize("kind", [Literal, Secret])
def test_ambiguous_values_are_rejected_without_showing_them(kind, value):
    with pytest.raises(WarehouseError, match=r"ambiguous in SQL|SQL cannot contain") as refused:
        kind(value).sql()
    assert value not in str(refused.value)


@given(TEXT, TEXT.filter(lambda name: 0 < len(name.encode()) < 60))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_and_any_name_survive_quoting(shared_database, text, name):
    with Session(ConnectionInfo.parse(shared_database)) as session:
        session.run(Sql("CREATE TEMP TABLE quoted (", Identifier(name), " text)"))
        session.run(Sql("INSERT INTO quoted VALUES (", Literal(text), ")"))
        rows = session.rows(Sql("SELECT ", Identifier(name), " FROM quoted"))
    assert rows == [(text,)]
