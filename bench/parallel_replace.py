"""Measure how long the parallel replacement of several tables takes if each INSERT is slow.

::

    python -m bench.parallel_replace --tables 4 --seconds 1.5 --poolsize 4

The tables are in PostgreSQL, behind the tests' stand-in for Redshift, which delays each INSERT into
a target. If tables were replaced one after the other, the delays would add up.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Final

import boto3

from spade_spark.runs.load_results import TableLoaded
from spade_spark.sandbox.services import PostgresServer, S3Server
from spade_spark.settings import S3Settings
from tests.support.redshift import RedshiftServer, S3Access
from tests.warehouse.harness import NEW, WarehouseHarness

REGION: Final = "us-west-2"


def main() -> None:
    """Parse the options, load, and print the duration."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.5, help="delay of each INSERT")
    parser.add_argument("--poolsize", type=int, default=4)
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    with PostgresServer() as postgres, S3Server() as s3:
        access = S3Access(s3.endpoint_url, REGION, keys={"bench": ("bench", "")}, roles={})
        with RedshiftServer(postgres.create_database("bench"), access) as redshift:
            seconds = measure(redshift, s3.endpoint_url, arguments)
    print(
        f"{arguments.tables} tables, {arguments.seconds:g} s per INSERT, poolsize "
        f"{arguments.poolsize}: {seconds:.2f} s"
    )


def measure(redshift: RedshiftServer, endpoint_url: str, arguments: argparse.Namespace) -> float:
    """Load the tables; return the duration in seconds."""
    client = boto3.client("s3", endpoint_url=endpoint_url, region_name=REGION)
    client.create_bucket(Bucket="bench", CreateBucketConfiguration={"LocationConstraint": REGION})
    settings = S3Settings(endpoint_url=endpoint_url, region=REGION)
    harness = WarehouseHarness(redshift.url, settings, client, "bench")
    names = [f"t{number}" for number in range(arguments.tables)]
    for name in names:
        harness.create_table(name)
    files = [harness.write_files(*NEW, table=name) for name in names]
    # The stand-in parses each form of statement only once, which takes seconds.
    harness.load(*files, run_tag="first", poolsize=arguments.poolsize)
    redshift.inject(
        '^INSERT INTO "physical',
        "call",
        function=lambda: time.sleep(arguments.seconds),
        times=arguments.tables,
    )
    started = time.monotonic()
    outcomes = harness.load(*files, poolsize=arguments.poolsize)
    seconds = time.monotonic() - started
    assert all(isinstance(outcome, TableLoaded) for outcome in outcomes), outcomes
    return seconds


if __name__ == "__main__":
    main()
