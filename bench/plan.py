"""Measure how long `spade-spark plan` takes for many tables if each statement has a latency.

::

    python -m bench.plan --tables 300 --latency 0.02

The warehouse is the tests' stand-in for Redshift, which delays each response. The command runs in a
process of its own, as a user's does.
"""

# mypy: allow-untyped-calls
# The tests' helpers have no annotations.

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from spade_spark.sandbox.services import PostgresServer, S3Server
from spade_spark.settings import S3Settings
from tests.support import edge_logs
from tests.support.harness import CONTROL, WINDOW, ReplayHarness
from tests.support.redshift import RedshiftServer, S3Access

REGION: Final = "us-west-2"
_COLUMNS: Final = 10
_VERSIONS: Final = "INSERT INTO infra.table_version VALUES"


def main() -> None:
    """Parse the options, plan twice, and print the durations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds for each statement")
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    with (
        tempfile.TemporaryDirectory() as folder,
        PostgresServer() as postgres,
        S3Server("bench") as s3,
    ):
        access = S3Access(s3.endpoint_url, REGION, keys={"bench": ("bench", "")}, roles={})
        with RedshiftServer(postgres.create_database("bench"), access) as redshift:
            settings = S3Settings(endpoint_url=s3.endpoint_url, region=REGION)
            harness = prepare(Path(folder), settings, redshift, arguments.tables)
            redshift.latency = arguments.latency
            # The stand-in parses each form of statement once, in the first plan.
            for name in ("first", "second"):
                seconds, statements = measure(harness, redshift)
                print(
                    f"{name} plan of {arguments.tables} tables, {arguments.latency:g} s per "
                    f"statement: {seconds:.1f} s, {statements} statements"
                )


def prepare(
    folder: Path, settings: S3Settings, redshift: RedshiftServer, tables: int
) -> ReplayHarness:
    """Create the tables, their schemas, and a log object for each hour of the window."""
    names = [f"event_{number}" for number in range(tables)]
    integers = [f"c{number}" for number in range(_COLUMNS)]
    published = [
        edge_logs.table(
            name,
            edge_logs.column("time", "f@timestamp@unix"),
            *(edge_logs.column(column, "int") for column in integers),
        )
        for name in names
    ]
    columns = "".join(f', "{column}" integer' for column in integers)
    ddl = "".join(f"CREATE TABLE physical.{name} (time timestamp{columns});" for name in names)
    versions = ", ".join(f"('{name}', 1, '2017-01-01')" for name in names)
    harness = ReplayHarness(folder, "bench", settings, "", tables=published)
    harness.url = redshift.url
    for statement in (*CONTROL.split(";"), *ddl.split(";"), f"{_VERSIONS} {versions}"):
        if statement.strip():
            harness.sql(statement)
    for closed in ("2017-11-03T18:00:00", "2017-11-03T19:00:00"):
        harness.log(closed, [edge_logs.record(name, {"c0": 1}) for name in names])
    return harness


def measure(harness: ReplayHarness, redshift: RedshiftServer) -> tuple[float, int]:
    """Run the command; return its duration in seconds and its number of statements."""
    before = len(redshift.statements)
    program = Path(sys.executable).with_name("spade-spark")
    command = [str(program), "plan", *WINDOW, "--all-tables"]
    started = time.monotonic()
    subprocess.run(
        [*command, "--conf", str(harness.conf)],
        env={**os.environ, "SPADE_RSURL": harness.url},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - started, len(redshift.statements) - before


if __name__ == "__main__":
    main()
