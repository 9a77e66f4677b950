"""Tables and columns as Blueprint publishes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from spade_spark.errors import InputError

_MAX_INT = (1 << 63) - 1


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        inbound: The property that the value is taken from (exact match).
        outbound: The column's name in the warehouse.
        transformer: How the value is converted, as in Blueprint (``int``, ``f@timestamp@unix``).
        options: ``ColumnCreationOptions``, SQL that follows the type, such as ``(255)``.
        supporting: The further properties that the transformer asks for; a published column always
            has at least one, whose name is empty where none was given.
    """

    inbound: str
    outbound: str
    transformer: str
    options: str = ""
    supporting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: the event of the same name fills it."""

    name: str
    version: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class SkippedTable:
    """An entry of the published list that is no table.

    Attributes:
        name: The table's name, or ``entry N`` (from 1) where there is none.
        reason: What is wrong with it.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class SchemaCatalog:
    """What a published list says.

    Attributes:
        tables: The tables by name, in the order of the list.
        left_out: The entries that are no tables, to be shown to whoever asked.
    """

    tables: Mapping[str, Table]
    skipped: tuple[SkippedTable, ...]


class _BadEntry(ValueError):
    """One entry of the list is no table."""


def read_tables(
    raw: bytes, is_transformer: Callable[[str], bool], source: str = "the list of tables"
) -> SchemaCatalog:
    """Reads Blueprint's list of tables.

    The form is ``[{"EventName": s, "Version": n, "Columns": [{"InboundName": s, "OutboundName": s,
    "Transformer": s, "ColumnCreationOptions": s, "SupportingColumns": "a,b"}]}]``; names of members
    match in any case, and what is missing or null is empty or zero. The last good entry of a
    repeated name counts. A bad entry is left out whole, and the rest of the list stands.

    Args:
        raw: The list, not compressed.
        is_transformer: Whether a transformer is known.
        source: Where it came from, for the error.

    Raises:
        InputError: It is no JSON list.
    """
    read = [
        _read_entry(entry, number, is_transformer)
        for number, entry in enumerate(_read_list(raw, source), 1)
    ]
    tables = {table.name: table for table in read if isinstance(table, Table)}
    return SchemaCatalog(tables, tuple(entry for entry in read if isinstance(entry, SkippedTable)))


def as_published(table: Table) -> dict[str, object]:
    """The entry of the published list that ``table`` is read from."""
    columns = [
        {
            "InboundName": column.inbound,
            "OutboundName": column.outbound,
            "Transformer": column.transformer,
            "ColumnCreationOptions": column.options,
            "SupportingColumns": ",".join(column.supporting),
        }
        for column in table.columns
    ]
    return {"EventName": table.name, "Version": table.version, "Columns": columns}


def _read_entry(
    entry: object, number: int, is_transformer: Callable[[str], bool]
) -> Table | SkippedTable:
    try:
        return _table(entry, is_transformer)
    except _BadEntry as error:
        return SkippedTable(_name_of(entry, number), str(error))


def _read_list(raw: bytes, source: str) -> list[Any]:
    try:
        entries = json.loads(raw.decode("utf-8", "replace"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is no JSON ({error}): it should be the list of tables that Blueprint "
            "publishes; see [blueprint] in the settings"
        ) from None
    if not isinstance(entries, list):
        raise InputError(
            f"{source} is JSON, but no list of tables as Blueprint publishes it; see [blueprint] "
            "in the settings"
        )
    return entries


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)


def _table(entry: object, is_transformer: Callable[[str], bool]) -> Table:
    fields = _members(entry, "the entry")
    name = _string(fields, "EventName")
    if not name:
        raise _BadEntry("it has no EventName")
    columns = fields.get("columns")
    if columns is not None and not isinstance(columns, list):
        raise _BadEntry("Columns is no list")
    return Table(
        name,
        _version(fields.get("version")),
        tuple(
            _column(column, f"column {number}", is_transformer)
            for number, column in enumerate(columns or (), 1)
        ),
    )


def _column(entry: object, place: str, is_transformer: Callable[[str], bool]) -> Column:
    fields = _members(entry, place)
    outbound = _string(fields, "OutboundName", place)
    place = f"{place} ({outbound})" if outbound else place
    transformer = _string(fields, "Transformer", place)
    if not is_transformer(transformer):
        known = f"{transformer!r} is not known" if transformer else "is missing"
        raise _BadEntry(f"{place}: the transformer {known}")
    return Column(
        inbound=_string(fields, "InboundName", place),
        outbound=outbound,
        transformer=transformer,
        options=_string(fields, "ColumnCreationOptions", place),
        supporting=tuple(_string(fields, "SupportingColumns", place).split(",")),
    )


def _members(entry: object, place: str) -> dict[str, object]:
    """The members of a JSON object by lower-case name."""
    if not isinstance(entry, dict):
        raise _BadEntry(f"{place} is no JSON object")
    return {name.lower(): value for name, value in entry.items()}


def _string(fields: dict[str, object], name: str, place: str = "") -> str:
    value = fields.get(name.lower())
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _BadEntry(f"{place + ': ' if place else ''}{name} is no string")
    return value


def _version(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_INT:
        raise _BadEntry("Version is no integer")
    return value


def _name_of(entry: object, number: int) -> str:
    fields = _members(entry, "") if isinstance(entry, dict) else {}
    name = fields.get("eventname")
    return name if isinstance(name, str) and name else f"entry {number}"
