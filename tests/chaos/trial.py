"""One trial: a command is disturbed, looked at, and run again. The assertion of every experiment.

After the disturbance each table is as it was or as an undisturbed run makes it, row for row, the
ledgers balance, and the rows that went are kept; after the same command, run again undisturbed,
all tables are as they should be. A trial returns in a few words how the disturbed command ended;
what breaks the assertion is an AssertionError.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from spade_spark.cli import main
from spade_spark.errors import ObjectMissing
from spade_spark.run.layout import Layout
from spade_spark.run.records import Manifest, decode, digest
from tests.chaos.engine import on_threads
from tests.chaos.processes import Family
from tests.chaos.scene import KEYS, LOADER, OLD_ROWS_IN_WINDOW, TABLES, WINDOW, Scene, Tables
from tests.support.faulty_s3 import FaultyS3
from tests.support.redshift import RedshiftServer

LOADED = ("login", "chat")
"""What loads without a transform replace."""

LOAD = ("--skip-transform", "--poolsize", "1")
"""A load alone, its statements in an order that does not change."""

_LEDGER = "SELECT run_tag, table_name, rows_deleted, rows_inserted, manifest_checksum FROM {}"

SECONDS = 240.0
"""How long one command may take."""


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
        tag: The run tag.
        url: The warehouse behind the Redshift, for the owner of everything.
        redshift: What the command takes for its warehouse.
        s3: What the command takes for its S3.
        words: What the command replays; the whole of it by default.
        window: START and END.
        environ: Further variables of the command's environment.
        spark: Further lines of the settings' ``[spark]`` table, which is their last.
    """

    scene: Scene
    tag: str
    url: str
    redshift: RedshiftServer
    s3: FaultyS3
    words: Sequence[str] = TABLES
    window: tuple[str, str] = WINDOW
    environ: Mapping[str, str] = field(default_factory=dict)
    spark: str = ""

    def arguments(self, *more: str) -> list[str]:
        conf = self.scene.folder / f"{self.tag}.toml"
        conf.write_text(self.scene.conf + self.spark)
        options = ["--conf", str(conf), "--runtag", self.tag, "--poolsize", "2"]
        return ["replay", *self.window, *self.words, *options, *more]

    def variables(self) -> dict[str, str]:
        return {
            **KEYS,
            "SPADE_S3__ENDPOINT_URL": self.s3.endpoint_url,
            "SPADE_RSURL": self.redshift.url_of(LOADER),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **self.environ,
        }

    def here(self, *more: str) -> Ended:
        """The command in this process, its partitions on threads."""
        said = io.StringIO()
        with on_threads(), _environ(self.variables()), redirect_stdout(said), redirect_stderr(said):
            status = main(self.arguments(*more))
        return Ended(status, said.getvalue())

    def begin(self, *more: str) -> Family:
        """The command as a process of its own, with Spark."""
        environ = {**os.environ, **self.variables()}
        return Family(self.arguments(*more), environ, self.scene.folder / f"{self.tag}.txt")

    def apart(self, *more: str) -> Ended:
        """The command, to its end, as a process of its own with Spark."""
        family = self.begin(*more)
        status = family.end(SECONDS)
        return Ended(status, family.said)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.s3.heal()
        self.redshift.heal()

    def rows(self) -> Tables:
        return self.scene.rows(self.url)

    def look(self, before: Tables, right: Tables) -> set[str]:
        """The tables that are right; all others are as before, and the ledgers balance."""
        now = self.rows()
        for table in TABLES:
            assert now[table] in (before[table], right[table]), (
                f"{table} is neither as before ({len(before[table])} rows) nor right "
                f"({len(right[table])}): {len(now[table])} rows"
            )
        changed = {table for table in TABLES if now[table] != before[table]}
        self._check_ledger(changed, check_run(self.scene, self.tag), right)
        self._check_backups(changed, before)
        return changed

    def _check_ledger(self, replaced: set[str], manifest: Manifest | None, right: Tables) -> None:
        """A row for each table that was replaced, and for no other, with the true figures."""
        found = sorted(self._sql_if_there("infra.replay", _LEDGER))
        outside = {
            table: sum(row[1] in ("before", "after") for row in right[table]) for table in TABLES
        }
        checksum = digest(manifest) if manifest else ""
        due = sorted(
            (self.tag, table, OLD_ROWS_IN_WINDOW, len(right[table]) - outside[table], checksum)
            for table in replaced
        )
        assert found == due, f"the replay ledger has {found}, should have {due}"

    def _check_backups(self, replaced: set[str], before: Tables) -> None:
        """The rows that went are kept, all of them, once, and no others."""
        kept = dict(self._sql_if_there("infra.replay", "SELECT backup, table_name FROM {}"))
        there = self.scene.sql(
            "SELECT schemaname || '.' || tablename FROM pg_tables "
            "WHERE schemaname = 'replay_backup'",
            self.url,
        )
        assert sorted(kept) == sorted(name for (name,) in there)
        assert sorted(kept.values()) == sorted(replaced)
        for backup, table in kept.items():
            name = '"' + backup.replace(".", '"."', 1) + '"'
            rows = self.scene.sql(
                f"SELECT time::text, who, n FROM {name} ORDER BY 1, 2, 3", self.url
            )
            went = [row for row in before[table] if row[1] == "wrong"]
            assert rows == went, f"of {table}, {rows} were kept; {went} went"

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
    name = Layout(tag).manifest
    store = scene.store
    try:
        data = store.read(f"out/{name}")
    except ObjectMissing:
        return None
    manifest = decode(data, Manifest, name)
    if digest(manifest) in scene.verified:
        return manifest
    for table in manifest.tables:
        rows = 0
        for file in table.files:
            there = store.read(f"out/{file.key}")
            assert hashlib.sha256(there).hexdigest() == file.sha256, f"{file.key} is another file"
            rows += gzip.decompress(there).count(b"\n")
        assert rows == table.rows == manifest.ledger.rows(table.table)
    manifest.ledger.check({table.table: table.rows for table in manifest.tables}, tag)
    scene.verified.add(digest(manifest))
    return manifest


@contextmanager
def trial(
    scene: Scene, tag: str, faults: Mapping[str, Any] | None = None, **how: Any
) -> Iterator[Trial]:
    """A trial under its own run tag; ``faults`` are the faulty S3's, ``how`` the trial's."""
    with (
        scene.warehouse() as url,
        RedshiftServer(url, scene.access) as redshift,
        FaultyS3(scene.s3.endpoint_url, **(faults or {})) as s3,
    ):
        yield Trial(scene, tag, url, redshift, s3, **how)


@dataclass(frozen=True)
class Known:
    """What an undisturbed run, and a load alone, came to: what trials are held against.

    Attributes:
        scene: What trials begin with.
        before: The tables before.
        right: The tables after.
        requests: The requests to S3 that the run made, in their order.
        statements: The statements that the run made.
        seconds: The time that the run took.
        made: The run tag, which holds a whole run that loads may take.
        load: The statements of a load of :data:`LOADED` alone, one table after the other.
    """

    scene: Scene
    before: Tables
    right: Tables
    requests: tuple[str, ...]
    statements: tuple[str, ...]
    seconds: float
    made: str
    load: tuple[str, ...]

    def right_in(self, tables: Sequence[str]) -> Tables:
        """What the tables come to where only some are replaced."""
        return {table: (self.right if table in tables else self.before)[table] for table in TABLES}


def know(scene: Scene) -> Known:
    """Runs a replay that nothing disturbs."""
    with trial(scene, "undisturbed") as whole:
        before = whole.rows()
        began = time.monotonic()
        ended = whole.apart()
        seconds = time.monotonic() - began
        assert ended.status == 0, ended.said
        right = whole.rows()
        assert all(right[table] != before[table] for table in TABLES)
        whole.look(before, right)
        requests, statements = tuple(whole.s3.requests), tuple(whole.redshift.statements)
    with trial(scene, "undisturbed", words=LOADED) as load:
        ended = load.here(*LOAD)
        assert ended.status == 0, ended.said
        return Known(
            scene=scene,
            before=before,
            right=right,
            requests=requests,
            statements=statements,
            seconds=seconds,
            made="undisturbed",
            load=tuple(load.redshift.statements),
        )


def settle(trial: Trial, known: Known, ended: Ended, *again: str) -> str:
    """Looks at what a disturbed command left, runs it again undisturbed, looks once more.

    Returns:
        The end of the disturbed command in a few words.
    """
    trial.heal()
    asked = {word for word in trial.words if word in TABLES} or set(TABLES)
    right = known.right_in(sorted(asked))
    replaced = trial.look(known.before, right) & asked
    said_done = ended.status == 0
    assert not said_done or replaced == asked, "the command said that all was done: it was not"
    second = trial.here(*again)
    assert trial.look(known.before, right) >= asked, f"run again: {second.said}"
    assert second.status == 0 or "already" in second.said, f"run again: {second.said}"
    how = {0: "done", -9: "killed"}.get(ended.status, f"exit status {ended.status}")
    if not replaced:
        return f"{how}, tables untouched"
    return f"{how}, all right" if replaced == asked else f"{how}, some right, others untouched"
