"""Selects the requested streams from Blueprint's list."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from spade_spark.blueprint import fetch
from spade_spark.errors import InputError, UsageError
from spade_spark.settings import Settings
from spade_spark.streams.config import Entry, Stream, UnreadableEntry, read_entries
from spade_spark.streams.validation import region_of, validate, warnings

ALL: Final = "all"
"""The name that selects all streams on the command line."""


@dataclass(frozen=True)
class StreamTarget:
    """A stream that rows are published to.

    Attributes:
        id: Its name in plan, audit counts and summary: ``stream/123456789012/NAME``.
        stream: Its configuration.
    """

    id: str
    stream: Stream


@dataclass(frozen=True)
class StreamSelection:
    """The streams that a replay publishes to.

    Attributes:
        targets: The streams that receive at least one of the tables, in Blueprint's order.
        idle: Names of the selected streams that receive none of the tables.
        remarks: Warnings about their configurations, one sentence each.
        sha256: Hash of everything that affects what is published (hex); empty without targets.
    """

    targets: tuple[StreamTarget, ...] = ()
    idle: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the streams."""
        return tuple(target.id for target in self.targets)


def select_streams(
    names: Sequence[str], tables: Collection[str], settings: Settings
) -> StreamSelection:
    """Select the streams of these names, or all streams, that receive any of the tables.

    Raises:
        UsageError: A named stream does not exist, was dropped, or receives none of the tables; or
            no stream receives any of them.
        InputError: The list cannot be read, or the configuration of a stream is invalid.
    """
    if not names:
        return StreamSelection()
    source = settings.blueprint.streams
    raw = fetch.fetch(source, settings.s3)
    entries, unreadable = read_entries(raw, fetch.redact_url(source))
    requested = set(names)
    named = requested - {ALL}
    _require_known(named, entries, unreadable)
    selected = [
        entry
        for entry in entries
        if not entry.dropped and (ALL in requested or entry.spade_config.stream_name in named)
    ]
    _require_valid(selected, _requested_of(unreadable, requested), settings)
    receiving = [entry for entry in selected if entry.spade_config.events.keys() & set(tables)]
    idle = {entry.spade_config.stream_name for entry in selected if entry not in receiving}
    without_tables = (named & idle) - {entry.spade_config.stream_name for entry in receiving}
    if without_tables:
        raise UsageError(
            f"stream {', '.join(sorted(without_tables))} receives none of the requested tables: "
            "remove it from --publish, or add one of its tables"
        )
    if not receiving:
        raise UsageError("Blueprint has no stream that receives these tables: omit --publish")
    targets = tuple(StreamTarget(_id(entry), entry.spade_config) for entry in receiving)
    return StreamSelection(
        targets=targets,
        idle=tuple(sorted(idle)),
        remarks=tuple(
            f"Stream {target.id}: {warning}"
            for target in targets
            for warning in warnings(target.stream)
        ),
        sha256=_digest(targets, settings),
    )


def _id(entry: Entry) -> str:
    return "/".join(str(part) for part in (entry.key[1], entry.key[0], entry.key[2]) if part)


def _require_known(
    named: set[str], entries: Sequence[Entry], unreadable: Sequence[UnreadableEntry]
) -> None:
    existing = {entry.spade_config.stream_name for entry in entries if not entry.dropped}
    dropped = {entry.spade_config.stream_name for entry in entries if entry.dropped} - existing
    known = existing | {entry.name for entry in unreadable}
    errors = [
        f"stream {name} was dropped in Blueprint"
        if name in dropped
        else _unknown_stream(name, existing)
        for name in sorted(named - known)
    ]
    if errors:
        raise UsageError(f"--publish: {'; '.join(errors)}")


def _unknown_stream(name: str, existing: Iterable[str]) -> str:
    closest = get_close_matches(name, existing, n=1)
    hint = f"did you mean {closest[0]}?" if closest else "check the name"
    return f"Blueprint has no stream {name} ({hint})"


def _requested_of(
    unreadable: Iterable[UnreadableEntry], requested: set[str]
) -> list[UnreadableEntry]:
    return [entry for entry in unreadable if ALL in requested or entry.name in requested]


def _require_valid(
    entries: Iterable[Entry], unreadable: Iterable[UnreadableEntry], settings: Settings
) -> None:
    """Raise an error if any requested stream is invalid."""
    errors = [f"{invalid.name}: {invalid.reason}" for invalid in unreadable]
    for entry in entries:
        problems = "; ".join(validate(entry.spade_config, settings))
        if problems:
            errors.append(f"{entry.spade_config.stream_name or '(no name)'}: {problems}")
    if errors:
        raise InputError(
            "Blueprint's configuration of the streams is invalid; nothing was started:\n  "
            + "\n  ".join(errors)
            + "\nfix it in Blueprint, or name other streams with --publish"
        )


def _digest(targets: Iterable[StreamTarget], settings: Settings) -> str:
    """Hash everything that affects what is published. A resumed run must have the same hash."""
    parts = (
        *(
            target.id + region_of(target.stream, settings) + target.stream.model_dump_json()
            for target in targets
        ),
        settings.streams.model_dump_json(include={"endpoint_url", "default_filter", "filters"}),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
