"""Parses the tables and columns that Blueprint publishes."""

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
        inbound: The name of the event property (exact match).
        outbound: The name of the column in the warehouse.
        transformer: The name of Blueprint's transformer (``int``, ``f@timestamp@unix``).
        options: ``ColumnCreationOptions``, SQL after the type, such as ``(255)``.
        supporting: The other properties that the transformer uses. If the published column lists
            none, this is one empty name.
    """

    inbound: str
    outbound: str
    transformer: str
    options: str = ""
    supporting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table for the events of the same name."""

    name: str
    version: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class SkippedTable:
    """An invalid entry of the published list.

    Attributes:
        name: The name of the table; ``entry N`` (from 1) if it has none.
        reason: Why the entry is invalid.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class SchemaCatalog:
    """The entries of the published list.

    Attributes:
        tables: The tables by name, in the order of the list.
        skipped: The invalid entries.
    """

    tables: Mapping[str, Table]
    skipped: tuple[SkippedTable, ...]


class _InvalidEntryError(ValueError):
    """An entry of the list is not a valid table."""


def read_tables(
    raw: bytes, is_transformer: Callable[[str], bool], source: str = "the list of tables"
) -> SchemaCatalog:
    """Parse Blueprint's list of tables.

    The format is ``[{"EventName": s, "Version": n, "Columns": [{"InboundName": s,
    "OutboundName": s, "Transformer": s, "ColumnCreationOptions": s, "SupportingColumns":
    "a,b"}]}]``. Member names are case-insensitive; missing members and nulls are empty or zero. Of
    several valid entries with the same name, the last wins. Invalid entries are skipped.

    Args:
        raw: The uncompressed list.
        is_transformer: Whether a transformer is known.
        source: The origin, for error messages.

    Raises:
        InputError: The data is not a JSON list.
    """
    entries = [
        _read_entry(entry, number, is_transformer)
        for number, entry in enumerate(_read_list(raw, source), 1)
    ]
    tables = {entry.name: entry for entry in entries if isinstance(entry, Table)}
    return SchemaCatalog(tables, tuple(e for e in entries if isinstance(e, SkippedTable)))


def as_published(table: Table) -> dict[str, object]:
    """Return the entry of ``table`` in the published list."""
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
    except _InvalidEntryError as error:
        return SkippedTable(_name_of(entry, number), str(error))


def _read_list(raw: bytes, source: str) -> list[Any]:
    try:
        entries = json.loads(raw.decode("utf-8", "replace"), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is not JSON ({error}): it must be Blueprint's list of tables; check "
            "[blueprint] in the settings"
        ) from None
    if not isinstance(entries, list):
        raise InputError(
            f"{source} is JSON, but not Blueprint's list of tables; check [blueprint] in the "
            "settings"
        )
    return entries


def _reject_constant(constant: str) -> NoReturn:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


def _table(entry: object, is_transformer: Callable[[str], bool]) -> Table:
    fields = _members(entry, "the entry")
    name = _string(fields, "EventName")
    if not name:
        raise _InvalidEntryError("it has no EventName")
    columns = fields.get("columns")
    if columns is not None and not isinstance(columns, list):
        raise _InvalidEntryError("Columns is not a list")
    return Table(
        name,
        _version(fields.get("version")),
        tuple(
            _column(column, f"column {number}", is_transformer)
            for number, column in enumerate(columns or (), 1)
        ),
    )


def _column(entry: object, label: str, is_transformer: Callable[[str], bool]) -> Column:
    fields = _members(entry, label)
    outbound = _string(fields, "OutboundName", label)
    label = f"{label} ({outbound})" if outbound else label
    transformer = _string(fields, "Transformer", label)
    if not is_transformer(transformer):
        problem = f"{transformer!r} is unknown" if transformer else "is missing"
        raise _InvalidEntryError(f"{label}: the transformer {problem}")
    return Column(
        inbound=_string(fields, "InboundName", label),
        outbound=outbound,
        transformer=transformer,
        options=_string(fields, "ColumnCreationOptions", label),
        supporting=tuple(_string(fields, "SupportingColumns", label).split(",")),
    )


def _members(entry: object, label: str) -> dict[str, object]:
    """Return the members of a JSON object by lower-case name."""
    if not isinstance(entry, dict):
        raise _InvalidEntryError(f"{label} is not a JSON object")
    return {name.lower(): value for name, value in entry.items()}


def _string(fields: dict[str, object], name: str, label: str = "") -> str:
    value = fields.get(name.lower())
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _InvalidEntryError(f"{label + ': ' if label else ''}{name} is not a string")
    return value


def _version(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_INT:
        raise _InvalidEntryError("Version is not an integer")
    return value


def _name_of(entry: object, number: int) -> str:
    fields = _members(entry, "") if isinstance(entry, dict) else {}
    name = fields.get("eventname")
    return name if isinstance(name, str) and name else f"entry {number}"
