"""A table compiled once: to msgspec Structs that hold what its columns need, and to row functions.

This is the one place that looks unusual, because it is where the time of a replay is spent
(bench/README.md has the measurements). For each table, code is generated that makes the texts of a
row as one tuple, to be joined at once, without a loop over columns and almost without a branch:

``plain``
    For events in which every property that was sent has the type that its column expects. Any
    other type raises while the event is decoded.
``careful``
    For all other events: what was sent is converted value by value.

Both put texts into the row as they are: whoever calls them makes sure that none needs an escape.

What makes a plain row cheap is :data:`~spade_spark.transform.coerce.MISSING`: one control character
that stands for every column that could not be filled. As the default of a Struct's field it
formats like any text. No finished row has a control character, so the rows that lack a column are
those with the mark in them, which is looked for, and removed, in many rows at once.

Where a table does what the generated code is not sure to get right, it has none, and the exact
path makes its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.codegen_expressions import (
    DECODINGS,
    SERVER,
    AnyTypeExprs,
    BatchExprs,
    ExprGenerator,
    Group,
    TypedExprs,
)
from spade_spark.transform.row_context import RowCaches, is_geo_group
from spade_spark.transform.transformers.base import (
    AddressCodegen,
    AddressPart,
    FieldType,
    ValueCodegen,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_Field = tuple[str, tuple[str, FieldType]]
"""An attribute, the property's name and how it is decoded."""


def source(table: Table, registry: Registry = TRANSFORMERS) -> str:
    """The generated code of ``table``, to be looked at."""
    try:
        written = functions(table, registry)
    except UnsupportedTableError as reason:
        return f"# {table.name!a} uses the reference path: {reason}\n"
    return "\n\n".join(code for made in written for code in (made.batch_code, made.code) if code)


def compile_events(
    table: Table, memos: RowCaches, order: Collection[str] = ()
) -> dict[str, type[msgspec.Struct]]:
    """The Structs of events of ``table``, by function; each has its function as method ``texts``.

    They are tagged with the table's name, and so can be members of one union. ``sent_texts`` says
    which of a row's texts may need escapes. ``rows`` of a plain event's Struct makes the rows of
    many events together. ``table`` is the table's name.

    Args:
        table: The table.
        memos: What the generated code calls.
        order: The order in which clients send properties, as far as it is known. msgspec finds
            a member fastest where the Struct has it next.

    Raises:
        UnsupportedTableError: No code can be generated for the table.
    """
    registry = memos.registry
    names, sent = memos.names(groups(table, registry)), sent_texts(table, registry)
    events = {}
    for function in functions(table, registry):
        events[function.name] = msgspec.defstruct(
            "Event",
            [("properties", _properties(function, order))],
            namespace={
                "texts": _compiled(function.code, names, function.name),
                "rows": _rows(function, names),
                "sent_texts": sent,
                "table": table.name,
            },
            tag_field="event",
            tag=table.name,
            forbid_unknown_fields=True,
            gc=False,
        )
    return events


def _rows(function: Function, names: dict[str, Any]) -> Any:
    code = function.batch_code
    return staticmethod(_compiled(code, names, "rows")) if code else None


def _compiled(code: str, names: dict[str, Any], name: str) -> Callable[..., Any]:
    made = dict(names)
    exec(compile(code, "<a table's row>", "exec"), made)  # noqa: S102 - our own; names of others
    function: Callable[..., Any] = made[name]  # stand in comments only, escaped
    return function


def _properties(function: Function, order: Collection[str]) -> type[msgspec.Struct]:
    fields = _in_order(list(function.fields.items()), order)
    return msgspec.defstruct(
        "Properties",
        [
            (attribute, DECODINGS[field].type, DECODINGS[field].default)
            for attribute, (_, field) in fields
        ],
        rename={attribute: inbound for attribute, (inbound, _) in fields},
        gc=False,
    )


def _in_order(fields: list[_Field], order: Collection[str]) -> list[_Field]:
    """The fields in the order of what was sent; what was not, behind its neighbour of the table."""
    sent = {name: place for place, name in enumerate(order)}
    place = -1
    places = {}
    for attribute, (inbound, _) in fields:
        place = sent.get(inbound, place)
        places[attribute] = place
    return sorted(fields, key=lambda field: places[field[0]])


@dataclass(frozen=True)
class Function:
    """What is generated of a table for events of one kind.

    Attributes:
        name: The function's name.
        code: Makes the texts of one row.
        fields: What they are given: attribute to property and type.
        batch_code: Makes the rows of many events, with the name ``rows``; empty if there is none.
    """

    name: str
    code: str
    fields: Mapping[str, tuple[str, FieldType]]
    batch_code: str = ""


class UnsupportedTableError(Exception):
    """No code can be generated for a table. The message says why."""


def functions(table: Table, registry: Registry = TRANSFORMERS) -> list[Function]:
    """Returns the functions that can be generated for ``table``, at least one.

    Raises:
        InputError: A column has an unknown transformer.
        UnsupportedTableError: There is none.
    """
    _check(table, registry)
    written = [_function(table, registry, writer) for writer in (TypedExprs, AnyTypeExprs)]
    made = [function for function in written if function is not None]
    if not made:
        raise UnsupportedTableError(_conflict(table, registry))
    return made


def _check(table: Table, registry: Registry) -> None:
    """Raises UnsupportedTableError where the generated code cannot fill every column."""
    if not table.name:
        raise UnsupportedTableError("it has no name")
    if not table.columns:
        raise UnsupportedTableError("it has no columns")
    for column in table.columns:
        reason = _unsupported(column, registry)
        if reason:
            raise UnsupportedTableError(f"{_described(column)}: {reason}")


def _unsupported(column: Column, registry: Registry) -> str:
    """Returns why the generated code cannot fill ``column`` in every case; empty if it can."""
    codegen = registry.spec(column.transformer).codegen
    if codegen is None:
        return "the fast path does not support its transformer"
    if any("\ufffd" in text for text in (column.inbound, *column.supporting)):
        return "a property's name has U+FFFD in it, which stands for invalid UTF-8 too"
    if isinstance(codegen, ValueCodegen) and codegen.supporting:
        return _unsupported_properties(column)
    as_text = {"ip"} if isinstance(codegen, AddressCodegen) else set()
    if isinstance(codegen, ValueCodegen) and codegen.as_sent:
        as_text = {"ip", "user_agent"}
    if column.inbound in {"ip", "user_agent"} - as_text:
        return f"the fast path reads {column.inbound} as a string only"
    return ""


def _unsupported_properties(column: Column) -> str:
    """Returns why generated code cannot read both properties of ``column``; empty if it can."""
    if len(column.supporting) != 1:
        return f"it has {len(column.supporting)} supporting columns instead of one"
    taken = SERVER.intersection((column.inbound, *column.supporting))
    return f"it reads {min(taken)}, which the server sets" if taken else ""


def _conflict(table: Table, registry: Registry) -> str:
    """Returns which columns need one property as different types, whatever it is sent as."""
    writer = AnyTypeExprs(table, registry)
    _code(table, registry, writer)
    name = writer.conflicts()[-1]  # behind "time", which columns of "client_time" read as well
    columns = [c for c in table.columns if name in (c.inbound, *c.supporting)]
    described = ", ".join(map(_described, columns))
    return f"columns need the property {name!a} as different types: {described}"


def _described(column: Column) -> str:
    return f"{column.outbound!a} ({column.transformer!a})"


def groups(table: Table, registry: Registry = TRANSFORMERS) -> list[Group]:
    """The columns, those together that one memo of an address fills together."""

    def neighbourhood(column: Column) -> tuple[str, bool]:
        placed = is_address_part(column) or column.inbound == "ip"
        return column.inbound, placed and column.inbound != "time"

    def is_address_part(column: Column) -> bool:
        return isinstance(registry.spec(column.transformer).codegen, AddressCodegen)

    groups: list[Group] = []
    for (_, placed), columns in groupby(table.columns, neighbourhood):
        group = tuple(columns)
        if placed and any(map(is_address_part, group)):
            groups.append(group)
        else:
            groups.extend((column,) for column in group)
    return groups


def sent_texts(table: Table, registry: Registry = TRANSFORMERS) -> tuple[int, ...]:
    """Which of the texts of a row stand there as they were sent, and so may need escapes."""
    return tuple(
        number
        for number, group in enumerate(groups(table, registry))
        if registry.spec(group[0].transformer).address_part is AddressPart.ADDRESS
        and not is_geo_group(group, registry)
    )


def _function(table: Table, registry: Registry, kind: type[ExprGenerator]) -> Function | None:
    writer = kind(table, registry)
    code = _code(table, registry, writer)
    fields = writer.fields()
    if fields is None:
        return None
    batch = _batch_code(table, registry, BatchExprs(table, registry)) if kind is TypedExprs else ""
    return Function(kind.name, code, fields, batch)


def _code(table: Table, registry: Registry, writer: ExprGenerator) -> str:
    return "\n".join(
        (
            f"def {writer.name}(event, record, second, address):",
            f"    # {table.name!a}, version {table.version}",
            "    p = event.properties",
            "    return (",
            *_texts(table, registry, writer),
            "    )\n",
        )
    )


def _batch_code(table: Table, registry: Registry, writer: BatchExprs) -> str:
    texts = list(_texts(table, registry, writer))
    names = "".join(f", {name}" for name in writer.columns)
    lists = "".join(f", all_{name}" for name in writer.columns)
    return "\n".join(
        (
            f"def {writer.name}(batch):",
            f"    # {table.name!a}, version {table.version}",
            "    events, records = batch[::4], batch[1::4]",
            "    seconds, addresses = batch[2::4], batch[3::4]",
            "    sent = [event.properties for event in events]",
            *(f"    all_{name} = {made}" for name, made in writer.columns.items()),
            "    return [join((",
            *texts,
            f"    )) for p, record, second, address{names}",
            f"        in zip(sent, records, seconds, addresses{lists})]\n",
        )
    )


def _texts(table: Table, registry: Registry, writer: ExprGenerator) -> Iterator[str]:
    """The lines of the texts that a row is joined of."""
    for group in groups(table, registry):
        about = ", ".join(map(_described, group))
        yield f"        {writer.text(group)},  # {about}"
