"""Check a Redshift cluster where its documentation is silent.

::

    python bench/redshift_check.py postgres://USER:PASSWORD@HOST:5439/DATABASE --s3 s3://BUCKET/PREFIX/

It creates scratch schemas, runs a preflight, a load, an undo and a prune of a small table and the
checks below, and drops the schemas. It reads and changes nothing else in the database.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
from rich.console import Console
from rich.markup import escape
from rich.table import Table as PrintedTable

if not __package__:  # run by its path: only this folder can be imported from
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.redshift_scratch import Scratch, message
from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import SpadeError
from spade_spark.runs.load_results import LoadFailed, LoadOutcome, TableFiles
from spade_spark.settings import S3Settings
from spade_spark.warehouse.backup import backups_before, drop
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import replay_log_rows
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.preflight import run_preflight
from spade_spark.warehouse.rollback import undo_tables
from spade_spark.warehouse.sql import Sql
from spade_spark.window import Window

WINDOW = Window.parse("2017-11-04 13:00:00", "2017-11-04 14:00:00")
LOGIN = Table(
    "login",
    1,
    (
        Column("time", "time", "f@timestamp@unix"),
        Column("name", "name", "varchar", "(5)"),
        Column("n", "n", "int"),
    ),
)
COLUMNS = ("time", "name", "n")


@dataclass(frozen=True)
class Check:
    """A question to the cluster, and the answer that the program relies on."""

    item: str
    expected: str
    ask: Callable[[Scratch], str]


@dataclass(frozen=True)
class Answer:
    """The cluster's answer to a check."""

    check: Check
    found: str

    @property
    def differs(self) -> bool:
        """Whether the cluster behaves in another way than the program expects."""
        return self.found != self.check.expected


def run_checks(scratch: Scratch) -> list[Answer]:
    """Ask all checks in order; an error is an answer too."""
    answers = []
    for check in CHECKS:
        try:
            found = check.ask(scratch)
        except (SpadeError, psycopg2.Error) as error:
            found = f"error: {message(error)}"
        answers.append(Answer(check, found))
    return answers


# The commands of the program, in this order.


def _preflight(scratch: Scratch) -> str:
    scratch.table("login", '"time" timestamp, "name" varchar(5), "n" integer')
    scratch.rows(
        f'CREATE TABLE "{scratch.name}_control"."table_version" '
        '("name" varchar(100), "version" integer, "ts" timestamp)'
    )
    scratch.rows(
        f'INSERT INTO "{scratch.name}_control"."table_version" '
        "VALUES ('login', 1, '2017-01-01 00:00:00')"
    )
    scratch.rows(
        f"INSERT INTO \"{scratch.name}\".\"login\" VALUES ('2017-11-04 13:00:00', 'old', 1)"
    )
    result = run_preflight(
        scratch.warehouse, [LOGIN], WINDOW, scratch.settings, output=scratch.output
    )
    return "; ".join(result.problems) or "no problems"


def _load(scratch: Scratch) -> str:
    files = scratch.write_files(
        "login", COLUMNS, b'"2017-11-04 13:30:00"\t"new"\t"2"', b'"2017-11-04 14:00:00"\t"n"\t"3"'
    )
    outcomes = [_load_files(scratch, files), _load_files(scratch, files)]
    return ", ".join(_outcome(outcome) for outcome in outcomes) + f": {_names(scratch)}"


def _load_files(scratch: Scratch, files: TableFiles, run_tag: str = "check") -> LoadOutcome:
    (outcome,) = load_tables(
        scratch.warehouse,
        [files],
        WINDOW,
        scratch.settings,
        run_tag=run_tag,
        guards=LoadGuards(),
        verify_lock=lambda: None,
    )
    return outcome


def _undo(scratch: Scratch) -> str:
    with Session(scratch.warehouse.connection_info) as session:
        loads = replay_log_rows(session, scratch.schemas.control)
    (outcome,) = undo_tables(
        scratch.warehouse,
        loads,
        scratch.settings,
        guards=LoadGuards(),
        verify_lock=lambda: None,
    )
    return f"{_outcome(outcome)}: {_names(scratch)}"


def _prune(scratch: Scratch) -> str:
    later = datetime.now(timezone.utc) + timedelta(days=1)
    with Session(scratch.warehouse.connection_info) as session:
        backups = backups_before(session, scratch.warehouse, scratch.schemas, later)
        for backup in backups:
            drop(session, scratch.warehouse, scratch.schemas, backup)
        left = backups_before(session, scratch.warehouse, scratch.schemas, later)
    return f"{len(backups)} dropped, {len(left)} left"


def _outcome(outcome: object) -> str:
    name = type(outcome).__name__
    return f"{name} ({outcome.reason})" if isinstance(outcome, LoadFailed) else name


def _names(scratch: Scratch) -> str:
    rows = scratch.rows(f'SELECT "name" FROM "{scratch.name}"."login" ORDER BY "time"')
    return ", ".join(name for (name,) in rows)


# COPY.


def _copied(value: bytes, type_: str = "character varying(5)") -> Callable[[Scratch], str]:
    """Return a check that loads one value with the program's options of COPY and reads it back."""

    def ask(scratch: Scratch) -> str:
        return _copy(scratch, scratch.write_files("value", ("id", "v"), b'"1"\t' + value), type_)

    return ask


def _copy(
    scratch: Scratch, files: TableFiles, type_: str = "character varying(5)", option: str = ""
) -> str:
    columns = [WarehouseColumn("id", "integer", False), WarehouseColumn("v", type_, False)]
    with Session(scratch.warehouse.connection_info) as session:
        session.run(Sql(f'CREATE TEMP TABLE "copied" ("id" integer, "v" {type_})'))
        session.run(Sql(scratch.warehouse.copy("copied", columns, files), option))
        rows = session.rows(Sql('SELECT "v" FROM "copied"'))
    return ", ".join(repr(v) if isinstance(v, str) else str(v) for (v,) in rows) or "no row"


def _wrong_length(scratch: Scratch) -> str:
    return _refusal(
        lambda: _copy(scratch, scratch.write_files("value", ("id", "v"), b'"1"\t"a"', size=1)),
        "content_length",
    )


def _missing_manifest(scratch: Scratch) -> str:
    files = TableFiles("value", 1, (), (), f"{scratch.output}missing.manifest", "")
    return _refusal(lambda: _copy(scratch, files, option=" NOLOAD"), "NoSuchKey")


def _load_error(scratch: Scratch) -> str:
    time = b'"2017-11-04 13:30:00"\t"x"\t'
    files = scratch.write_files("login", COLUMNS, time + b'"1"', time + b'"2"', time + b'"three"')
    outcome = _outcome(_load_files(scratch, files, run_tag="refused"))
    return "line 3, column n" if 'line 3, column "n"' in outcome else outcome


def _refusal(run: Callable[[], str], word: str) -> str:
    """Return ``word`` if the statement is refused with it."""
    try:
        return run()
    except SpadeError as error:
        return word if word in str(error) else f"error: {message(error)}"


# Statements in one session.


def _query(sql: str, *before: str) -> Callable[[Scratch], str]:
    """Return a check that runs a query, after other statements in the same session.

    ``{schema}`` is the scratch schema.
    """

    def ask(scratch: Scratch) -> str:
        with Session(scratch.warehouse.connection_info) as session:
            for statement in before:
                session.run(Sql(statement.format(schema=scratch.name)))
            rows = session.rows(Sql(sql.format(schema=scratch.name)))
        return ", ".join(str(value) for row in rows for value in row)

    return ask


def _statement(sql: str) -> Callable[[Scratch], str]:
    """Return a check that a statement outside a transaction succeeds."""

    def ask(scratch: Scratch) -> str:
        scratch.rows(sql.format(schema=scratch.name))
        return "accepted"

    return ask


def _reserved_word(scratch: Scratch) -> str:
    return _refusal(
        lambda: str(scratch.rows('SELECT backup FROM (SELECT 1 AS "backup") "t"')), "syntax error"
    )


def _commit_answer(*statements: str) -> Callable[[Scratch], str]:
    """Return a check for the answer to COMMIT after statements, one of which may fail."""

    def ask(scratch: Scratch) -> str:
        with scratch.cursor() as cursor:
            cursor.execute("BEGIN")
            for statement in statements:
                with suppress(psycopg2.Error):
                    cursor.execute(statement)
            cursor.execute("COMMIT")
            return str(cursor.statusmessage)

    return ask


def _process_id(scratch: Scratch) -> str:
    with Session(scratch.warehouse.connection_info) as session:
        ((pid,),) = session.rows(Sql("SELECT pg_backend_pid()"))
        return "equal" if pid == session.pid else "different"


# Two sessions.


def _lock_waits(scratch: Scratch) -> str:
    table = scratch.table("locked", '"n" integer')
    with scratch.cursor() as first, scratch.cursor() as second:
        first.execute("BEGIN")
        first.execute(f"LOCK TABLE {table}")
        second.execute("BEGIN")
        with _waiting(second, f"LOCK TABLE {table}") as lock:
            found = "waits" if lock.is_alive() else "does not wait"
            first.execute("COMMIT")
        return found


@contextmanager
def _waiting(cursor: Any, statement: str) -> Iterator[threading.Thread]:
    """Run a statement in a thread, which has one second before the block and ends after it."""
    thread = threading.Thread(target=cursor.execute, args=(statement,))
    thread.start()
    thread.join(timeout=1)
    try:
        yield thread
    finally:
        thread.join()


def _lock_before_snapshot(scratch: Scratch) -> str:
    """Lock in a transaction before it reads: it sees what was committed during the wait."""
    table = scratch.table("snapshot", '"n" integer')
    with scratch.cursor() as first, scratch.cursor() as second:
        first.execute("BEGIN")
        first.execute(f"LOCK TABLE {table}")
        second.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        with _waiting(second, f"LOCK TABLE {table}"):
            first.execute(f"INSERT INTO {table} VALUES (1)")
            first.execute("COMMIT")
        second.execute(f"SELECT COUNT(*) FROM {table}")
        return f"{second.fetchone()[0]} row seen"


def _conflict(scratch: Scratch) -> str:
    """Let two transactions read a table before both write it."""
    table = scratch.table("conflict", '"n" integer')
    with scratch.cursor() as first, scratch.cursor() as second:
        try:
            for cursor in (first, second):
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT COUNT(*) FROM {table}")
                cursor.fetchall()
            first.execute(f"INSERT INTO {table} VALUES (1)")
            first.execute("COMMIT")
            second.execute(f"INSERT INTO {table} VALUES (2)")
            second.execute("COMMIT")
        except psycopg2.Error as error:
            return "1023" if "1023" in str(error) else f"error: {message(error)}"
        return "no conflict"


def _parallel_backups(scratch: Scratch) -> str:
    """Create two tables in two transactions at the same time."""
    create = 'CREATE TABLE "{schema}"."backup_{number}" AS SELECT * FROM "{schema}"."login"'
    with scratch.cursor() as first, scratch.cursor() as second:
        for cursor in (first, second):
            cursor.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        first.execute(create.format(schema=scratch.name, number=1))
        with _waiting(second, create.format(schema=scratch.name, number=2)) as backup:
            found = "wait" if backup.is_alive() else "do not wait"
            first.execute("COMMIT")
        second.execute("COMMIT")
        return found


CHECKS = (
    Check("preflight", "no problems", _preflight),
    Check("load, and the same load again", "TableLoaded, LoadAlreadyDone: new, n", _load),
    Check("undo", "UndoSucceeded: old", _undo),
    Check("prune of the backups", "2 dropped, 0 left", _prune),
    Check("position of a load error", "line 3, column n", _load_error),
    Check('COPY: "" is NULL (EMPTYASNULL)', "None", _copied(b'""')),
    Check("COPY: blanks only are an empty value", "''", _copied(b'"   "')),
    Check("COPY: trailing blanks (TRIMBLANKS)", "'ab'", _copied(b'"ab  "')),
    Check("COPY: blanks are trimmed before truncation", "'a    '", _copied(b'"a      b"')),
    Check("COPY: a quoted \\N is the letter N", "'N'", _copied(b'"\\N"')),
    Check("COPY: truncation at a character boundary", "'éé'", _copied('"ééé"'.encode())),
    Check("COPY: an invalid UTF-8 byte", "'a?b'", _copied(b'"a\xffb"')),
    Check("COPY: rounding (ROUNDEC)", "1.24", _copied(b'"1.235"', "numeric(4,2)")),
    Check("COPY: a missing value (FILLRECORD)", "None", _copied(b"")),
    Check("COPY: a wrong content_length", "content_length", _wrong_length),
    Check("COPY with NOLOAD: a missing manifest", "NoSuchKey", _missing_manifest),
    Check(
        "CAST truncates at a character boundary",
        "éé",
        _query(
            'SELECT CAST("v" AS character varying(5)) FROM "cast"',
            'CREATE TEMP TABLE "cast" ("v" character varying(9))',
            "INSERT INTO \"cast\" VALUES ('ééé')",
        ),
    ),
    Check("FNV_HASH of NULL", "None", _query("SELECT FNV_HASH(CAST(NULL AS integer))")),
    Check(
        "FNV_HASH of a cast and of a column",
        "True",
        _query(
            'SELECT FNV_HASH(CAST("a" AS character varying(5))) = FNV_HASH("b") FROM "hashed"',
            'CREATE TEMP TABLE "hashed" ("a" character varying(9), "b" character varying(5))',
            "INSERT INTO \"hashed\" VALUES ('abc', 'abc')",
        ),
    ),
    Check(
        "names are folded to lower case",
        "name",
        _query(
            'SELECT "a"."attname" FROM "pg_attribute" "a" JOIN "pg_class" "c" ON '
            '"c"."oid" = "a"."attrelid" WHERE "c"."relname" = \'folded\' AND '
            '"a"."attnum" = 1',
            'CREATE TEMP TABLE "Folded" ("Name" integer)',
        ),
    ),
    Check("a reserved word without quotes", "syntax error", _reserved_word),
    Check("several SET_CONFIG in one query", "pg_catalog, pg_temp", _query("SHOW search_path")),
    Check("the process id of the protocol", "equal", _process_id),
    Check("the answer to COMMIT", "COMMIT", _commit_answer("SELECT 1")),
    Check("the answer to COMMIT after an error", "ROLLBACK", _commit_answer("SELECT 1 / 0")),
    Check(
        "the catalog shows DISTSTYLE ALL",
        "8",
        _query(
            'SELECT "reldiststyle" FROM "pg_class" WHERE "relname" = \'everywhere\'',
            'CREATE TABLE "{schema}"."everywhere" ("n" integer) DISTSTYLE ALL',
        ),
    ),
    Check(
        "a column is added to the replay log",
        "accepted",
        _statement(
            'ALTER TABLE "{schema}"."login" ADD COLUMN "added" VARCHAR(9) DEFAULT \'\' NOT NULL'
        ),
    ),
    Check("ANALYZE", "accepted", _statement('ANALYZE "{schema}"."login"')),
    Check("VACUUM DELETE ONLY", "accepted", _statement('VACUUM DELETE ONLY "{schema}"."login"')),
    Check(
        "SVV_TABLE_INFO can be read",
        "1",
        _query(
            'SELECT COUNT(*) FROM "svv_table_info" WHERE "schema" = \'{schema}\' AND '
            "\"table\" = 'login'"
        ),
    ),
    Check("LOCK waits for another LOCK", "waits", _lock_waits),
    Check("LOCK before the snapshot", "1 row seen", _lock_before_snapshot),
    Check("transactions that read and write one table", "1023", _conflict),
    Check("two backups at the same time", "do not wait", _parallel_backups),
)


def print_report(answers: Sequence[Answer], console: Console) -> None:
    """Print the checks whose answer differs."""
    different = [answer for answer in answers if answer.differs]
    if different:
        table = PrintedTable("item", "expected", "found")
        for answer in different:
            table.add_row(*map(escape, (answer.check.item, answer.check.expected, answer.found)))
        console.print(table)
    console.print(f"{len(answers)} checks, {len(different)} differ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks; return 1 if an answer differs."""
    parser = argparse.ArgumentParser(
        prog="bench/redshift_check.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("url", nargs="?", help="the warehouse URL; better in SPADE_RSURL")
    parser.add_argument("--s3", required=True, metavar="URL", help="a prefix for the files")
    parser.add_argument("--region", default="us-west-2", help="the region of the prefix")
    parser.add_argument("--iam-role", default="", help="COPY's role; else this process's AWS keys")
    parser.add_argument("--endpoint-url", default="", help="an S3 API other than AWS")
    options = parser.parse_args(arguments)
    url = options.url or os.environ.get("SPADE_RSURL", "")
    s3 = S3Settings(endpoint_url=options.endpoint_url, region=options.region)
    try:
        with Scratch(url, s3, options.s3, options.iam_role) as scratch:
            answers = run_checks(scratch)
    except SpadeError as error:
        print(f"The checks cannot run: {error}", file=sys.stderr)
        return 2
    print_report(answers, Console())
    return int(any(answer.differs for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
