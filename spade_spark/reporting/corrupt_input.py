"""Messages about corrupt input objects that stop a load or a publication."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spade_spark.formatting import pluralize
from spade_spark.request import Request
from spade_spark.runs.manifest import Completion
from spade_spark.runs.run_store import CompletedRun

_MAX_SHOWN = 10


def corrupt_input_problem(completed: CompletedRun, request: Request) -> str:
    """The problem that stops a run with too many corrupt objects; empty if there is none."""
    damaged = len(completed.manifest.damaged)
    if damaged <= request.allow_damaged:
        return ""
    options = f"--runtag {request.run_tag} --allow-damaged {damaged}"
    if request.skip_load:
        return (
            f"{pluralize(damaged, 'corrupt object')}: fix them and start a new run, or accept "
            f"this run's output with {options}"
        )
    published = sum(stream.published for stream in completed.manifest.counts.streams.values())
    note = f" ({pluralize(published, 'row')} already published to streams)" if published else ""
    return (
        f"{pluralize(damaged, 'corrupt object')}, nothing was loaded{note}: fix them and start a "
        f"new run, or load this run's output with --skip-transform {options}"
    )


def withheld_message(
    withheld: Sequence[Completion],
    completions: Sequence[Completion],
    tables: Collection[str],
    request: Request,
) -> str:
    """The error about partitions that were not published because they read corrupt objects.

    Args:
        withheld: These partitions.
        completions: All partitions.
        tables: The tables to be published.
        request: The replay request.
    """
    reasons = [corrupt.reason for completion in withheld for corrupt in completion.damaged]
    more = [f"and {len(reasons) - _MAX_SHOWN} more"] if len(reasons) > _MAX_SHOWN else []
    rows = sum(
        file.rows for completion in withheld for file in completion.files if file.table in tables
    )
    damaged = sum(len(completion.damaged) for completion in completions)
    not_loaded, action = (
        ("", "publish") if request.skip_load else (", and nothing was loaded", "publish and load")
    )
    return (
        f"{pluralize(damaged, 'corrupt object')}:\n  "
        + "\n  ".join(reasons[:_MAX_SHOWN] + more)
        + f"\n{pluralize(rows, 'row')} of their partitions were not published{not_loaded}. Fix "
        "them and start a new run (consumers will receive the published rows twice), or "
        f"{action} this run's output: repeat the command with --runtag {request.run_tag} "
        f"--allow-damaged {damaged}"
    )
