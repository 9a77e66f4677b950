"""Guards: checks that stop a load or an undo before anything is changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spade_spark.errors import GuardError
from spade_spark.formatting import pluralize
from spade_spark.warehouse.target_rows import TargetRows


@dataclass(frozen=True)
class LoadGuards:
    """The limits of a load or an undo.

    Attributes:
        allow_empty: Whether the window may end up without rows.
        min_rows_ratio: The minimum ratio of new rows to old rows in the window.
        max_truncated: The maximum number of truncated values; None for no limit.
        force: Whether a run tag that the replay log contains may be loaded again.
        allow_already_empty: Whether a window without old rows may stay without rows.
    """

    allow_empty: bool = False
    min_rows_ratio: float = 0.5
    max_truncated: int | None = None
    force: bool = False
    allow_already_empty: bool = False


def guard_row_count(
    rows: TargetRows, before: int, after: int, guards: LoadGuards, *, source: str, note: str = ""
) -> None:
    """Check that the window would not end up empty or with too few rows.

    Args:
        rows: The rows to be replaced.
        before: The number of rows in the window before.
        after: The number of rows afterwards.
        guards: The limits.
        source: Where the new rows come from, for the message: "run tag x".
        note: Extra text for the message about an empty window.

    Raises:
        GuardError: The check failed; nothing was changed.
    """
    prefix = f"{rows.table} was not modified: {source} has"
    existing = pluralize(before, "existing row")
    if after == 0 and not guards.allow_empty:
        raise GuardError(
            f"{prefix} no rows in the window {rows.window}{note} to replace {existing}. If this is "
            "correct, use --allow-empty"
        )
    if 0 < after < before * guards.min_rows_ratio:
        share = math.floor(1000 * after / before) / 1000
        raise GuardError(
            f"{prefix} only {pluralize(after, 'row')} in the window {rows.window} to replace "
            f"{existing}, below the minimum ratio {guards.min_rows_ratio:g}. If this is correct, "
            f"use --min-rows-ratio {share:g} or less"
        )


def guard_rows_after(rows: TargetRows, after: str, expected: int) -> None:
    """Check that the window has exactly the rows that it should have, before the commit.

    The counts of DELETE and INSERT do not show this: a trigger or a rule can keep a row that was to
    be deleted, add rows, or move an inserted row out of the window. So can a backup that was
    changed.

    Args:
        rows: The replaced rows.
        after: The fingerprint of the window after the INSERT.
        expected: The number of rows that the window should have.

    Raises:
        GuardError: It has another number of rows; the transaction must be rolled back.
    """
    count = int(after.partition(":")[0])
    if count != expected:
        raise GuardError(
            f"{rows.table} was not modified: the window {rows.window} should have "
            f"{pluralize(expected, 'row')} afterwards, but would have {count}: check the triggers "
            f"and rules of {rows.schemas.schema}.{rows.relation}, and the rows of its backup for "
            "an undo"
        )
