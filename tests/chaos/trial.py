"""One trial: a command with its own warehouse, and with servers that inject faults."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from spade_spark.cli.main import main
from spade_spark.errors import ObjectNotFoundError
from spade_spark.runs.manifest import Manifest
from spade_spark.runs.paths import RunPaths
from spade_spark.storage.json_codec import decode, digest
from tests.chaos.fixtures import (
    BEFORE,
    KEYS,
    LOADER,
    TABLES,
    WINDOW,
    ChaosEnvironment,
    Tables,
    in_order,
)
from tests.chaos.processes import COMMAND, ProcessTree
from tests.chaos.state_diff import ExpectedChange
from tests.chaos.thread_spark import on_threads, with_short_waits
from tests.support.faulty_s3 import FaultyS3
from tests.support.redshift import RedshiftServer

ON_THREADS = (
    sys.executable,
    "-c",
    "from spade_spark.cli.main import run\n"
    "from tests.chaos.thread_spark import on_threads\n"
    "with on_threads(): run()",
)
"""The program as a subprocess, with threads instead of Spark."""

SECONDS = 240.0
"""Timeout of one command."""

_REPLAY_LOG = "SELECT run_tag, table_name, rows_deleted, rows_inserted, manifest_checksum FROM {}"
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    Attributes:
        status: Its exit status; negative if a signal ended it.
        output: What it printed.
    """

    status: int
    output: str


@dataclass
class Trial:
    """A run tag, a warehouse, and an S3 API and a fake Redshift that inject faults.

    Attributes:
        env: The shared servers and data.
        tag: The run tag, which identifies the command in the replay log.
        url: The URL of the PostgreSQL database behind ``redshift``, as the owner of all objects.
        redshift: The fake Redshift that the command connects to.
        s3: The S3 API that the command connects to.
        command: The command and its arguments; by default, a replay of ``tables`` in ``window``.
        change: How the command should change the tables; by default, as a replay of ``tables``.
        tables: The tables to replay.
        window: START and END.
        environ: Additional environment variables of the command.
        spark: Additional lines for the table ``[spark]`` at the end of the settings file.
        earlier: The rows of :data:`_REPLAY_LOG` before the command.
        backups: The backups before the command.
    """

    env: ChaosEnvironment
    tag: str
    url: str
    redshift: RedshiftServer
    s3: FaultyS3
    command: Sequence[str] = ()
    change: ExpectedChange | None = None
    tables: Sequence[str] = TABLES
    window: tuple[str, str] = WINDOW
    environ: Mapping[str, str] = field(default_factory=dict)
    spark: str = ""
    earlier: list[tuple[Any, ...]] = field(init=False)
    backups: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.earlier = self.replay_log()
        self.backups = self._backups()

    def arguments(self, *options: str) -> list[str]:
        conf = self.env.folder / f"{self.tag}.toml"
        conf.write_text(self.env.conf + self.spark)
        command = self.command or ("replay", *self.window, *self.tables, "--runtag", self.tag)
        return [*command, "--conf", str(conf), "--poolsize", "2", *options]

    def variables(self) -> dict[str, str]:
        return {
            **KEYS,
            "SPADE_S3__ENDPOINT_URL": self.s3.endpoint_url,
            "SPADE_RSURL": self.redshift.url_of(LOADER),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **self.environ,
        }

    def run_in_process(self, *options: str) -> CommandResult:
        """Run the command in this process, with threads for Spark and short waits for retries."""
        output = io.StringIO()
        with (
            on_threads(),
            with_short_waits(),
            _environ(self.variables()),
            redirect_stdout(output),
            redirect_stderr(output),
        ):
            status = main(self.arguments(*options))
        return CommandResult(status, output.getvalue())

    def start(self, *options: str, command: Sequence[str] = COMMAND) -> ProcessTree:
        """Start the command as a subprocess, by default with Spark."""
        path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
        environ = {**os.environ, "PYTHONPATH": path, **self.variables()}
        out = self.env.folder / f"{self.tag}.txt"
        return ProcessTree(self.arguments(*options), environ, out, command)

    def run_subprocess(self, *options: str, command: Sequence[str] = COMMAND) -> CommandResult:
        """Run the command as a subprocess to its end."""
        process_tree = self.start(*options, command=command)
        status = process_tree.wait(SECONDS)
        return CommandResult(status, process_tree.output)

    def clear_faults(self) -> None:
        """Stop injecting faults."""
        self.s3.clear_faults()
        self.redshift.clear_faults()

    def rows(self) -> Tables:
        return self.env.rows(self.url)

    def replay_log(self) -> list[tuple[Any, ...]]:
        """The rows of the replay log, sorted, without their times."""
        return sorted(self._query_if_exists("infra.replay", _REPLAY_LOG))

    def check_tables(self, change: ExpectedChange) -> set[str]:
        """Check that each table is unchanged or correct; return the changed ones."""
        current = self.rows()
        for table in TABLES:
            before, after = change.before[table], change.after[table]
            assert current[table] in (before, after), (
                f"{table} is neither unchanged ({len(before)} rows) nor correct "
                f"({len(after)}): it has {len(current[table])} rows"
            )
        changed = {table for table in TABLES if current[table] != change.before[table]}
        self._check_replay_log(changed, check_run(self.env, self.tag), change)
        self._check_backups(changed, change)
        return changed

    def _check_replay_log(
        self, changed: set[str], manifest: Manifest | None, change: ExpectedChange
    ) -> None:
        """Check that each changed table has one new row, with the correct row counts."""
        logged = self.replay_log()
        checksum = digest(manifest) if manifest else ""
        new = [(self.tag, table, *change.row_counts(table), checksum) for table in changed]
        expected = sorted([*self.earlier, *new])
        assert logged == expected, f"the replay log has {logged}, but should have {expected}"

    def _check_backups(self, changed: set[str], change: ExpectedChange) -> None:
        """Check that each changed table has one new backup, with exactly the deleted rows."""
        query = f"SELECT \"backup\", table_name FROM {{}} WHERE run_tag = '{self.tag}'"
        backups = dict(self._query_if_exists("infra.replay", query))
        assert sorted([*self.backups, *backups]) == self._backups()
        assert sorted(backups.values()) == sorted(changed)
        for backup, table in backups.items():
            name = '"' + backup.replace(".", '"."', 1) + '"'
            rows = in_order(self.env.sql(f"SELECT time::text, who, n FROM {name}", self.url))
            deleted = change.backed_up(table)
            assert rows == deleted, f"the backup of {table} has {rows}, but {deleted} were deleted"

    def _backups(self) -> list[str]:
        return sorted(
            name
            for (name,) in self.env.sql(
                "SELECT schemaname || '.' || tablename FROM pg_tables "
                "WHERE schemaname = 'replay_backup'",
                self.url,
            )
        )

    def _query_if_exists(self, table: str, query: str) -> list[tuple[Any, ...]]:
        ((exists,),) = self.env.sql(f"SELECT to_regclass('{table}') IS NOT NULL", self.url)
        return self.env.sql(query.format(table), self.url) if exists else []


@contextmanager
def _environ(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and apply TZ, inside the block."""
    try:
        with mock.patch.dict(os.environ, variables):
            time.tzset()
            yield
    finally:
        time.tzset()


def check_run(env: ChaosEnvironment, tag: str) -> Manifest | None:
    """Return a complete run's manifest. Check its audit counts and the files that it names."""
    name = RunPaths(tag).manifest
    store = env.store
    try:
        data = store.read(f"out/{name}")
    except ObjectNotFoundError:
        return None
    manifest = decode(data, Manifest, name, "manifest")
    if digest(manifest) in env.verified:
        return manifest
    for table in manifest.tables:
        rows = 0
        for file in table.files:
            data = store.read(f"out/{file.key}")
            assert hashlib.sha256(data).hexdigest() == file.sha256, f"{file.key} was changed"
            rows += gzip.decompress(data).count(b"\n")
        assert rows == table.rows == manifest.counts.rows(table.table)
    manifest.counts.check({table.table: table.rows for table in manifest.tables}, tag)
    env.verified.add(digest(manifest))
    return manifest


@contextmanager
def trial(
    env: ChaosEnvironment,
    tag: str,
    faults: Mapping[str, Any] | None = None,
    template: str = BEFORE,
    **options: Any,
) -> Iterator[Trial]:
    """Prepare a trial with its own run tag and warehouse.

    Args:
        env: The shared servers and data.
        tag: The run tag.
        faults: Arguments of :class:`FaultyS3`.
        template: The warehouse to copy.
        options: Attributes of :class:`Trial`.
    """
    with (
        env.warehouse(template) as url,
        RedshiftServer(url, env.access, isolation=env.isolation) as redshift,
        FaultyS3(env.s3.endpoint_url, **(faults or {})) as s3,
    ):
        yield Trial(env, tag, url, redshift, s3, **options)
