"""A run's quarantine, tried again: which request that is, and which objects it reads."""

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
    """The request that tries again what ``run_tag`` could make no row of.

    Raises:
        UsageError: The run has no quarantine.
        InputError: There is no such run, or it is not complete.
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
    """The objects of a run's quarantine, those alone that its manifest names.

    Raises:
        InputError: One of them is gone.
    """
    store = open_store(settings.output.base, settings.s3)
    named = {file.key for file in _manifest(run_tag, settings).quarantine}
    there = store.list(RunStore(store, run_tag).paths.quarantine(""))
    sources = tuple(
        InputObject(found.key, found.size, found.etag) for found in there if found.key in named
    )
    gone = sorted(named - {source.key for source in sources})
    if gone:
        raise InputError(f"{store.url}{gone[0]} is not there: the quarantine is not whole")
    return Listing(sources, ())


def _manifest(run_tag: str, settings: Settings) -> Manifest:
    run = RunStore(open_store(settings.output.base, settings.s3), run_tag)
    sealed = run.completed_run()
    if sealed is None:
        raise InputError(f"{run.url} has no manifest: there is no such run, or it did not complete")
    if not sealed.manifest.quarantine:
        raise UsageError(f"run tag {run_tag} has no quarantine: there is nothing to try again")
    return sealed.manifest
