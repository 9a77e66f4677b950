"""Messages about corrupt input objects that stop a load or a publication."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spade_spark.formatting import pluralize
from spade_spark.request import Request
from spade_spark.runs.manifest import Completion
from spade_spark.runs.run_store import CompletedRun

_MAX_SHOWN = 10


def corrupt_input_problem(completed: CompletedRun, request: Request) -> str:
    """The error about more corrupt objects than allowed; empty if the run is within the limit."""
    corrupt = len(completed.manifest.damaged)
    if corrupt <= request.allow_damaged:
        return ""
    options = f"--runtag {request.run_tag} --allow-damaged {corrupt}"
    if request.skip_load:
        return (
            f"{pluralize(corrupt, 'corrupt object')}: fix them and start a new run, or accept "
            f"this run's output with {options}"
        )
    published = sum(stream.published for stream in completed.manifest.counts.streams.values())
    note = f" ({pluralize(published, 'row')} already published to streams)" if published else ""
    return (
        f"{pluralize(corrupt, 'corrupt object')}, nothing was loaded{note}: fix them and start a "
        f"new run, or load this run's output with --skip-transform {options}"
    )


def withheld_message(
    withheld: Sequence[Completion],
    completions: Sequence[Completion],
    tables: Collection[str],
    request: Request,
) -> str:
    """The error about partitions that were not published because of corrupt objects.

    Args:
        withheld: The completion records of these partitions.
        completions: The completion records of all partitions.
        tables: The tables to publish.
        request: The replay request.
    """
    reasons = [corrupt.reason for completion in withheld for corrupt in completion.damaged]
    more = [f"and {len(reasons) - _MAX_SHOWN} more"] if len(reasons) > _MAX_SHOWN else []
    rows = sum(
        file.rows for completion in withheld for file in completion.files if file.table in tables
    )
    corrupt = sum(len(completion.damaged) for completion in completions)
    not_loaded, action = (
        ("", "publish") if request.skip_load else (". Nothing was loaded", "publish and load")
    )
    return (
        f"{pluralize(corrupt, 'corrupt object')}:\n  "
        + "\n  ".join(reasons[:_MAX_SHOWN] + more)
        + f"\nNot published: {pluralize(rows, 'row')} of the affected partitions{not_loaded}. Fix "
        "the objects and start a new run (consumers will receive the published rows twice), or "
        f"{action} this run's output: repeat the command with --runtag {request.run_tag} "
        f"--allow-damaged {corrupt}"
    )
