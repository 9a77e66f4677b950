"""Suggests tables for the untracked events of a run."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import msgspec

from spade_spark.errors import InputError, UsageError
from spade_spark.gocompat.json import JsonError, decode_utf8_lossless
from spade_spark.runs.manifest import UntrackedFile
from spade_spark.runs.run_store import RunStore
from spade_spark.schema_inference.profile import Profile
from spade_spark.schema_inference.proposal import Suggestion, propose
from spade_spark.settings import Settings
from spade_spark.storage.base import open_store, split_url


@dataclass(frozen=True)
class Suggestions:
    """The suggested tables for a run's untracked events.

    Attributes:
        run_tag: The run.
        events: Number of untracked events of the run.
        read: Number of events that were read.
        not_profiled: Number of read events that were not profiled, because their names were too
            long or too many.
        suggestions: The tables, those with most events first.
    """

    run_tag: str
    events: int
    read: int
    not_profiled: int
    suggestions: tuple[Suggestion, ...]


class _UntrackedEvent(msgspec.Struct):
    event: str
    properties: msgspec.Raw


def suggest(
    run_tag: str, settings: Settings, *, names: Collection[str] = (), limit: int
) -> Suggestions:
    """Suggest a table for each name of a run's untracked events.

    Args:
        run_tag: The run.
        settings: The settings, which say where runs are stored.
        names: The event names to profile; empty for all.
        limit: Maximum number of events to read. About the same number is read from each file.

    Raises:
        UsageError: The run has no untracked events, or none with one of the names.
        InputError: The run does not exist or is not complete, or a file is corrupt.
    """
    files = _files(run_tag, settings)
    profile = Profile(frozenset(names))
    for number, file in enumerate(files):
        share = -(-(limit - profile.read) // (len(files) - number))
        for line in islice(_lines(file, settings), share):
            _add(line, file, profile)
    missing = sorted(profile.names - profile.events.keys())
    if missing:
        raise UsageError(
            f"run tag {run_tag} has no untracked event {', '.join(missing)} among the "
            f"{profile.read:,} read: check the name, or read more events with --limit"
        )
    suggestions = [propose(name, event) for name, event in profile.events.items()]
    suggestions.sort(key=lambda suggestion: (-suggestion.profile.events, suggestion.table.name))
    events = sum(file.events for file in files)
    return Suggestions(run_tag, events, profile.read, profile.not_profiled, tuple(suggestions))


def _files(run_tag: str, settings: Settings) -> Sequence[UntrackedFile]:
    run = RunStore(open_store(settings.require("output.base"), settings.s3), run_tag)
    completed = run.completed_run()
    if completed is None:
        raise InputError(
            f"{run.url} has no manifest: the run does not exist or is not complete; `spade-spark "
            "runs` lists the runs"
        )
    if not completed.manifest.untracked:
        raise UsageError(
            f"run tag {run_tag} has no untracked events: only replays with --all-tables keep them"
        )
    return completed.manifest.untracked


def _lines(file: UntrackedFile, settings: Settings) -> Iterator[bytes]:
    base, key = split_url(file.url)
    try:
        with (
            closing(open_store(base, settings.s3).open(key, size=file.size)) as compressed,
            gzip.GzipFile(fileobj=compressed) as stream,
        ):
            yield from stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{file.url} is corrupt ({error}): run the replay again with another run tag"
        ) from None


def _add(line: bytes, file: UntrackedFile, profile: Profile) -> None:
    try:
        event = msgspec.json.decode(line, type=_UntrackedEvent)
        profile.add(event.event, decode_utf8_lossless(bytes(event.properties)))
    except (msgspec.MsgspecError, JsonError) as error:
        raise InputError(f"{file.url} has a line that is not an untracked event: {error}") from None
