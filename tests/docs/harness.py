"""The environment of the examples in the documentation: logs, schemas and a warehouse.

An example is a block ``console run``. A page's examples run in order, in their own environment: an
S3 API with the buckets below, and the fake Redshift with two tables that have wrong rows in the
window. Partitions run on threads instead of Spark.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final
from unittest import mock

import boto3
import psycopg2

from spade_spark.cli.main import main
from spade_spark.sandbox.services import PostgresServer, S3Server
from tests.chaos.thread_spark import on_threads
from tests.docs.pages import Block, blocks
from tests.support import edge_logs
from tests.support.redshift import RedshiftServer, S3Access

KEYS: Final = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "marked-secret-key"}
BUCKETS: Final = ("blueprint", "edge-logs", "compacter", "lake")

SETTINGS: Final = """\
[blueprint]
schemas = "s3://blueprint/schemas.json"

[input]
edge = "s3://edge-logs/"

[output]
base = "s3://compacter/"
"""

TABLES: Final = (
    edge_logs.table(
        "login",
        edge_logs.column("time", "f@timestamp@unix"),
        edge_logs.column("login", "varchar", options="(40)"),
        edge_logs.column("attempts", "int"),
        version=3,
    ),
    edge_logs.table(
        "chat_message",
        edge_logs.column("time", "f@timestamp@unix"),
        edge_logs.column("channel", "varchar", options="(40)"),
        edge_logs.column("text", "varchar", options="(500)"),
    ),
)

_DDL: Final = """
CREATE SCHEMA physical;
CREATE SCHEMA infra;
CREATE TABLE infra.table_version (name varchar(127), version int, ts timestamp);
INSERT INTO infra.table_version VALUES ('login', 3, '2017-01-01'),
    ('chat_message', 1, '2017-01-01');
CREATE TABLE physical.login (time timestamp, login varchar(40), attempts int);
CREATE TABLE physical.chat_message (time timestamp, channel varchar(40), text varchar(500));
INSERT INTO physical.login VALUES ('2017-11-03 09:59:59', 'zoe', 1),
    ('2017-11-03 10:05:00', 'ann', NULL), ('2017-11-03 11:10:00', 'bob', NULL),
    ('2017-11-03 12:40:00', 'cem', NULL);
INSERT INTO physical.chat_message VALUES ('2017-11-03 10:20:00', 'wrong', 'wrong'),
    ('2017-11-03 11:50:00', 'wrong', 'wrong');
"""

_EXAMPLE: Final = ("console", "run")
_PROMPT: Final = "$ "
_WIDTH: Final = "200"
_DATABASE: Final = "events"
_SECRET: Final = KEYS["AWS_SECRET_ACCESS_KEY"]
_CLOSED: Final = ("2017-11-03T17:30:00", "2017-11-03T18:58:00", "2017-11-03T19:58:00")
_SILENT: Final = logging.NullHandler()

# Values that differ between runs. The replacements have the same length to keep tables aligned.
_REPLACEMENTS: Final = (
    (re.compile(r"postgres@127\.0\.0\.1:\d{5}"), "replayer@rs.example:5439"),
    (re.compile(r"127\.0\.0\.1:\d{5}"), "rs.example:5439"),
)
# Parts of the output that may differ: times of the run, durations, sizes, spaces and table rules.
_VOLATILE: Final = (
    (re.compile(r"\b20[23]\d-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? (s|B|kB|MB)\b"), "<quantity>"),
    (re.compile(r"\b\d+\.\d+\b"), "<number>"),
    (re.compile(r"\bon \d+ cores"), "on <number> cores"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<hash>"),
    (re.compile(r"[ \u2500-\u257f]+"), " "),
)


class Servers:
    """One S3 API and one PostgreSQL, shared by all pages.

    Attributes:
        redshift: The fake Redshift of the current environment.
    """

    redshift: RedshiftServer

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.s3 = self._stack.enter_context(S3Server(*BUCKETS))
        self.postgres = self._stack.enter_context(PostgresServer())

    def close(self) -> None:
        """Stop both."""
        self._stack.close()

    def run_examples(self, page: str, folder: Path) -> str:
        """Run a page's examples; return the page with their current output.

        Args:
            page: The page's text.
            folder: An empty directory, in which the commands run.
        """
        examples = [block for block in blocks(page) if (block.language, *block.flags) == _EXAMPLE]
        if not examples:
            return page
        parts, end = [], 0
        with self.environment(folder):
            for example in examples:
                start, after = example.span
                parts += [page[end:start], _run(example)]
                end = after
        return "".join((*parts, page[end:]))

    @contextmanager
    def environment(self, folder: Path) -> Iterator[str]:
        """The environment of one page's examples; the working directory is ``folder``.

        Yields:
            The URL of the PostgreSQL database behind the warehouse, for its owner.
        """
        self._fill_buckets()
        database = self.postgres.create_database(_DATABASE)
        access = S3Access(
            self.s3.endpoint_url, "us-west-2", {KEYS["AWS_ACCESS_KEY_ID"]: (_SECRET, "")}, {}
        )
        (folder / "replay.toml").write_text(SETTINGS, "utf-8")
        (folder / "edge.log").write_bytes(b"".join(line + b"\n" for line in _lines()[0]))
        before = Path.cwd()
        with RedshiftServer(database, access) as redshift, ExitStack() as stack:
            self.redshift = redshift
            self.execute(database, _DDL)
            environment = {
                **KEYS,
                "COLUMNS": _WIDTH,
                "NO_COLOR": "1",
                "SPADE_RSURL": redshift.url,
                "SPADE_S3__ENDPOINT_URL": self.s3.endpoint_url,
                # The logs were written just now, so their modification times say nothing.
                "SPADE_INPUT__TIME_SOURCE": "key",
            }
            stack.enter_context(mock.patch.dict(os.environ, environment))
            stack.callback(self._drop_database)
            stack.enter_context(on_threads())
            stack.callback(os.chdir, before)
            os.chdir(folder)
            yield database

    @staticmethod
    def execute(url: str, statements: str) -> None:
        """Run SQL statements in a PostgreSQL database with autocommit."""
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statements)

    def _drop_database(self) -> None:
        self.execute(self.postgres.url(), f"DROP DATABASE {_DATABASE} WITH (FORCE)")

    def _fill_buckets(self) -> None:
        resource = boto3.resource(
            "s3",
            endpoint_url=self.s3.endpoint_url,
            region_name="us-west-2",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_SECRET,
        )
        for name in BUCKETS:
            resource.Bucket(name).objects.all().delete()
        resource.Object("blueprint", "schemas.json").put(Body=edge_logs.schemas(*TABLES))
        for closed, lines in zip(_CLOSED, _lines(), strict=True):
            resource.Object("edge-logs", edge_logs.key(closed)).put(Body=edge_logs.log(lines))


def same_output(one: str, other: str) -> bool:
    """Whether two pages are equal except for volatile parts."""
    return comparable(one) == comparable(other)


def comparable(page: str) -> str:
    """Replace the volatile parts of a page."""
    for pattern, name in _VOLATILE:
        page = pattern.sub(name, page)
    return page


def _lines() -> list[list[bytes]]:
    """The lines of each log: events, an untracked event, a malformed payload, an invalid line."""
    return [
        [
            edge_logs.record("login", {"login": "ann", "attempts": 1}, "2017-11-03T17:05:00Z"),
            edge_logs.record(
                "chat_message", {"channel": "lobby", "text": "hello"}, "2017-11-03T17:20:00Z"
            ),
            edge_logs.envelope("{broken", "2017-11-03T17:25:00Z", uuid="u-2"),
            b"not an edge record",
        ],
        [
            edge_logs.record("login", {"login": "bob", "attempts": "two"}, "2017-11-03T18:10:00Z"),
            edge_logs.record(
                "chat_message", {"channel": "lobby", "text": "bye"}, "2017-11-03T18:50:00Z"
            ),
            edge_logs.record("play", {"title": "one", "live": True}, "2017-11-03T18:55:00Z"),
        ],
        [edge_logs.record("login", {"login": "cem", "attempts": 3}, "2017-11-03T19:40:00Z")],
    ]


def _run(example: Block) -> str:
    """Run an example; return each command line followed by its output."""
    text = ""
    for line in example.text.splitlines():
        if line.startswith(_PROMPT):
            text += f"{line}\n{output_of(line.removeprefix(_PROMPT))}"
    return text


def output_of(line: str) -> str:
    """Run a command line; return its standard output or, if that is empty, its standard error."""
    arguments = shlex.split(line)
    data = b""
    if "<" in arguments:
        position = arguments.index("<")
        data = Path(arguments[position + 1]).read_bytes()
        arguments[position : position + 2] = []
    if arguments[0] == "cat":
        return Path(arguments[1]).read_text("utf-8")
    assert arguments[0] == "spade-spark", f"an example runs {arguments[0]}"
    output, errors = io.StringIO(), io.StringIO()
    stdin = io.TextIOWrapper(io.BytesIO(data))
    # With an existing handler, the command does not add its own.
    logging.getLogger().addHandler(_SILENT)
    try:
        with redirect_stdout(output), redirect_stderr(errors), mock.patch("sys.stdin", stdin):
            main(arguments[1:])
    finally:
        logging.getLogger().removeHandler(_SILENT)
    shown = output.getvalue() or errors.getvalue()
    for pattern, replacement in _REPLACEMENTS:
        shown = pattern.sub(replacement, shown)
    return "".join(f"{text.rstrip()}\n" for text in shown.strip("\n").splitlines())
