"""Rows that are added to a window instead of replacing it: those of a run's quarantine.

They belong to a load that stands. Where that load was undone, or its window was replaced since,
the rows are there already or no longer wanted, and adding them would double or mix them.
"""

from __future__ import annotations

from spade_spark.errors import GuardError
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.load_history import (
    find_undo,
    later_changes,
    latest_load,
    replay_log_rows,
)
from spade_spark.warehouse.target_rows import TargetRows


def check_append_target(session: Session, rows: TargetRows, run_tag: str) -> None:
    """Refuses to add rows to the window that ``run_tag`` loaded unless that load stands.

    Args:
        session: Where to look: beforehand, and again under the ledger's lock.
        rows: The window that rows are added to, under the run tag of the addition.
        run_tag: The run whose quarantine the rows come from.

    Raises:
        GuardError: The load is not there, was undone, is of another window, or was replaced.
    """
    left = f"{rows.table} was left as it was"
    history = replay_log_rows(session, rows.place.control)
    load = latest_load(history, run_tag, rows.table)
    if load is None:
        raise GuardError(
            f"{left}: run tag {run_tag} was not loaded into it, so there is nothing to add to: "
            f"load it first, with --skip-transform --runtag {run_tag}"
        )
    undone = find_undo(load, history)
    if undone:
        raise GuardError(f"{left}: run tag {run_tag} was undone, at {undone.at} UTC")
    if rows.window.wall_start < load.start or load.end < rows.window.wall_end:
        raise GuardError(
            f"{left}: run tag {run_tag} was loaded for {load.window} alone, not for all of "
            f"{rows.window}: what is outside cannot be added; replay the whole window again"
        )
    changes = [row for row in later_changes(load, history) if row.run_tag != rows.run_tag]
    if changes:
        by = ", ".join(f"{each.run_tag} ({each.at:%Y-%m-%d %H:%M:%S} UTC)" for each in changes)
        raise GuardError(
            f"{left}: its window was replaced since run tag {run_tag} was loaded, by {by}, which "
            "may have brought these rows already; --force adds them all the same"
        )
