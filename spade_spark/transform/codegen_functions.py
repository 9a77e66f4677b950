"""The code of a table's row functions; see :mod:`~spade_spark.transform.codegen`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.codegen_expressions import (
    SERVER,
    AnyTypeExprs,
    BatchExprs,
    ExprGenerator,
    Group,
    TypedExprs,
)
from spade_spark.transform.row_context import is_geo_group
from spade_spark.transform.transformers.base import (
    AddressCodegen,
    AddressPart,
    FieldType,
    ValueCodegen,
)
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry


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
