"""What is said where objects of the logs are damaged, and the rows beside them wait for a word."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spade_spark.reporting.render import pluralize
from spade_spark.request import Request
from spade_spark.runs.manifest import Completion
from spade_spark.runs.run_store import CompletedRun

_MOST = 10


def damage_problem(sealed: CompletedRun, request: Request) -> str:
    """What forbids to go on with what was made, or nothing."""
    damaged = len(sealed.manifest.damaged)
    if damaged <= request.allow_damaged:
        return ""
    options = f"--runtag {request.run_tag} --allow-damaged {damaged}"
    if request.skip_load:
        return (
            f"{pluralize(damaged, 'object')} damaged: mend them and begin a new run, or accept "
            f"what was made with {options}"
        )
    published = sum(each.published for each in sealed.manifest.counts.streams.values())
    told = f" ({pluralize(published, 'row')} went to streams)" if published else ""
    return (
        f"{pluralize(damaged, 'object')} damaged, and so nothing was loaded{told}: mend them and "
        f"begin a new run, or load what was made with --skip-transform {options}"
    )


def withheld_message(
    held: Sequence[Completion],
    completions: Sequence[Completion],
    tables: Collection[str],
    request: Request,
) -> str:
    """What is said of partitions that were not published, since objects of theirs are damaged.

    Args:
        held: These partitions.
        completions: All partitions.
        tables: What would be published.
        request: What was asked.
    """
    reasons = [each.reason for completion in held for each in completion.damaged]
    more = [f"and {len(reasons) - _MOST} more"] if len(reasons) > _MOST else []
    rows = sum(
        file.rows for completion in held for file in completion.files if file.table in tables
    )
    damaged = sum(len(completion.damaged) for completion in completions)
    loaded, load = (
        ("", "publish") if request.skip_load else (", and nothing was loaded", "publish and load")
    )
    return (
        f"{pluralize(damaged, 'object')} damaged:\n  "
        + "\n  ".join(reasons[:_MOST] + more)
        + f"\n{pluralize(rows, 'row')} of their partitions were not published{loaded}. Mend them "
        f"and begin a new run (consumers get repeats of what was published), or {load} what was "
        f"made "
        f"by the same command with --runtag {request.run_tag} --allow-damaged {damaged}"
    )
