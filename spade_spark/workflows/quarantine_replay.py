"""The request and the input objects of a replay from a run's quarantine."""

from __future__ import annotations

from spade_spark.errors import InputError, UsageError
from spade_spark.plan import InputObject
from spade_spark.request import Request
from spade_spark.runs.manifest import Manifest
from spade_spark.runs.paths import QUARANTINE
from spade_spark.runs.run_store import RunStore
from spade_spark.settings import Settings
from spade_spark.sources.listing import Listing
from spade_spark.storage.base import open_store
from spade_spark.window import Window


def quarantine_request(run_tag: str, settings: Settings) -> Request:
    """Build the request to reprocess the quarantine of ``run_tag``.

    Raises:
        UsageError: The run has no quarantine.
        InputError: The run does not exist or is not complete.
    """
    manifest = _manifest(run_tag, settings)
    return Request(
        window=Window.parse(*manifest.window),
        tables=tuple(table.table for table in manifest.tables),
        all_tables=False,
        run_tag=f"{run_tag}{QUARANTINE}",
        from_quarantine=run_tag,
    )


def list_quarantine(run_tag: str, settings: Settings) -> Listing:
    """List the objects of a run's quarantine that its manifest names.

    Raises:
        InputError: An object is missing.
    """
    store = open_store(settings.output.base, settings.s3)
    named = {file.key for file in _manifest(run_tag, settings).quarantine}
    existing = store.list(RunStore(store, run_tag).paths.quarantine(""))
    sources = tuple(
        InputObject(entry.key, entry.size, entry.etag) for entry in existing if entry.key in named
    )
    missing = sorted(named - {source.key for source in sources})
    if missing:
        raise InputError(
            f"{store.url}{missing[0]} does not exist: the quarantine of run tag {run_tag} is "
            "incomplete; replay the window instead"
        )
    return Listing(sources, ())


def _manifest(run_tag: str, settings: Settings) -> Manifest:
    run = RunStore(open_store(settings.require("output.base"), settings.s3), run_tag)
    completed = run.completed_run()
    if completed is None:
        raise InputError(
            f"{run.url} has no manifest: the run does not exist or is not complete; `spade-spark "
            "runs` lists the runs"
        )
    if not completed.manifest.quarantine:
        raise UsageError(f"run tag {run_tag} has no quarantine: there is nothing to reprocess")
    return completed.manifest
