"""A Blueprint schema for what was seen of an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spade_spark.blueprint.schema import Column, Table
from spade_spark.suggest.names import column_name, is_event_name
from spade_spark.suggest.seen import EventSeen, Kind, PropertySeen

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

_TAKES: Final = {
    "int": (Kind.INT, Kind.INT_TEXT),
    "bigint": (Kind.INT, Kind.INT_TEXT, Kind.BIGINT, Kind.BIGINT_TEXT),
    "float": (
        *(Kind.INT, Kind.INT_TEXT, Kind.BIGINT, Kind.BIGINT_TEXT),
        *(Kind.FLOAT, Kind.FLOAT_TEXT),
    ),
    "varchar": (Kind.TEXT, Kind.INT_TEXT, Kind.BIGINT_TEXT, Kind.FLOAT_TEXT),
}
_NUMBERS: Final = (Kind.INT, Kind.BIGINT, Kind.FLOAT, Kind.HUGE)


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
    seen: PropertySeen
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

    seen: EventSeen
    table: Table
    properties: tuple[PropertySuggestion, ...]
    notes: tuple[str, ...]


def propose(name: str, seen: EventSeen) -> Suggestion:
    """The table that would take the events of this name."""
    ordered = sorted(seen.properties.items(), key=lambda item: (-item[1].values, item[0]))
    columns = {"time": _TIME}
    columns |= {outbound: _place(outbound, *kind) for outbound, *kind in _PLACES}
    properties = []
    for each, values in ordered:
        properties.append(_property(each, values, seen, columns))
        if (column := properties[-1].column) is not None:
            columns.setdefault(column.outbound, column)
    table = Table(name, 0, tuple(columns.values()))
    return Suggestion(seen, table, tuple(properties), tuple(_event_notes(name, seen)))


def _place(outbound: str, transformer: str, options: str) -> Column:
    return Column("ip", outbound, transformer, options, ("",))


def _property(
    name: str, values: PropertySeen, seen: EventSeen, columns: dict[str, Column]
) -> PropertySuggestion:
    notes = []
    inbound = name
    if name == "time":
        inbound = "client_time"
        notes.append("the server's time replaces it; what the client sent is client_time")
    elif name == "client_time" and "time" in seen.properties:
        return PropertySuggestion(name, values, None, ("what the client sent as time replaces it",))
    transformer = "varchar" if name == "ip" else _transformer(name, values)
    notes += _notes(values, seen, transformer)
    if name == "ip":  # a client may send another address than its own
        return PropertySuggestion(name, values, columns["ip"], tuple(notes))
    column = None
    if transformer and len(columns) >= MAX_COLUMNS:
        notes.append(f"left out: a table has at most {MAX_COLUMNS} columns")
    elif transformer:
        outbound = column_name(inbound, columns)
        column = Column(inbound, outbound, transformer, _options(transformer, values), ("",))
    return PropertySuggestion(name, values, column, tuple(notes))


def _transformer(name: str, values: PropertySeen) -> str:
    """The transformer that takes most of the values; empty where none takes any."""
    kinds = values.kinds
    if name in {"time", "client_time"} and values.unix_times * 2 > values.values:
        return "f@timestamp@unix"
    takes = {"bool": _taken("bool", values)} if kinds[Kind.BOOL] else {}
    names = [each for each in _TAKES if each == "varchar" or any(kinds[n] for n in _NUMBERS)]
    takes |= {each: _taken(each, values) for each in names}
    best = max(takes, key=lambda each: takes[each])
    return best if takes[best] else ""


def _taken(transformer: str, values: PropertySeen) -> int:
    """How many of the values the transformer takes."""
    if transformer == "bool":
        return values.kinds[Kind.BOOL] + values.switches
    if transformer.startswith("f@"):
        return values.unix_times
    return sum(values.kinds[kind] for kind in _TAKES[transformer])


def _options(transformer: str, values: PropertySeen) -> str:
    if transformer != "varchar":
        return ""
    needed = values.max_bytes * _ROOM
    return f"({next((length for length in _LENGTHS if length >= needed), _LENGTHS[-1])})"


def _notes(values: PropertySeen, seen: EventSeen, transformer: str) -> Iterator[str]:
    """What is odd about a property."""
    if values.values * _RARE < seen.events:
        yield f"rare: in {values.values:,} of {seen.events:,} events"
    if not transformer:
        yield "no transformer takes a list, an object or null"
        return
    lost = values.values - _taken(transformer, values)
    if lost:
        kinds = ", ".join(f"{count:,} {kind.value}" for kind, count in values.kinds.most_common())
        yield f"mixed types ({kinds}): {lost:,} of {values.values:,} left empty"
    if transformer != "varchar":
        return
    if values.max_bytes > _LENGTHS[-1]:
        yield f"texts of up to {values.max_bytes:,} bytes would be cut"
    if values.addresses == values.values:
        yield "all are addresses: ipCity, ipCountry, ipRegion and ipAsn take them too"
    elif values.kinds[Kind.INT_TEXT] + values.kinds[Kind.BIGINT_TEXT] == values.values:
        yield "all are integers as text: int or bigint takes them too"


def _event_notes(name: str, seen: EventSeen) -> Iterator[str]:
    if not is_event_name(name):
        yield "Blueprint refuses this name: a letter or _, then letters, digits, _ and -"
    if seen.without:
        yield f"no properties, and so no row: {seen.without:,} of {seen.events:,} events"
    if seen.further:
        yield f"further properties were not looked at ({seen.further:,} values)"
