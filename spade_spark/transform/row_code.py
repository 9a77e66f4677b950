"""The code of a table's row functions; see :mod:`~spade_spark.transform.row`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.memos import is_placed
from spade_spark.transform.row_expressions import (
    PLACES,
    SERVER,
    USER_ID,
    Batch,
    Careful,
    Group,
    Kind,
    Plain,
    Writer,
)


@dataclass(frozen=True)
class Function:
    """What is generated of a table for events of one kind.

    Attributes:
        name: The function's name.
        code: Makes the texts of one row.
        fields: What they are given: attribute to property and kind.
        batch_code: Makes the rows of many events, with the name ``rows``; empty if there is none.
    """

    name: str
    code: str
    fields: Mapping[str, tuple[str, Kind]]
    batch_code: str = ""


def functions(table: Table) -> list[Function]:
    """The functions of ``table``, those of which it can have."""
    if not table.name or not table.columns or not all(map(_sure, table.columns)):
        return []
    written = [_function(table, writer) for writer in (Plain, Careful)]
    return [function for function in written if function is not None]


def _sure(column: Column) -> bool:
    """Whether the generated code knows every way in which ``column`` can be filled."""
    name = column.transformer
    if any("\ufffd" in text for text in (column.inbound, *column.supporting)):
        return False  # the name would stand for bytes that are no UTF-8 as well
    if name == USER_ID:
        return len(column.supporting) == 1 and SERVER.isdisjoint(
            (column.inbound, *column.supporting)
        )
    if column.inbound == "user_agent":
        return name == "varchar"
    return column.inbound != "ip" or name == "varchar" or name in PLACES


def groups(table: Table) -> list[Group]:
    """The columns, those together that one memo of an address fills together."""
    groups: list[Group] = []
    for (_, placed), columns in groupby(table.columns, _neighbourhood):
        group = tuple(columns)
        if placed and any(column.transformer in PLACES for column in group):
            groups.append(group)
        else:
            groups.extend((column,) for column in group)
    return groups


def sent_texts(table: Table) -> tuple[int, ...]:
    """Which of the texts of a row stand there as they were sent, and so may need escapes."""
    return tuple(
        number
        for number, group in enumerate(groups(table))
        if group[0].transformer == "varchar" and not is_placed(group)
    )


def _neighbourhood(column: Column) -> tuple[str, bool]:
    placed = column.transformer in PLACES or column.inbound == "ip"
    return column.inbound, placed and column.inbound != "time"


def _function(table: Table, kind: type[Writer]) -> Function | None:
    writer = kind(table)
    code = _code(table, writer)
    fields = writer.fields()
    if fields is None:
        return None
    batch = _batch_code(table, Batch(table)) if kind is Plain else ""
    return Function(kind.name, code, fields, batch)


def _code(table: Table, writer: Writer) -> str:
    return "\n".join(
        (
            f"def {writer.name}(event, record, second, address):",
            f"    # {table.name!a}, version {table.version}",
            "    p = event.properties",
            "    return (",
            *_texts(table, writer),
            "    )\n",
        )
    )


def _batch_code(table: Table, writer: Batch) -> str:
    texts = list(_texts(table, writer))
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


def _texts(table: Table, writer: Writer) -> Iterator[str]:
    """The lines of the texts that a row is joined of."""
    for group in groups(table):
        about = ", ".join(f"{column.outbound!a} ({column.transformer!a})" for column in group)
        yield f"        {writer.text(group)},  # {about}"
