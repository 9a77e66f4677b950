"""From a run tag to suggestions: reads the untracked events that the run's manifest names."""

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
    """What the untracked events of a run suggest.

    Attributes:
        run_tag: The run.
        events: Untracked events that it left.
        read: Those of them that were read.
        further: Those that were read and have a name that was not kept.
        suggestions: The tables, by the number of their events, the most frequent first.
    """

    run_tag: str
    events: int
    read: int
    further: int
    suggestions: tuple[Suggestion, ...]


class _Untracked(msgspec.Struct):
    event: str
    properties: msgspec.Raw


def suggest(
    run_tag: str, settings: Settings, *, names: Collection[str] = (), limit: int
) -> Suggestions:
    """Proposes a table for each untracked event of a run.

    Args:
        run_tag: The run.
        settings: The settings that it was made with, as far as they say where it lies.
        names: The events that are looked at; all where it is empty.
        limit: Events read at most, about as many of each file.

    Raises:
        UsageError: The run left no untracked events, or none of these names were found.
        InputError: There is no such run, or its files are not what they should be.
    """
    files = _files(run_tag, settings)
    seen = Profile(frozenset(names))
    for number, file in enumerate(files):
        share = -(-(limit - seen.read) // (len(files) - number))
        for line in islice(_lines(file, settings), share):
            _add(line, file, seen)
    missing = sorted(seen.wanted - seen.events.keys())
    if missing:
        raise UsageError(
            f"run tag {run_tag} has no untracked event {', '.join(missing)} among the "
            f"{seen.read:,} read: mind the spelling, or read more with --limit"
        )
    suggestions = [propose(name, each) for name, each in seen.events.items()]
    suggestions.sort(key=lambda each: (-each.seen.events, each.table.name))
    events = sum(file.events for file in files)
    return Suggestions(run_tag, events, seen.read, seen.further, tuple(suggestions))


def _files(run_tag: str, settings: Settings) -> Sequence[UntrackedFile]:
    run = RunStore(open_store(settings.output.base, settings.s3), run_tag)
    sealed = run.completed_run()
    if sealed is None:
        raise InputError(f"{run.url} has no manifest: there is no such run, or it did not complete")
    if not sealed.manifest.untracked:
        raise UsageError(
            f"run tag {run_tag} left no untracked events: they are kept by a replay of "
            "--all-tables, where some came"
        )
    return sealed.manifest.untracked


def _lines(file: UntrackedFile, settings: Settings) -> Iterator[bytes]:
    base, key = split_url(file.url)
    try:
        with (
            closing(open_store(base, settings.s3).open(key, size=file.size)) as packed,
            gzip.GzipFile(fileobj=packed) as stream,
        ):
            yield from stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{file.url} is damaged ({error}): make the run again") from None


def _add(line: bytes, file: UntrackedFile, seen: Profile) -> None:
    try:
        untracked = msgspec.json.decode(line, type=_Untracked)
        seen.add(untracked.event, decode_utf8_lossless(bytes(untracked.properties)))
    except (msgspec.MsgspecError, JsonError) as error:
        raise InputError(f"{file.url} has a line that is no untracked event: {error}") from None
