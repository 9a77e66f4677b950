"""All names in SQL are quoted: reserved words are valid names only in quotes."""

from __future__ import annotations

import ast
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

import spade_spark
from spade_spark.blueprint.schema import Column, Table
from spade_spark.runs.load_results import UndoSucceeded
from spade_spark.sandbox import demo_queries
from spade_spark.warehouse import preflight, replay_log
from spade_spark.warehouse.backup import backups_before, drop
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.warehouse.sql import Sql
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.warehouse.window_swap import WindowSwap
from tests.support.sql_words import RESERVED, unquoted_names
from tests.warehouse.conftest import ROLE
from tests.warehouse.harness import FAST_RETRIES, GUARDS, NEW, WINDOW, WarehouseHarness, no_lock

LOGIN = Table(
    "login",
    3,
    (
        Column("time", "time", "f@timestamp@unix"),
        Column("name", "name", "varchar", "(5)"),
        Column("n", "n", "int"),
    ),
)


@pytest.fixture
def sent(monkeypatch):
    """Records the distinct statements that sessions send."""
    statements: dict[str, None] = {}

    def record(method):
        def recorded(session, statement, *more):
            statements[statement.sql()] = None
            return method(session, statement, *more)

        return recorded

    for name in ("run", "rows", "copy_in"):
        monkeypatch.setattr(Session, name, record(getattr(Session, name)))
    return statements


def check(harness: WarehouseHarness) -> tuple[preflight.TableStatus, ...]:
    return preflight.require_preflight(
        harness.warehouse, [LOGIN], WINDOW, harness.settings, output=harness.output
    ).tables


def undo(harness: WarehouseHarness) -> UndoSucceeded:
    with Session(harness.warehouse.connection_info) as session:
        loads = replay_log_rows(session, harness.control)[-1:]
    (outcome,) = undo_tables(
        harness.warehouse,
        loads,
        harness.settings,
        guards=GUARDS,
        verify_lock=no_lock,
        retries=FAST_RETRIES,
    )
    assert isinstance(outcome, UndoSucceeded), outcome
    return outcome


def assert_names_are_quoted(statements) -> None:
    unquoted = {sql: names for sql in statements if (names := unquoted_names(sql))}
    assert not unquoted, "\n".join(f"{names} in: {sql}" for sql, names in unquoted.items())


def test_a_load_an_undo_a_prune_and_a_plan_quote_every_name(harness, sent):
    harness.create_table()
    files = harness.write_files(*NEW)
    (table,) = check(harness)
    swap = WindowSwap(
        harness.warehouse, schemas_from_settings(harness.settings), files, WINDOW, "tag"
    )
    plan = [str(statement) for statement in swap.script(table.columns, table.all_columns)]
    harness.load_table(files)
    harness.skip_load(files)
    harness.load_table(files, guards=LoadGuards(force=True), run_tag="forced")
    harness.fail_to_load(
        harness.write_files(b'"2017-11-04 13:30:00"\t"x"\t"abc"'), run_tag="refused"
    )
    undo(harness)
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with Session(harness.warehouse.connection_info) as session:
        replay_log.was_committed(
            session,
            swap.rows.lock,
            swap.rows.log_key,
            datetime(2017, 11, 4),  # noqa: DTZ001 - the column has no zone
        )
        for backup in backups_before(session, harness.warehouse, harness.schemas, later):
            drop(session, harness.warehouse, harness.schemas, backup)
    for command in ("CREATE TABLE", "COPY", "INSERT INTO", "DELETE", "DROP TABLE", "LOCK", "SET"):
        assert any(sql.startswith(command) for sql in sent), f"no {command} was recorded"
    assert_names_are_quoted([*sent, *plan])


def test_the_check_of_a_role_and_the_upgrade_of_the_replay_log_quote_every_name(on_redshift, sent):
    on_redshift.create_table()
    on_redshift.iam_role = ROLE
    check(on_redshift)
    assert any("NOLOAD" in sql for sql in sent)
    assert_names_are_quoted(
        [*sent, *(statement.sql() for statement in replay_log.add_columns("infra"))]
    )


def test_columns_named_after_reserved_words_are_loaded_and_undone(harness):
    # OID is reserved, but also the name of a system column, which a table cannot have.
    names = sorted(word.lower() for word in RESERVED - {"OID"})
    columns = {"time": "timestamp", **dict.fromkeys(names, "varchar(5)")}
    harness.create_table(columns=columns, rows=[("2017-11-04 13:00:00", *["old"] * len(names))])
    row = b"\t".join([b'"2017-11-04 13:30:00"', *[b'"new"'] * len(names)])
    harness.load_table(harness.write_files(row, columns=tuple(columns)))
    assert harness.rows(columns='"backup"') == [("new",)]
    undo(harness)
    assert harness.rows(columns='"backup"') == [("old",)]


def written_statements() -> list[ParameterSet]:
    """Return each statement in the package's source, with ``"x"`` for composed parts."""
    parameters = []
    for path in sorted(Path(spade_spark.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == Sql.__name__:
                sql = "".join(map(_text, node.args))
                parameters.append(pytest.param(sql, id=f"{path.name}:{node.lineno}"))
    assert parameters
    return parameters


def _text(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    if isinstance(part, ast.JoinedStr):
        return "".join(map(_text, part.values))
    if isinstance(part, ast.IfExp):
        return f"{_text(part.body)} {_text(part.orelse)}"
    if isinstance(part, ast.FormattedValue):
        return "formatted_value"  # a value in an f-string is never quoted
    return '"x"'


@pytest.mark.parametrize("sql", written_statements())
def test_no_statement_in_the_source_has_an_unquoted_name(sql):
    assert not unquoted_names(sql), sql


@pytest.mark.parametrize("query", demo_queries.DEMO_QUERIES, ids=lambda query: query.table)
def test_the_demos_conditions_quote_every_name(query):
    assert not unquoted_names(query.symptom)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ('SELECT "backup" FROM "infra"."replay"', []),
        ("SELECT backup, ts FROM replay", ["BACKUP", "ts", "replay"]),
        ('CREATE TABLE "t" ("ts" TIMESTAMP NOT NULL, "d" DOUBLE PRECISION)', []),
        ('CREATE TABLE "t" (timestamp TIMESTAMP)', ["TIMESTAMP"]),
        ('SELECT "n" FROM "t" WHERE region = 1', ["region"]),
        ('SELECT table, "size" FROM "t" WHERE schema = \'x\'', ["TABLE", "schema"]),
        ('ALTER TABLE "s"."t" DROP COLUMN column', ["COLUMN"]),
        ('SELECT MAX(version) FROM "t" a', ["version", "a"]),
        ("SELECT 'tag' || :name, CAST(\"n\" AS character varying(5))", []),
    ],
)
def test_keywords_are_distinguished_from_names(sql, names):
    assert unquoted_names(sql) == names
