"""One trial: a warehouse of its own, servers that can be told to fail, and a command."""

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
from spade_spark.storage.records import decode, digest
from tests.chaos.fixtures import BEFORE, KEYS, LOADER, TABLES, WINDOW, Scene, Tables, in_order
from tests.chaos.processes import COMMAND, ProcessTree
from tests.chaos.state_diff import Change
from tests.chaos.thread_spark import on_threads, without_waits
from tests.support.faulty_s3 import FaultyS3
from tests.support.redshift import RedshiftServer

ON_THREADS = (
    sys.executable,
    "-c",
    "from spade_spark.cli.main import run\n"
    "from tests.chaos.thread_spark import on_threads\n"
    "with on_threads(): run()",
)
"""The command as a process of its own, with threads in place of Spark."""

SECONDS = 240.0
"""How long one command may take."""

_LEDGER = "SELECT run_tag, table_name, rows_deleted, rows_inserted, manifest_checksum FROM {}"
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status; negative where a signal ended it.
        said: What it said.
    """

    status: int
    said: str


@dataclass
class Trial:
    """A warehouse of its own, an S3 and a Redshift that can be told to fail, and a run tag.

    Attributes:
        scene: What it begins with.
        tag: The run tag, by which the ledger knows the command.
        url: The warehouse behind the Redshift, for the owner of everything.
        redshift: What the command takes for its warehouse.
        s3: What the command takes for its S3.
        command: The command's first words; left out, a replay of ``words`` in ``window``.
        change: What it makes of the tables; None where that follows from ``words``.
        words: What is replayed; the whole of it by default.
        window: START and END.
        environ: Further variables of the command's environment.
        spark: Further lines of the settings' ``[spark]`` table, which is their last.
        earlier: What the ledger had before: as :data:`_LEDGER`.
        backups: What was kept before.
    """

    scene: Scene
    tag: str
    url: str
    redshift: RedshiftServer
    s3: FaultyS3
    command: Sequence[str] = ()
    change: Change | None = None
    words: Sequence[str] = TABLES
    window: tuple[str, str] = WINDOW
    environ: Mapping[str, str] = field(default_factory=dict)
    spark: str = ""
    earlier: list[tuple[Any, ...]] = field(init=False)
    backups: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.earlier = self.ledger()
        self.backups = self._backups()

    def arguments(self, *more: str) -> list[str]:
        conf = self.scene.folder / f"{self.tag}.toml"
        conf.write_text(self.scene.conf + self.spark)
        words = self.command or ("replay", *self.window, *self.words, "--runtag", self.tag)
        return [*words, "--conf", str(conf), "--poolsize", "2", *more]

    def variables(self) -> dict[str, str]:
        return {
            **KEYS,
            "SPADE_S3__ENDPOINT_URL": self.s3.endpoint_url,
            "SPADE_RSURL": self.redshift.url_of(LOADER),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **self.environ,
        }

    def here(self, *more: str) -> Ended:
        """The command in this process, its partitions on threads, its tries without waits."""
        said = io.StringIO()
        with (
            on_threads(),
            without_waits(),
            _environ(self.variables()),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            status = main(self.arguments(*more))
        return Ended(status, said.getvalue())

    def begin(self, *more: str, command: Sequence[str] = COMMAND) -> ProcessTree:
        """The command as a process of its own; with Spark, unless it is told otherwise."""
        path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
        environ = {**os.environ, "PYTHONPATH": path, **self.variables()}
        out = self.scene.folder / f"{self.tag}.txt"
        return ProcessTree(self.arguments(*more), environ, out, command)

    def apart(self, *more: str, command: Sequence[str] = COMMAND) -> Ended:
        """As :meth:`begin`, to the command's end."""
        tree = self.begin(*more, command=command)
        status = tree.wait(SECONDS)
        return Ended(status, tree.output)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self.s3.clear_faults()
        self.redshift.clear_faults()

    def rows(self) -> Tables:
        return self.scene.rows(self.url)

    def ledger(self) -> list[tuple[Any, ...]]:
        """The replay ledger, sorted, without its times."""
        return sorted(self._sql_if_there("infra.replay", _LEDGER))

    def look(self, change: Change) -> set[str]:
        """The tables that are right; all others are as before, and the ledgers balance."""
        now = self.rows()
        for table in TABLES:
            before, right = change.before[table], change.right[table]
            assert now[table] in (before, right), (
                f"{table} is neither as before ({len(before)} rows) nor right "
                f"({len(right)}): {len(now[table])} rows"
            )
        changed = {table for table in TABLES if now[table] != change.before[table]}
        self._check_ledger(changed, check_run(self.scene, self.tag), change)
        self._check_backups(changed, change)
        return changed

    def _check_ledger(self, changed: set[str], manifest: Manifest | None, change: Change) -> None:
        """A new row for each table that was changed, and for no other, with the true figures."""
        found = self.ledger()
        checksum = digest(manifest) if manifest else ""
        new = [(self.tag, table, *change.figures(table), checksum) for table in changed]
        due = sorted([*self.earlier, *new])
        assert found == due, f"the replay ledger has {found}, should have {due}"

    def _check_backups(self, changed: set[str], change: Change) -> None:
        """The rows that went are kept, all of them, once, and no others."""
        query = f"SELECT backup, table_name FROM {{}} WHERE run_tag = '{self.tag}'"
        kept = dict(self._sql_if_there("infra.replay", query))
        assert sorted([*self.backups, *kept]) == self._backups()
        assert sorted(kept.values()) == sorted(changed)
        for backup, table in kept.items():
            name = '"' + backup.replace(".", '"."', 1) + '"'
            rows = in_order(self.scene.sql(f"SELECT time::text, who, n FROM {name}", self.url))
            went = change.kept(table)
            assert rows == went, f"of {table}, {rows} were kept; {went} went"

    def _backups(self) -> list[str]:
        return sorted(
            name
            for (name,) in self.scene.sql(
                "SELECT schemaname || '.' || tablename FROM pg_tables "
                "WHERE schemaname = 'replay_backup'",
                self.url,
            )
        )

    def _sql_if_there(self, table: str, query: str) -> list[tuple[Any, ...]]:
        ((there,),) = self.scene.sql(f"SELECT to_regclass('{table}') IS NOT NULL", self.url)
        return self.scene.sql(query.format(table), self.url) if there else []


@contextmanager
def _environ(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with ``variables``, its time zone too."""
    try:
        with mock.patch.dict(os.environ, variables):
            time.tzset()
            yield
    finally:
        time.tzset()


def check_run(scene: Scene, tag: str) -> Manifest | None:
    """What a run tag holds, if it is sealed: the ledger balances, the files are those it names."""
    name = RunPaths(tag).manifest
    store = scene.store
    try:
        data = store.read(f"out/{name}")
    except ObjectNotFoundError:
        return None
    manifest = decode(data, Manifest, name, "manifest")
    if digest(manifest) in scene.verified:
        return manifest
    for table in manifest.tables:
        rows = 0
        for file in table.files:
            there = store.read(f"out/{file.key}")
            assert hashlib.sha256(there).hexdigest() == file.sha256, f"{file.key} is another file"
            rows += gzip.decompress(there).count(b"\n")
        assert rows == table.rows == manifest.counts.rows(table.table)
    manifest.counts.check({table.table: table.rows for table in manifest.tables}, tag)
    scene.verified.add(digest(manifest))
    return manifest


@contextmanager
def trial(
    scene: Scene,
    tag: str,
    faults: Mapping[str, Any] | None = None,
    like: str = BEFORE,
    **how: Any,
) -> Iterator[Trial]:
    """A trial under its own run tag.

    Args:
        scene: What it begins with.
        tag: The run tag.
        faults: The faulty S3's.
        like: The warehouse that it has a copy of.
        how: See :class:`Trial`.
    """
    with (
        scene.warehouse(like) as url,
        RedshiftServer(url, scene.access) as redshift,
        FaultyS3(scene.s3.endpoint_url, **(faults or {})) as s3,
    ):
        yield Trial(scene, tag, url, redshift, s3, **how)
