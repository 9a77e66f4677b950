"""Compile a table to row functions, and to msgspec Structs with the properties that they use.

A replay spends most of its time in this code (see bench/README.md). A row function returns a tuple
of texts: the strings of the columns, or of groups of columns, in a row. It has no loop over the
columns and almost no branches. A table has two row functions:

``typed``
    For events whose properties all have the types that their columns expect. Other types raise an
    exception when the event is decoded.
``any_type``
    For all other events. Each property is checked and converted.

Neither escapes strings that are used as sent. The caller does, if necessary.

Missing columns need no branches, because the default of the Struct fields is
:data:`~spade_spark.transform.coerce.MISSING`, a control character. Finished rows contain no control
characters, so the encoder can find and remove this one in many rows at once.

If the generated code might not transform a table exactly, no code is generated, and the table uses
the reference path.
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
    AnyTypeExprs,
    BatchExprs,
    ExprGenerator,
    Group,
    TypedExprs,
)
from spade_spark.transform.codegen_runtime import RowCaches, is_geo_group
from spade_spark.transform.fast_path_support import (
    UnsupportedTableError,
    check_supported,
    describe_column,
)
from spade_spark.transform.transformers.base import (
    FieldType,
    GeoCodegen,
    GeoField,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

_Field = tuple[str, tuple[str, FieldType]]
"""An attribute, the name of its property, and how it is decoded."""


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

    They are tagged with the table's name, so they can be members of a union. Their attributes:

    - ``texts``: the row function, as a method.
    - ``rows``: builds the rows of many events; None except for ``typed``.
    - ``unescaped_texts``: the indexes of the texts that may need escapes.
    - ``table``: the name of the table.

    Args:
        table: The table.
        caches: The objects that the generated code uses.
        order: The order in which clients send properties, if known. msgspec decodes fastest if
            the fields of the Struct have the same order.

    Raises:
        UnsupportedTableError: No code can be generated for the table.
    """
    registry = caches.registry
    namespace = caches.namespace(column_groups(table, registry))
    events = {}
    for function in row_functions(table, registry):
        events[function.name] = msgspec.defstruct(
            "Event",
            [("properties", _properties(function, order))],
            namespace={
                "texts": _compiled(function.code, namespace, function.name),
                "rows": _rows(function, namespace),
                "unescaped_texts": unescaped_texts(table, registry),
                "table": table.name,
            },
            tag_field="event",
            tag=table.name,
            forbid_unknown_fields=True,
            gc=False,
        )
    return events


def _rows(function: RowFunction, namespace: dict[str, Any]) -> Any:
    code = function.batch_code
    return staticmethod(_compiled(code, namespace, "rows")) if code else None


def _compiled(code: str, namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    namespace = dict(namespace)
    # Names from Blueprint appear only in comments, escaped.
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
    """Sort the fields by ``order``; a field that is not in it stays after its predecessor."""
    indexes = {name: index for index, name in enumerate(order)}
    index = -1
    keys = {}
    for attribute, (inbound, _) in fields:
        index = indexes.get(inbound, index)
        keys[attribute] = index
    return sorted(fields, key=lambda field: keys[field[0]])


@dataclass(frozen=True)
class RowFunction:
    """A generated row function.

    Attributes:
        name: The name of the function.
        code: The code of the function.
        fields: The property and type of each attribute that the code uses.
        batch_code: The code of ``rows``, which builds the rows of many events; empty if there is
            none.
    """

    name: str
    code: str
    fields: Mapping[str, tuple[str, FieldType]]
    batch_code: str = ""


def row_functions(table: Table, registry: Registry = TRANSFORMERS) -> list[RowFunction]:
    """Return the functions that can be generated for ``table``, at least one.

    Raises:
        InputError: A column has an unknown transformer.
        UnsupportedTableError: No function can be generated.
    """
    check_supported(table, registry)
    results = [_function(table, registry, exprs) for exprs in (TypedExprs, AnyTypeExprs)]
    generated = [function for function in results if function is not None]
    if not generated:
        raise UnsupportedTableError(_conflict(table, registry))
    return generated


def _conflict(table: Table, registry: Registry) -> str:
    """Return which columns need one property as different types even in ``any_type``."""
    generator = AnyTypeExprs(table, registry)
    _code(table, registry, generator)
    name = generator.conflicts()[-1]  # "time" is first: columns of "client_time" read it too
    columns = [c for c in table.columns if name in (c.inbound, *c.supporting)]
    described = ", ".join(map(describe_column, columns))
    return f"columns need the property {name!a} as different types: {described}"


def column_groups(table: Table, registry: Registry = TRANSFORMERS) -> list[Group]:
    """Group adjacent geo columns of one address; every other column is a group of its own."""

    def group_key(column: Column) -> tuple[str, bool]:
        is_geo = is_geo_column(column) or column.inbound == "ip"
        return column.inbound, is_geo and column.inbound != "time"

    def is_geo_column(column: Column) -> bool:
        return isinstance(registry.spec(column.transformer).codegen, GeoCodegen)

    groups: list[Group] = []
    for (_, is_geo), columns in groupby(table.columns, group_key):
        group = tuple(columns)
        if is_geo and any(map(is_geo_column, group)):
            groups.append(group)
        else:
            groups.extend((column,) for column in group)
    return groups


def unescaped_texts(table: Table, registry: Registry = TRANSFORMERS) -> tuple[int, ...]:
    """Return the indexes of the texts that are properties as sent and may need escapes."""
    return tuple(
        index
        for index, group in enumerate(column_groups(table, registry))
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
    names = "".join(f", {name}" for name in exprs.bulk)
    lists = "".join(f", all_{name}" for name in exprs.bulk)
    return "\n".join(
        (
            f"def {exprs.name}(batch):",
            f"    # {table.name!a}, version {table.version}",
            "    events, records = batch[::4], batch[1::4]",
            "    timestamps, geos = batch[2::4], batch[3::4]",
            "    properties = [event.properties for event in events]",
            *(f"    all_{name} = {expression}" for name, expression in exprs.bulk.items()),
            "    return [join((",
            *texts,
            f"    )) for p, record, timestamp, geo{names}",
            f"        in zip(properties, records, timestamps, geos{lists})]\n",
        )
    )


def _texts(table: Table, registry: Registry, exprs: ExprGenerator) -> Iterator[str]:
    """Yield the line of code of each text."""
    for group in column_groups(table, registry):
        described = ", ".join(map(describe_column, group))
        yield f"        {exprs.text(group)},  # {described}"
