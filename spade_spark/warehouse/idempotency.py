"""Whether a run tag was loaded into a table before, and whether that load still stands.

A replay that died after a commit is run again by the same command. What it has loaded is done, and
is passed over, so that the command ends as if nothing had happened. Where the ledger has the run
tag but the window's rows are not its rows any more, nothing is done unasked.
"""

from __future__ import annotations

from collections.abc import Sequence

from spade_spark.errors import AlreadyLoadedError
from spade_spark.runs.paths import QUARANTINE
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.load_history import (
    ReplayLogRow,
    find_undo,
    later_changes,
    latest_load,
    replay_log_rows,
)
from spade_spark.warehouse.target_rows import TargetRows


def find_completed_load(session: Session, rows: TargetRows, checksum: str) -> ReplayLogRow | None:
    """The load that did before what is asked for now; None where there was none.

    Args:
        session: Where to look: beforehand, and again under the ledger's lock.
        rows: What is to be loaded.
        checksum: Of the manifest that is to be loaded.

    Raises:
        AlreadyLoadedError: The ledger has the run tag, but that load does not stand, or was
            another.
    """
    control = rows.place.control
    if not session.rows(rows.entry.select()):
        return None
    history = replay_log_rows(session, control)
    load = latest_load(history, rows.run_tag, rows.table)
    assert load is not None  # the ledger has the run tag
    why = _difference(load, rows, checksum) or _end(load, history)
    if why:
        raise AlreadyLoadedError(
            f"{rows.table} has run tag {rows.run_tag} already, loaded at "
            f"{load.at:%Y-%m-%d %H:%M:%S} UTC ({control}.{replay_log.NAME}), but {why}; it was not "
            "modified: use --force to load it again"
        )
    return load


def _difference(load: ReplayLogRow, rows: TargetRows, checksum: str) -> str:
    """What was loaded that is not what is asked for; empty where it is."""
    if load.checksum != checksum:
        return "from other files than the run has now"
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        return f"for {load.window} alone, not for all of {rows.window}"
    return ""


def _end(load: ReplayLogRow, history: Sequence[ReplayLogRow]) -> str:
    """What ended the load; empty where it stands."""
    undone = find_undo(load, history)
    if undone:
        return f"that was undone at {undone.at:%Y-%m-%d %H:%M:%S} UTC"
    # What was tried again from the run's own quarantine was added to it.
    added = load.run_tag + QUARANTINE
    changes = [row for row in later_changes(load, history) if row.run_tag != added]
    if not changes:
        return ""
    by = ", ".join(f"{each.run_tag} ({each.at:%Y-%m-%d %H:%M:%S} UTC)" for each in changes)
    return f"its window was replaced since, by {by}"
