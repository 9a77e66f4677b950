"""A Blueprint schema for what was seen of an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spade_spark.blueprint.schema import Column, Table
from spade_spark.schema_inference.naming import column_name, is_event_name
from spade_spark.schema_inference.profile import EventProfile, PropertyProfile
from spade_spark.transform.transformers.base import (
    ArrowType,
    Inference,
    TransformerSpec,
    ValueKind,
    ValueTrait,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

MAX_COLUMNS: Final = 299
"""Blueprint refuses a table of more."""

_LENGTHS: Final = (16, 32, 64, 128, 255, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65535)
_ROOM: Final = 1.25  # a longer text than those that were seen will come
_RARE: Final = 100

_TIME: Final = Column("time", "time", "f@timestamp@unix", supporting=("",))
_PLACES: Final = (
    ("ip", "varchar", "(45)"),
    ("city", "ipCity", "(64)"),
    ("region", "ipRegion", "(64)"),
    ("country", "ipCountry", "(2)"),
    ("asn", "ipAsn", "(128)"),
    ("asn_id", "ipAsnInteger", ""),
)
"""Of the client's address, which every event has: the outbound name, transformer and options."""


@dataclass(frozen=True)
class PropertySuggestion:
    """One property, and the column that would take it.

    Attributes:
        name: The property's name.
        seen: What was seen of it.
        column: The column; None where no transformer takes its values, or there are too many.
        notes: What to look at before the column is added.
    """

    name: str
    seen: PropertyProfile
    column: Column | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Suggestion:
    """One event, and the table that would take it.

    Attributes:
        seen: What was seen of it.
        table: The table, as a first version.
        properties: Its properties, the most frequent first.
        notes: What to look at before the table is added.
    """

    seen: EventProfile
    table: Table
    properties: tuple[PropertySuggestion, ...]
    notes: tuple[str, ...]


def propose(name: str, seen: EventProfile, registry: Registry = TRANSFORMERS) -> Suggestion:
    """The table that would take the events of this name."""
    ordered = sorted(seen.properties.items(), key=lambda item: (-item[1].values, item[0]))
    columns = {"time": _TIME}
    columns |= {outbound: _place(outbound, *kind) for outbound, *kind in _PLACES}
    properties = []
    for each, values in ordered:
        properties.append(_property(each, values, seen, columns, registry))
        if (column := properties[-1].column) is not None:
            columns.setdefault(column.outbound, column)
    table = Table(name, 0, tuple(columns.values()))
    return Suggestion(seen, table, tuple(properties), tuple(_event_notes(name, seen)))


def _place(outbound: str, transformer: str, options: str) -> Column:
    return Column("ip", outbound, transformer, options, ("",))


def _property(
    name: str,
    values: PropertyProfile,
    seen: EventProfile,
    columns: dict[str, Column],
    registry: Registry,
) -> PropertySuggestion:
    notes = []
    inbound = name
    if name == "time":
        inbound = "client_time"
        notes.append("the server's time replaces it; what the client sent is client_time")
    elif name == "client_time" and "time" in seen.properties:
        return PropertySuggestion(name, values, None, ("what the client sent as time replaces it",))
    spec = registry.spec("varchar") if name == "ip" else _transformer(name, values, registry)
    notes += _notes(values, seen, spec)
    if name == "ip":  # a client may send another address than its own
        return PropertySuggestion(name, values, columns["ip"], tuple(notes))
    column = None
    if spec and len(columns) >= MAX_COLUMNS:
        notes.append(f"left out: a table has at most {MAX_COLUMNS} columns")
    elif spec:
        outbound = column_name(inbound, columns)
        column = Column(inbound, outbound, spec.name, _options(spec, values), ("",))
    return PropertySuggestion(name, values, column, tuple(notes))


def _transformer(name: str, values: PropertyProfile, registry: Registry) -> TransformerSpec | None:
    """The transformer that takes most of the values; None where none takes any."""
    best, most = None, (0, False)
    for spec in registry.specs:
        inference = spec.inference
        if inference is None:
            continue
        taken = _taken(inference, values)
        if inference.names:
            if name in inference.names and taken * 2 > values.values:
                return spec
            continue
        is_observed = any(values.kinds[kind] for kind in inference.requires)
        rank = (taken, is_observed)
        if taken and rank > most and (is_observed or not inference.requires):
            best, most = spec, rank
    return best


def _taken(inference: Inference, values: PropertyProfile) -> int:
    """How many of the values the transformer takes."""
    kinds = sum(values.kinds[kind] for kind in inference.kinds)
    return kinds + sum(values.traits[trait] for trait in inference.traits)


def _options(spec: TransformerSpec, values: PropertyProfile) -> str:
    if spec.arrow_type is not ArrowType.STRING:
        return ""
    needed = values.max_bytes * _ROOM
    return f"({next((length for length in _LENGTHS if length >= needed), _LENGTHS[-1])})"


def _notes(
    values: PropertyProfile, seen: EventProfile, spec: TransformerSpec | None
) -> Iterator[str]:
    """What is odd about a property."""
    if values.values * _RARE < seen.events:
        yield f"rare: in {values.values:,} of {seen.events:,} events"
    if spec is None or spec.inference is None:
        yield "no transformer takes a list, an object or null"
        return
    lost = values.values - _taken(spec.inference, values)
    if lost:
        kinds = ", ".join(f"{count:,} {kind.value}" for kind, count in values.kinds.most_common())
        yield f"mixed types ({kinds}): {lost:,} of {values.values:,} left empty"
    if spec.arrow_type is not ArrowType.STRING:
        return
    if values.max_bytes > _LENGTHS[-1]:
        yield f"texts of up to {values.max_bytes:,} bytes would be cut"
    if spec.name != "varchar":
        return
    if values.traits[ValueTrait.ADDRESS] == values.values:
        yield "all are addresses: ipCity, ipCountry, ipRegion and ipAsn take them too"
    elif values.kinds[ValueKind.INT_TEXT] + values.kinds[ValueKind.BIGINT_TEXT] == values.values:
        yield "all are integers as text: int or bigint takes them too"


def _event_notes(name: str, seen: EventProfile) -> Iterator[str]:
    if not is_event_name(name):
        yield "Blueprint refuses this name: a letter or _, then letters, digits, _ and -"
    if seen.without:
        yield f"no properties, and so no row: {seen.without:,} of {seen.events:,} events"
    if seen.further:
        yield f"further properties were not looked at ({seen.further:,} values)"
