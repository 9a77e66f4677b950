"""Proposes a Blueprint table for a profiled event."""

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
"""The maximum number of columns of a table in Blueprint."""

_VARCHAR_LENGTHS: Final = (16, 32, 64, 128, 255, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65535)
_LENGTH_MARGIN: Final = 1.25  # for future strings that are longer than the profiled ones
_RARE: Final = 100  # a property in fewer than 1 of 100 events is rare

_TIME: Final = Column("time", "time", "f@timestamp@unix", supporting=("",))
_ADDRESS_COLUMNS: Final = (
    ("ip", "varchar", "(45)"),
    ("city", "ipCity", "(64)"),
    ("region", "ipRegion", "(64)"),
    ("country", "ipCountry", "(2)"),
    ("asn", "ipAsn", "(128)"),
    ("asn_id", "ipAsnInteger", ""),
)
"""Columns of the client's address, which every event has: outbound name, transformer, options."""


@dataclass(frozen=True)
class PropertySuggestion:
    """One property, and the proposed column.

    Attributes:
        name: The property's name.
        profile: Counts of its values.
        column: The column; None if no transformer fits, or the table has too many columns.
        notes: What to check before adding the column.
    """

    name: str
    profile: PropertyProfile
    column: Column | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Suggestion:
    """One event name, and the proposed table.

    Attributes:
        profile: Counts of its events.
        table: The table, with version 0.
        properties: Its properties, the most frequent first.
        notes: What to check before adding the table.
    """

    profile: EventProfile
    table: Table
    properties: tuple[PropertySuggestion, ...]
    notes: tuple[str, ...]


def propose(name: str, profile: EventProfile, registry: Registry = TRANSFORMERS) -> Suggestion:
    """Propose a table for the events of this name."""
    ordered = sorted(profile.properties.items(), key=lambda item: (-item[1].values, item[0]))
    columns = {"time": _TIME}
    columns |= {outbound: _address_column(outbound, *rest) for outbound, *rest in _ADDRESS_COLUMNS}
    properties = []
    for property_name, values in ordered:
        properties.append(_property(property_name, values, profile, columns, registry))
        if (column := properties[-1].column) is not None:
            columns.setdefault(column.outbound, column)
    table = Table(name, 0, tuple(columns.values()))
    return Suggestion(profile, table, tuple(properties), tuple(_event_notes(name, profile)))


def _address_column(outbound: str, transformer: str, options: str) -> Column:
    return Column("ip", outbound, transformer, options, ("",))


def _property(
    name: str,
    values: PropertyProfile,
    event: EventProfile,
    columns: dict[str, Column],
    registry: Registry,
) -> PropertySuggestion:
    notes = []
    inbound = name
    if name == "time":
        inbound = "client_time"
        notes.append("column time has the server's time; this property is in client_time")
    elif name == "client_time" and "time" in event.properties:
        return PropertySuggestion(
            name, values, None, ("omitted: client_time has the property time",)
        )
    spec = registry.spec("varchar") if name == "ip" else _transformer(name, values, registry)
    notes += _notes(values, event, spec)
    if name == "ip":  # it takes precedence over the address that the edge saw
        return PropertySuggestion(name, values, columns["ip"], tuple(notes))
    column = None
    if spec and len(columns) >= MAX_COLUMNS:
        notes.append(f"omitted: a table has at most {MAX_COLUMNS} columns")
    elif spec:
        outbound = column_name(inbound, columns)
        column = Column(inbound, outbound, spec.name, _options(spec, values), ("",))
    return PropertySuggestion(name, values, column, tuple(notes))


def _transformer(name: str, values: PropertyProfile, registry: Registry) -> TransformerSpec | None:
    """Return the transformer that accepts the most values; None if none accepts any."""
    best, best_rank = None, (0, False)
    for spec in registry.specs:
        inference = spec.inference
        if inference is None:
            continue
        accepted = _accepted(inference, values)
        if inference.names:
            if name in inference.names and accepted * 2 > values.values:
                return spec
            continue
        is_observed = any(values.kinds[kind] for kind in inference.requires)
        rank = (accepted, is_observed)
        if accepted and rank > best_rank and (is_observed or not inference.requires):
            best, best_rank = spec, rank
    return best


def _accepted(inference: Inference, values: PropertyProfile) -> int:
    """Return the number of values that the transformer accepts."""
    kinds = sum(values.kinds[kind] for kind in inference.kinds)
    return kinds + sum(values.traits[trait] for trait in inference.traits)


def _options(spec: TransformerSpec, values: PropertyProfile) -> str:
    if spec.arrow_type is not ArrowType.STRING:
        return ""
    needed = values.max_bytes * _LENGTH_MARGIN
    fitting = (length for length in _VARCHAR_LENGTHS if length >= needed)
    return f"({next(fitting, _VARCHAR_LENGTHS[-1])})"


def _notes(
    values: PropertyProfile, event: EventProfile, spec: TransformerSpec | None
) -> Iterator[str]:
    """Yield the notes about a property's values."""
    if values.values * _RARE < event.events:
        yield f"rare: in {values.values:,} of {event.events:,} events"
    if spec is None or spec.inference is None:
        yield "no transformer accepts lists, objects or null"
        return
    rejected = values.values - _accepted(spec.inference, values)
    if rejected:
        kinds = ", ".join(f"{count:,} {kind.value}" for kind, count in values.kinds.most_common())
        yield f"mixed types ({kinds}): {rejected:,} of {values.values:,} would be empty"
    if spec.arrow_type is not ArrowType.STRING:
        return
    if values.max_bytes > _VARCHAR_LENGTHS[-1]:
        yield f"strings of up to {values.max_bytes:,} bytes would be truncated"
    if spec.name != "varchar":
        return
    if values.traits[ValueTrait.ADDRESS] == values.values:
        yield "all are IP addresses: ipCity, ipCountry, ipRegion and ipAsn accept them too"
    elif values.kinds[ValueKind.INT_TEXT] + values.kinds[ValueKind.BIGINT_TEXT] == values.values:
        yield "all are integers as text: int or bigint accepts them too"


def _event_notes(name: str, event: EventProfile) -> Iterator[str]:
    if not is_event_name(name):
        yield "invalid name in Blueprint: use a letter or _, then letters, digits, _ and -"
    if event.without_properties:
        yield (
            f"{event.without_properties:,} of {event.events:,} events have no properties and would "
            "not become rows"
        )
    if event.not_profiled:
        yield f"some properties were not profiled ({event.not_profiled:,} values)"
