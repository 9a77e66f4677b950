"""Which streams are published to: those asked for, out of Blueprint's list."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from spade_spark.blueprint import fetch
from spade_spark.errors import InputError, UsageError
from spade_spark.settings import Settings
from spade_spark.streams.config import Entry, Stream, Unreadable, read_entries
from spade_spark.streams.validation import region_of, validate, warnings

ALL: Final = "all"
"""What stands for every stream on the command line."""


@dataclass(frozen=True)
class StreamTarget:
    """A stream that rows are published to.

    Attributes:
        id: What it is called in plan, ledger and summary: ``stream/123456789012/NAME``.
        stream: Its configuration.
    """

    id: str
    stream: Stream


@dataclass(frozen=True)
class StreamSelection:
    """The streams that rows are published to.

    Attributes:
        targets: Those that take at least one of the tables made, in the published order.
        idle: Names of those that were not named and take none of the tables.
        remarks: What of their configuration may surprise, a sentence each.
        sha256: Of all that decides what is published (hex); empty where nothing is.
    """

    targets: tuple[StreamTarget, ...] = ()
    idle: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """What the streams are called."""
        return tuple(target.id for target in self.targets)


def select_streams(
    names: Sequence[str], tables: Collection[str], settings: Settings
) -> StreamSelection:
    """The streams called ``names``, or all of them, as far as ``tables`` go to them.

    Raises:
        UsageError: A name that Blueprint does not have, that was dropped, or that takes none of
            the tables; or of all streams none that takes one.
        InputError: The list cannot be read, or a stream asked for breaks a rule.
    """
    if not names:
        return StreamSelection()
    source = settings.blueprint.streams
    raw = fetch.fetch(source, settings.s3)
    entries, unreadable = read_entries(raw, fetch.redact_url(source))
    asked = set(names)
    named = asked - {ALL}
    _refuse_unknown(named, entries, unreadable)
    wanted = [
        entry
        for entry in entries
        if not entry.dropped and (ALL in asked or entry.spade_config.stream_name in named)
    ]
    _refuse_invalid(wanted, _asked_of(unreadable, asked), settings)
    busy = [entry for entry in wanted if entry.spade_config.events.keys() & set(tables)]
    idle = {entry.spade_config.stream_name for entry in wanted if entry not in busy}
    useless = (named & idle) - {entry.spade_config.stream_name for entry in busy}
    if useless:
        raise UsageError(
            f"stream {', '.join(sorted(useless))} takes none of the tables to be made: leave it "
            "out of --publish, or name a table of it"
        )
    if not busy:
        raise UsageError("Blueprint has no stream that takes these tables: leave --publish out")
    targets = tuple(StreamTarget(_id(entry), entry.spade_config) for entry in busy)
    return StreamSelection(
        targets=targets,
        idle=tuple(sorted(idle)),
        remarks=tuple(
            f"Stream {target.id}: {oddity}"
            for target in targets
            for oddity in warnings(target.stream)
        ),
        sha256=_digest(targets, settings),
    )


def _id(entry: Entry) -> str:
    return "/".join(str(part) for part in (entry.key[1], entry.key[0], entry.key[2]) if part)


def _refuse_unknown(
    named: set[str], entries: Sequence[Entry], unreadable: Sequence[Unreadable]
) -> None:
    there = {entry.spade_config.stream_name for entry in entries if not entry.dropped}
    dropped = {entry.spade_config.stream_name for entry in entries if entry.dropped} - there
    known = there | {each.name for each in unreadable}
    said = [
        f"stream {name} was dropped in Blueprint" if name in dropped else _not_there(name, there)
        for name in sorted(named - known)
    ]
    if said:
        raise UsageError(f"--publish: {'; '.join(said)}")


def _not_there(name: str, there: Iterable[str]) -> str:
    closest = get_close_matches(name, there, n=1)
    meant = f"did you mean {closest[0]}?" if closest else "check the name"
    return f"Blueprint has no stream {name}: {meant}"


def _asked_of(unreadable: Iterable[Unreadable], asked: set[str]) -> list[Unreadable]:
    return [each for each in unreadable if ALL in asked or each.name in asked]


def _refuse_invalid(
    entries: Iterable[Entry], unreadable: Iterable[Unreadable], settings: Settings
) -> None:
    """Nothing is published by half: one stream that breaks a rule stops all that were asked for."""
    said = [f"{each.name}: {each.reason}" for each in unreadable]
    for entry in entries:
        broken = "; ".join(validate(entry.spade_config, settings))
        if broken:
            said.append(f"{entry.spade_config.stream_name or '(no name)'}: {broken}")
    if said:
        raise InputError(
            "Blueprint's configuration of streams cannot be used, so nothing was begun:\n  "
            + "\n  ".join(said)
            + "\nmend it in Blueprint, or name other streams with --publish"
        )


def _digest(targets: Iterable[StreamTarget], settings: Settings) -> str:
    """What would make a run that is gone on with publish something else changes it."""
    bearing = (
        *(
            target.id + region_of(target.stream, settings) + target.stream.model_dump_json()
            for target in targets
        ),
        settings.streams.model_dump_json(include={"endpoint_url", "default_filter", "filters"}),
    )
    return hashlib.sha256("\n".join(bearing).encode()).hexdigest()
