"""The demo: wrong rows, a replay as in production, right rows."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping

from rich.console import Console

from spade_spark.runs.run_store import RunStore
from spade_spark.sandbox.commands import CLONE, window_args
from spade_spark.sandbox.demo_queries import (
    DEMO_QUERIES,
    DemoQueryResult,
    replay_log_rows,
    run_query,
)
from spade_spark.sandbox.demo_screen import DemoScreen
from spade_spark.sandbox.sandbox import Sandbox
from spade_spark.sandbox.subprocesses import run_kept
from spade_spark.storage.base import open_store
from spade_spark.warehouse.connection import ConnectionInfo, Session

RUN_TAG = "demo"
_LOG_SETTINGS = CLONE / "conf" / "log4j2.properties"


def show_demo(console: Console, events: int) -> bool:
    """Runs the demo and says what happens as it happens.

    Returns:
        Whether what was wrong is right, and nothing else has changed.
    """
    began = time.monotonic()
    screen = DemoScreen(console)
    screen.step("A warehouse, and on S3 the raw logs that its rows were made from")
    with Sandbox(events, say=screen.say) as sandbox:
        right = _show_replay(screen, sandbox)
    screen.end(time.monotonic() - began, right=right)
    return right


def _show_replay(screen: DemoScreen, sandbox: Sandbox) -> bool:
    with Session(ConnectionInfo.parse(sandbox.warehouse_url)) as session:
        before = _look(session, sandbox)
        screen.step("What is wrong in the warehouse")
        screen.mistakes(sandbox.window, before)
        screen.rows(before)

        screen.step("The replay: the same logs become rows again, by the schemas as they are now")
        if not _replay(screen, sandbox):
            return False

        after = _look(session, sandbox)
        screen.step("The same rows now")
        screen.rows(after)
        screen.comparison(before, after)
        screen.ledger(replay_log_rows(session, sandbox.settings.warehouse.control))
    screen.outputs(*_outputs(sandbox))
    return all(now.rows and not now.wrong for now in after.values()) and all(
        now.around == before[table].around for table, now in after.items()
    )


def _look(session: Session, sandbox: Sandbox) -> dict[str, DemoQueryResult]:
    schema = sandbox.settings.warehouse.schema_name
    return {look.table: run_query(session, look, sandbox.window, schema) for look in DEMO_QUERIES}


def _replay(screen: DemoScreen, sandbox: Sandbox) -> bool:
    """Runs the command as a user would, and says whether it succeeded."""
    words = ["replay", *window_args(sandbox), "--all-tables", "--yes", "--runtag", RUN_TAG]
    words += ["--conf", str(sandbox.settings_path)]
    screen.command(shlex.join(["spade-spark", *words]))
    program = [sys.executable, "-c", "from spade_spark.cli.main import run; run()"]
    try:
        return run_kept([*program, *words], _environ(sandbox)) == 0
    finally:
        screen.show_cursor()


def _environ(sandbox: Sandbox) -> Mapping[str, str]:
    """The replay's environment: the sandbox's, Spark quiet, and all that is temporary in one place.

    Whatever the replay and Spark leave when they are interrupted goes with the sandbox.
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
    """Where the run lies, and its objects with their sizes."""
    store = open_store(sandbox.settings.output.base, sandbox.settings.s3)
    run = RunStore(store, RUN_TAG)
    return run.url, [(each.key, each.size) for each in store.list(f"{RUN_TAG}/")]
