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

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.transform.codegen_expressions import DECODINGS
from spade_spark.transform.codegen_functions import (
    Function,
    UnsupportedTableError,
    functions,
    groups,
    sent_texts,
)
from spade_spark.transform.row_context import RowCaches
from spade_spark.transform.transformers.base import FieldType
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
