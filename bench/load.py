"""Compare the load into PostgreSQL with the same by hand (``python -m bench.load``).

Each kind of data has about 1,000,000 rows in three tables of 30, 13 and 7 columns, and the tables
have as many old rows in the window. The files of 100,000 transformed events are loaded several
times. The load handles all tables in parallel, each on its own connection. By hand, they are loaded
in parallel too, and one after the other as a person would.

By hand, a table takes one transaction: CREATE TEMP TABLE, COPY of plain text that was prepared
before the measurement, DELETE, and INSERT ... SELECT; "with backup", also a CREATE TABLE AS of the
old rows. The load is ``load_tables`` with the gzip files of the transform. It also verifies, counts
and fingerprints the rows. Both leave the same rows, which is checked.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.sql import SQL, Identifier, Literal

from bench.__main__ import machine
from bench.data import make
from spade_spark.blueprint.schema import Table, read_tables
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.load_results import LoadFile, TableFiles, TableLoaded
from spade_spark.sandbox.sample_warehouse import create_tables, record_versions
from spade_spark.sandbox.services import PostgresServer
from spade_spark.settings import Settings, load
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition
from spade_spark.storage.base import open_store
from spade_spark.transform.transformers.registry import is_transformer
from spade_spark.warehouse import information_schema
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.loader import load_tables
from spade_spark.warehouse.redshift_copy_format import RowConverter, records
from spade_spark.warehouse.source_files import decompressed
from spade_spark.window import Window

BUILD = Path("build/bench")
TABLES = ("video_minute", "page_view", "click_buy")
WINDOW = Window.parse("2017-11-03 00:00:00", "2017-11-03 23:59:59")
EVENTS = 100_000
FILE_BYTES = 4 * 1024 * 1024
POOLSIZE = 4  # the default of the command


@dataclass(frozen=True)
class Data:
    """A kind of data: its name, the kind in :mod:`bench.data`, and the length of its texts."""

    name: str
    kind: str
    length: int = 255


ALL_DATA = (
    Data("clean", "clean"),
    Data("real-life", "real-life"),
    Data("truncated", "real-life", length=70),
)


class Scenario:
    """The tables in a database, with their old rows, and the files to load."""

    def __init__(self, server: PostgresServer, data: Data, scratch: Path, rows: int) -> None:
        self.url = server.create_database(data.name.replace("-", "_"))
        settings = _settings(scratch, self.url)
        self._warehouse_settings = settings.warehouse
        self._warehouse = open_warehouse(settings.warehouse, settings.s3)
        tables = _tables(settings, data)
        self.files = _transform(settings, tables, data, scratch, rows)
        with Session(ConnectionInfo.parse(self.url)) as session:
            create_tables(session, settings, tables)
            record_versions(session, settings, tables, WINDOW.wall_start)
            self._columns = {
                table.name: information_schema.columns(session, "physical", table.name)
                for table in tables
            }
        self._texts = {files.table: self._write_text(files, scratch) for files in self.files}
        self.load(backup=False)
        with self._cursor() as cursor:
            for table in TABLES:
                _run(cursor, "CREATE TABLE {} AS TABLE {}", _saved(table), _target(table))

    def reset(self) -> None:
        """Restore the old rows, and remove the backups and the log."""
        with self._cursor() as cursor:
            cursor.execute("TRUNCATE infra.replay; DROP SCHEMA IF EXISTS replay_backup CASCADE")
            cursor.execute("CREATE SCHEMA replay_backup")
            for table in TABLES:
                _run(cursor, "TRUNCATE {}", _target(table))
                _run(cursor, "INSERT INTO {} TABLE {}", _target(table), _saved(table))
                _run(cursor, "VACUUM ANALYZE {}", _target(table))
            cursor.execute("CHECKPOINT")

    def load_by_hand(self, *, backup: bool, poolsize: int) -> None:
        """Run the statements on prepared text, ``poolsize`` tables at a time."""
        with ThreadPoolExecutor(poolsize) as pool:
            list(pool.map(lambda table: self._replace_by_hand(table, backup), TABLES))

    def load(self, *, backup: bool) -> None:
        """Load the files as the command does."""
        outcomes = load_tables(
            self._warehouse,
            self.files,
            WINDOW,
            self._warehouse_settings.model_copy(update={"backup": backup}),
            run_tag="bench",
            guards=LoadGuards(),
            verify_lock=lambda: None,
            poolsize=POOLSIZE,
        )
        for outcome in outcomes:
            assert isinstance(outcome, TableLoaded), outcome

    def contents(self) -> list[Any]:
        """Return the number of rows of each table and the sum of their hashes."""
        query = "SELECT COUNT(*), SUM(hashtextextended(t::text, 0)::numeric) FROM {} t"
        found = []
        with self._cursor() as cursor:
            for table in TABLES:
                _run(cursor, query, _target(table))
                found += cursor.fetchall()
        return found

    def _replace_by_hand(self, table: str, backup: bool) -> None:
        target = _target(table)
        window = SQL("time BETWEEN {} AND {}").format(
            Literal(WINDOW.wall_start), Literal(WINDOW.wall_end)
        )
        with self._cursor() as cursor, self._texts[table].open("rb") as text:
            cursor.execute("BEGIN")
            _run(cursor, "CREATE TEMP TABLE stage AS TABLE {} WITH NO DATA", target)
            cursor.copy_expert("COPY stage FROM STDIN", text, size=1 << 18)
            if backup:
                copy = Identifier("replay_backup", table)
                _run(cursor, "CREATE TABLE {} AS SELECT * FROM {} WHERE {}", copy, target, window)
            _run(cursor, "DELETE FROM {} WHERE {}", target, window)
            _run(cursor, "INSERT INTO {} SELECT * FROM stage WHERE {}", target, window)
            cursor.execute("COMMIT")

    def _write_text(self, files: TableFiles, scratch: Path) -> Path:
        """Write the rows as COPY text, once."""
        path = scratch / f"{files.table}.txt"
        converter = RowConverter(self._columns[files.table])
        with path.open("wb") as out:
            for file in files.files:
                with Path(file.url).open("rb") as raw, decompressed(raw) as rows:
                    out.writelines(map(converter.convert, records(rows)))
        return path

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor


def _saved(table: str) -> Identifier:
    return Identifier("public", table)


def _target(table: str) -> Identifier:
    return Identifier("physical", table)


def _run(cursor: Any, statement: str, *names: Identifier | SQL | Any) -> None:
    cursor.execute(SQL(statement).format(*names))


def _settings(scratch: Path, url: str) -> Settings:
    os.environ["SPADE_OUTPUT__BASE"] = str(scratch)
    os.environ["SPADE_OUTPUT__MAX_FILE_BYTES"] = str(FILE_BYTES)
    os.environ["SPADE_WAREHOUSE__URL"] = url
    return load(make(BUILD, "clean", EVENTS).conf)


def _tables(settings: Settings, data: Data) -> list[Table]:
    schemas = Path(settings.blueprint.schemas).read_bytes()
    tables = read_tables(schemas, is_transformer).tables
    options = f"({data.length})"
    return [
        replace(
            tables[name],
            columns=tuple(
                replace(column, options=options) if column.options else column
                for column in tables[name].columns
            ),
        )
        for name in TABLES
    ]


def _transform(
    settings: Settings, tables: Sequence[Table], data: Data, scratch: Path, rows: int
) -> list[TableFiles]:
    """Transform the events; repeat the files until there are enough rows."""
    dataset = make(BUILD, data.kind, EVENTS)
    store = open_store(str(dataset.objects[0].parent), settings.s3)
    sources = tuple(InputObject(entry.key, entry.size, entry.etag) for entry in store.list())
    edge = settings.input.model_copy(update={"edge": store.url})
    context = BroadcastContext(
        run_tag="bench",
        plan="bench",
        day="20171103",
        settings=settings.model_copy(update={"input": edge}).for_tasks(),
        schemas=Path(settings.blueprint.schemas).read_bytes(),
        requested=frozenset(TABLES),
    )
    written = run_partition(context, InputPartition(0, sources), 0).files
    repetitions = round(rows / sum(file.rows for file in written))
    return [
        TableFiles(
            table=table.name,
            version=table.version,
            columns=tuple(column.outbound for column in table.columns),
            files=tuple(
                LoadFile(f"{scratch}/{file.key}", file.size, file.rows, file.sha256)
                for file in written
                if file.table == table.name
            )
            * repetitions,
            copy_manifest="",
            checksum="",
        )
        for table in tables
    ]


def measure(scenario: Scenario, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way to load, in alternating rounds."""
    ways: dict[str, Callable[[], None]] = {
        "by hand": lambda: scenario.load_by_hand(backup=False, poolsize=POOLSIZE),
        "one by one": lambda: scenario.load_by_hand(backup=False, poolsize=1),
        "load": lambda: scenario.load(backup=False),
        "by hand with backup": lambda: scenario.load_by_hand(backup=True, poolsize=POOLSIZE),
        "one by one with backup": lambda: scenario.load_by_hand(backup=True, poolsize=1),
        "load with backup": lambda: scenario.load(backup=True),
    }
    expected = scenario.contents()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            scenario.reset()
            started = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - started)
            assert scenario.contents() == expected, way
    return seconds


def _compared(by_hand: list[float], load: list[float]) -> str:
    """Return the seconds by hand and the ratio of the load to them, with its range."""
    ratios = sorted(b / a for a, b in zip(by_hand, load, strict=True))
    return (
        f"{statistics.median(by_hand):.1f}, ratio **{statistics.median(ratios):.2f}** "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> int:
    """Print a table with the medians of all rounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in all tables together")
    parser.add_argument("--data", choices=[data.name for data in ALL_DATA], help="only this kind")
    arguments = parser.parse_args()
    print(f"{machine()}; {os.cpu_count()} cores\n", flush=True)
    print("| data | rows | backup | load s | by hand, in parallel s | by hand, one by one s |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for data in ALL_DATA:
        if arguments.data not in (None, data.name):
            continue
        with PostgresServer() as server, tempfile.TemporaryDirectory() as scratch:
            scenario = Scenario(server, data, Path(scratch), arguments.rows)
            seconds = measure(scenario, arguments.rounds)
            rows = sum(files.rows for files in scenario.files)
        for suffix, backup in (("", "no"), (" with backup", "yes")):
            ours = seconds["load" + suffix]
            compared = (_compared(seconds[way + suffix], ours) for way in ("by hand", "one by one"))
            print(
                f"| {data.name} | {rows:,} | {backup} | {statistics.median(ours):.1f} | "
                f"{' | '.join(compared)} |",
                flush=True,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak RSS of this process: {peak:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
