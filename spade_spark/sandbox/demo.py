"""The demo: shows wrong rows, replays their window, and shows the corrected rows."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping

from rich.console import Console

from spade_spark.runs.run_store import RunStore
from spade_spark.sandbox.commands import REPO_ROOT, window_args
from spade_spark.sandbox.demo_queries import (
    DEMO_QUERIES,
    DemoQueryResult,
    replay_log_rows,
    run_query,
)
from spade_spark.sandbox.demo_screen import DemoScreen
from spade_spark.sandbox.sandbox import Sandbox
from spade_spark.sandbox.subprocesses import run_supervised
from spade_spark.storage.base import open_store
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.connection_info import ConnectionInfo

RUN_TAG = "demo"
_LOG_SETTINGS = REPO_ROOT / "conf" / "log4j2.properties"


def show_demo(console: Console, events: int) -> bool:
    """Run the demo and print each step.

    Returns:
        Whether all wrong rows are corrected and no other rows changed.
    """
    started = time.monotonic()
    screen = DemoScreen(console)
    screen.step("Set up a sandbox with a warehouse and raw logs on S3")
    with Sandbox(events, log=screen.log) as sandbox:
        succeeded = _show_replay(screen, sandbox)
    screen.end(time.monotonic() - started, succeeded=succeeded)
    return succeeded


def _show_replay(screen: DemoScreen, sandbox: Sandbox) -> bool:
    with Session(ConnectionInfo.parse(sandbox.warehouse_url)) as session:
        before = _query_tables(session, sandbox)
        screen.step("Look at the wrong rows in the warehouse")
        screen.mistakes(sandbox.window, before)
        screen.rows(before)

        screen.step("Replay: transform the same logs again, with the corrected schemas")
        if not _replay(screen, sandbox):
            return False

        after = _query_tables(session, sandbox)
        screen.step("Check the corrected rows")
        screen.rows(after)
        screen.comparison(before, after)
        screen.replay_log(replay_log_rows(session, sandbox.settings.warehouse.control))
    screen.outputs(*_outputs(sandbox))
    return all(result.rows and not result.wrong for result in after.values()) and all(
        result.outside == before[table].outside for table, result in after.items()
    )


def _query_tables(session: Session, sandbox: Sandbox) -> dict[str, DemoQueryResult]:
    schema = sandbox.settings.warehouse.schema_name
    return {
        query.table: run_query(session, query, sandbox.window, schema) for query in DEMO_QUERIES
    }


def _replay(screen: DemoScreen, sandbox: Sandbox) -> bool:
    """Run the command as a user would; return whether it succeeded."""
    arguments = ["replay", *window_args(sandbox), "--all-tables", "--yes", "--runtag", RUN_TAG]
    arguments += ["--conf", str(sandbox.settings_path)]
    screen.command(shlex.join(["spade-spark", *arguments]))
    program = [sys.executable, "-c", "from spade_spark.cli.main import run; run()"]
    try:
        return run_supervised([*program, *arguments], _environ(sandbox)) == 0
    finally:
        screen.show_cursor()


def _environ(sandbox: Sandbox) -> Mapping[str, str]:
    """The environment variables of the replay, with few Spark logs.

    Temporary files go to the sandbox's directory, which is removed even after an interrupt.
    """
    scratch = sandbox.directory / "tmp"
    scratch.mkdir()
    options = [f"-Djava.io.tmpdir={scratch}", os.environ.get("SPARK_SUBMIT_OPTS", "")]
    if _LOG_SETTINGS.exists():
        options.append(f"-Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()}")
    return {
        **os.environ,
        **sandbox.environ,
        "SPADE_RSURL": sandbox.warehouse_url,
        "TMPDIR": str(scratch),
        "SPARK_LOCAL_DIRS": str(scratch),
        "SPARK_SUBMIT_OPTS": " ".join(options),
    }


def _outputs(sandbox: Sandbox) -> tuple[str, list[tuple[str, int]]]:
    """The run's URL, and its objects with their sizes."""
    store = open_store(sandbox.settings.output.base, sandbox.settings.s3)
    run = RunStore(store, RUN_TAG)
    return run.url, [(entry.key, entry.size) for entry in store.list(f"{RUN_TAG}/")]
