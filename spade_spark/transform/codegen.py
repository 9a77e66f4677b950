"""Compile a table to msgspec Structs with the properties that it needs and to row functions.

A replay spends most of its time here (see the measurements in bench/README.md). The generated code
of a table makes the texts of a row as one tuple that is joined at once, without a loop over the
columns and with almost no branches:

``typed``
    For events whose properties all have the types that their columns expect. Any other type raises
    when the event is decoded.
``any_type``
    For all other events. Each property is converted on its own.

Both use texts as they are. The caller makes sure that no text needs an escape.

Rows are cheap because of :data:`~spade_spark.transform.coerce.MISSING`, one control character that
stands for every column that could not be filled. It is the default of the Struct fields and formats
like any other text. No finished row contains a control character, so a row that contains it lacks a
column. The encoder finds and removes it in many rows at once.

If the generated code might not handle a table correctly, no code is generated, and the reference
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
    FieldType,
    GeoCodegen,
    GeoField,
    ValueCodegen,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_Field = tuple[str, tuple[str, FieldType]]
"""An attribute, the name of its property and how it is decoded."""


def generated_source(table: Table, registry: Registry = TRANSFORMERS) -> str:
    """Return the generated code of ``table`` for display."""
    try:
        generated = row_functions(table, registry)
    except UnsupportedTableError as reason:
        return f"# {table.name!a} uses the reference path: {reason}\n"
    codes = (code for function in generated for code in (function.batch_code, function.code))
    return "\n\n".join(filter(None, codes))


def compile_events(
    table: Table, caches: RowCaches, order: Collection[str] = ()
) -> dict[str, type[msgspec.Struct]]:
    """Return the Structs of events of ``table`` by function name.

    They are tagged with the table's name and can be members of one union. Each has these members:

    - ``texts``: the generated function, as a method.
    - ``rows``: makes the rows of many events; None except for the function ``typed``.
    - ``unescaped_texts``: the indexes of a row's texts that may need escapes.
    - ``table``: the name of the table.

    Args:
        table: The table.
        caches: The objects that the generated code uses.
        order: The order in which clients send properties, if known. msgspec finds a member fastest
            if it is the next field of the Struct.

    Raises:
        UnsupportedTableError: No code can be generated for the table.
    """
    registry = caches.registry
    names = caches.names(groups(table, registry))
    events = {}
    for function in row_functions(table, registry):
        events[function.name] = msgspec.defstruct(
            "Event",
            [("properties", _properties(function, order))],
            namespace={
                "texts": _compiled(function.code, names, function.name),
                "rows": _rows(function, names),
                "unescaped_texts": unescaped_texts(table, registry),
                "table": table.name,
            },
            tag_field="event",
            tag=table.name,
            forbid_unknown_fields=True,
            gc=False,
        )
    return events


def _rows(function: RowFunction, names: dict[str, Any]) -> Any:
    code = function.batch_code
    return staticmethod(_compiled(code, names, "rows")) if code else None


def _compiled(code: str, names: dict[str, Any], name: str) -> Callable[..., Any]:
    namespace = dict(names)
    # The code is our own. Names from Blueprint occur in comments only, escaped.
    exec(compile(code, "<a table's row>", "exec"), namespace)  # noqa: S102
    function: Callable[..., Any] = namespace[name]
    return function


def _properties(function: RowFunction, order: Collection[str]) -> type[msgspec.Struct]:
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
    """Return the fields in the order in which clients send them.

    A field that is not in ``order`` stays after its predecessor in the table.
    """
    indexes = {name: index for index, name in enumerate(order)}
    index = -1
    keys = {}
    for attribute, (inbound, _) in fields:
        index = indexes.get(inbound, index)
        keys[attribute] = index
    return sorted(fields, key=lambda field: keys[field[0]])


@dataclass(frozen=True)
class RowFunction:
    """A generated function of a table.

    Attributes:
        name: The name of the function.
        code: The code that makes the texts of one row.
        fields: The property and type of each attribute that the code uses.
        batch_code: The code of ``rows``, which makes the rows of many events; empty if there is
            none.
    """

    name: str
    code: str
    fields: Mapping[str, tuple[str, FieldType]]
    batch_code: str = ""


class UnsupportedTableError(Exception):
    """No code can be generated for a table. The message says why."""


def row_functions(table: Table, registry: Registry = TRANSFORMERS) -> list[RowFunction]:
    """Return the functions that can be generated for ``table``, at least one.

    Raises:
        InputError: A column has an unknown transformer.
        UnsupportedTableError: No function can be generated.
    """
    _check(table, registry)
    results = [_function(table, registry, exprs) for exprs in (TypedExprs, AnyTypeExprs)]
    generated = [function for function in results if function is not None]
    if not generated:
        raise UnsupportedTableError(_conflict(table, registry))
    return generated


def _check(table: Table, registry: Registry) -> None:
    """Raise UnsupportedTableError if the generated code cannot fill every column."""
    if not table.name:
        raise UnsupportedTableError("it has no name")
    if not table.columns:
        raise UnsupportedTableError("it has no columns")
    for column in table.columns:
        reason = _unsupported(column, registry)
        if reason:
            raise UnsupportedTableError(f"{_described(column)}: {reason}")


def _unsupported(column: Column, registry: Registry) -> str:
    """Return why the generated code cannot fill ``column`` in every case; empty if it can."""
    codegen = registry.spec(column.transformer).codegen
    if codegen is None:
        return "the fast path does not support its transformer"
    if any("\ufffd" in text for text in (column.inbound, *column.supporting)):
        return "a property's name contains U+FFFD, which also stands for invalid UTF-8"
    if isinstance(codegen, ValueCodegen) and codegen.supporting:
        return _unsupported_properties(column)
    as_text = {"ip"} if isinstance(codegen, GeoCodegen) else set()
    if isinstance(codegen, ValueCodegen) and codegen.as_sent:
        as_text = {"ip", "user_agent"}
    if column.inbound in {"ip", "user_agent"} - as_text:
        return f"the fast path reads {column.inbound} as a string only"
    return ""


def _unsupported_properties(column: Column) -> str:
    """Return why generated code cannot read both properties of ``column``; empty if it can."""
    if len(column.supporting) != 1:
        return f"it has {len(column.supporting)} supporting columns instead of one"
    server_set = SERVER.intersection((column.inbound, *column.supporting))
    return f"it reads {min(server_set)}, which the server sets" if server_set else ""


def _conflict(table: Table, registry: Registry) -> str:
    """Return which columns need one property as different types even in ``any_type``."""
    generator = AnyTypeExprs(table, registry)
    _code(table, registry, generator)
    name = generator.conflicts()[-1]  # after "time", which columns of "client_time" also read
    columns = [c for c in table.columns if name in (c.inbound, *c.supporting)]
    described = ", ".join(map(_described, columns))
    return f"columns need the property {name!a} as different types: {described}"


def _described(column: Column) -> str:
    return f"{column.outbound!a} ({column.transformer!a})"


def groups(table: Table, registry: Registry = TRANSFORMERS) -> list[Group]:
    """Group adjacent columns that show parts of one address; other columns are alone."""

    def group_key(column: Column) -> tuple[str, bool]:
        is_geo = is_address_part(column) or column.inbound == "ip"
        return column.inbound, is_geo and column.inbound != "time"

    def is_address_part(column: Column) -> bool:
        return isinstance(registry.spec(column.transformer).codegen, GeoCodegen)

    groups: list[Group] = []
    for (_, is_geo), columns in groupby(table.columns, group_key):
        group = tuple(columns)
        if is_geo and any(map(is_address_part, group)):
            groups.append(group)
        else:
            groups.extend((column,) for column in group)
    return groups


def unescaped_texts(table: Table, registry: Registry = TRANSFORMERS) -> tuple[int, ...]:
    """Return the indexes of a row's texts that are properties as sent and may need escapes."""
    return tuple(
        index
        for index, group in enumerate(groups(table, registry))
        if registry.spec(group[0].transformer).geo_field is GeoField.ADDRESS
        and not is_geo_group(group, registry)
    )


def _function(
    table: Table, registry: Registry, exprs_type: type[ExprGenerator]
) -> RowFunction | None:
    exprs = exprs_type(table, registry)
    code = _code(table, registry, exprs)
    fields = exprs.fields()
    if fields is None:
        return None
    batch = ""
    if exprs_type is TypedExprs:
        batch = _batch_code(table, registry, BatchExprs(table, registry))
    return RowFunction(exprs.name, code, fields, batch)


def _code(table: Table, registry: Registry, exprs: ExprGenerator) -> str:
    return "\n".join(
        (
            f"def {exprs.name}(event, record, timestamp, geo):",
            f"    # {table.name!a}, version {table.version}",
            "    p = event.properties",
            "    return (",
            *_texts(table, registry, exprs),
            "    )\n",
        )
    )


def _batch_code(table: Table, registry: Registry, exprs: BatchExprs) -> str:
    texts = list(_texts(table, registry, exprs))
    names = "".join(f", {name}" for name in exprs.columns)
    lists = "".join(f", all_{name}" for name in exprs.columns)
    return "\n".join(
        (
            f"def {exprs.name}(batch):",
            f"    # {table.name!a}, version {table.version}",
            "    events, records = batch[::4], batch[1::4]",
            "    timestamps, geos = batch[2::4], batch[3::4]",
            "    properties = [event.properties for event in events]",
            *(f"    all_{name} = {expression}" for name, expression in exprs.columns.items()),
            "    return [join((",
            *texts,
            f"    )) for p, record, timestamp, geo{names}",
            f"        in zip(properties, records, timestamps, geos{lists})]\n",
        )
    )


def _texts(table: Table, registry: Registry, exprs: ExprGenerator) -> Iterator[str]:
    """Yield the lines of the texts of a row."""
    for group in groups(table, registry):
        described = ", ".join(map(_described, group))
        yield f"        {exprs.text(group)},  # {described}"
