"""The code of a table's row functions; see :mod:`~spade_spark.transform.row`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.memos import is_placed
from spade_spark.transform.row_expressions import (
    SERVER,
    Batch,
    Careful,
    Group,
    Plain,
    Writer,
)
from spade_spark.transform.transformers.base import AddressCodegen, AddressPart, FieldType
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


def functions(table: Table, registry: Registry = TRANSFORMERS) -> list[Function]:
    """The functions that ``table`` can have; none if it is left to the reference path.

    Raises:
        InputError: A column has an unknown transformer.
    """
    if not table.name or not table.columns:
        return []
    if not all(_sure(column, registry) for column in table.columns):
        return []
    written = [_function(table, registry, writer) for writer in (Plain, Careful)]
    return [function for function in written if function is not None]


def _sure(column: Column, registry: Registry) -> bool:
    """Whether the generated code knows every way in which ``column`` can be filled."""
    codegen = registry.spec(column.transformer).codegen
    if codegen is None:
        return False
    if any("\ufffd" in text for text in (column.inbound, *column.supporting)):
        return False  # the name would stand for bytes that are not UTF-8 as well
    if isinstance(codegen, AddressCodegen):
        return column.inbound != "user_agent"
    if codegen.supporting:
        return len(column.supporting) == 1 and SERVER.isdisjoint(
            (column.inbound, *column.supporting)
        )
    return codegen.as_sent or column.inbound not in {"user_agent", "ip"}


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
        and not is_placed(group, registry)
    )


def _function(table: Table, registry: Registry, kind: type[Writer]) -> Function | None:
    writer = kind(table, registry)
    code = _code(table, registry, writer)
    fields = writer.fields()
    if fields is None:
        return None
    batch = _batch_code(table, registry, Batch(table, registry)) if kind is Plain else ""
    return Function(kind.name, code, fields, batch)


def _code(table: Table, registry: Registry, writer: Writer) -> str:
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


def _batch_code(table: Table, registry: Registry, writer: Batch) -> str:
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


def _texts(table: Table, registry: Registry, writer: Writer) -> Iterator[str]:
    """The lines of the texts that a row is joined of."""
    for group in groups(table, registry):
        about = ", ".join(f"{column.outbound!a} ({column.transformer!a})" for column in group)
        yield f"        {writer.text(group)},  # {about}"
