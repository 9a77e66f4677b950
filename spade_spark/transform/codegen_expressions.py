"""The expressions of a row's texts; see :mod:`~spade_spark.transform.codegen`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.coerce import MISSING, MISSING_FLOAT, MISSING_TIME
from spade_spark.transform.row_context import (
    cache_name,
    converter_name,
    geo_group_name,
    is_geo_group,
)
from spade_spark.transform.transformers.base import FieldType, TransformerSpec, ValueCodegen
from spade_spark.transform.transformers.registry import Registry

SERVER: Final = frozenset({"time", "client_time", "ip", "user_agent"})

Group = tuple[Column, ...]
"""Neighbouring columns that are filled together."""


@dataclass(frozen=True)
class FieldDecoding:
    """How msgspec decodes a property of a :class:`FieldType`.

    Attributes:
        type: The type of the Struct's field.
        default: What stands for a property that was not sent.
        missing: The default's name in generated code.
    """

    type: Any
    default: Any = MISSING
    missing: str = "MISSING"


DECODINGS: Final[Mapping[FieldType, FieldDecoding]] = {
    FieldType.TEXT: FieldDecoding(str),
    FieldType.INT32: FieldDecoding(Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]),
    FieldType.INT64: FieldDecoding(Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]),
    FieldType.FLOAT: FieldDecoding(float, MISSING_FLOAT, "MISSING_FLOAT"),
    FieldType.TIME: FieldDecoding(float, MISSING_TIME, "MISSING_TIME"),
    FieldType.BOOL: FieldDecoding(bool),
    FieldType.RAW: FieldDecoding(msgspec.Raw),
    FieldType.ANY: FieldDecoding(Any),
}


class ExprGenerator:
    """Writes the expressions of a table's columns, and collects the fields that they use."""

    name: str

    def __init__(self, table: Table, registry: Registry) -> None:
        self._registry = registry
        self._attributes = _attributes(table)
        self._times = _times(table, registry)
        self._types: dict[str, list[FieldType]] = {}

    def fields(self) -> dict[str, tuple[str, FieldType]] | None:
        """Attribute to property and type; None where two columns want one as two types."""
        if self.conflicts():
            return None
        return {self._attributes[name]: (name, types[0]) for name, types in self._types.items()}

    def conflicts(self) -> list[str]:
        """The properties that columns need as different types."""
        return [name for name, types in self._types.items() if any(t != types[0] for t in types)]

    def text(self, group: Group) -> str:
        """The expression of the text of ``group``."""
        column = group[0]
        codegen = self._registry.spec(column.transformer).codegen
        if column.inbound == "time":
            attribute = codegen.server_time if isinstance(codegen, ValueCodegen) else ""
            return f"second.{attribute}" if attribute else "MISSING"
        if column.inbound == "user_agent":
            return self.agent()
        if is_geo_group(group, self._registry):
            return self.place(group)
        assert isinstance(codegen, ValueCodegen)  # another column is part of an address
        return self.converted(column, codegen)

    def agent(self) -> str:
        """The expression of the ``varchar`` of ``user_agent``."""
        raise NotImplementedError

    def place(self, group: Group) -> str:
        """The expression of columns of an address."""
        raise NotImplementedError

    def converted(self, column: Column, codegen: ValueCodegen) -> str:
        """The expression of a column that shows what the client may send."""
        raise NotImplementedError

    def sent(self, inbound: str, field: FieldType) -> str:
        """What the client sent under this name."""
        self._types.setdefault(inbound, []).append(field)
        return f"p.{self._attributes[inbound]}"

    def value(self, inbound: str, field: FieldType) -> str:
        """The property of this name, server values put in."""
        if inbound == "client_time":
            time, own = self.sent("time", field), self.sent(inbound, field)
            return f"({own} if {time} is {DECODINGS[field].missing} else {time})"
        sent = self.sent(inbound, field)
        return f"(address[0] if {sent} is MISSING else {sent})" if inbound == "ip" else sent

    def supporting(self, column: Column, field: FieldType | None) -> str:
        """The supporting property that the template of ``column`` uses; empty if it uses none."""
        return "" if field is None else self.sent(column.supporting[0], field)

    def place_of(self, group: Group, field: FieldType, form: str) -> str:
        """As :meth:`place`; ``form`` makes a string of what was sent."""
        inbound = group[0].inbound
        if inbound == "ip":
            sent = self.sent(inbound, field)
            texts = f"(address if {sent} is MISSING else places[{form.format(sent)}])"
        else:
            texts = f"places[{form.format(self.value(inbound, field))}]"
        return f"{texts}[{geo_group_name(group)}]"


class TypedExprs(ExprGenerator):
    """Of properties that have the types which their columns expect."""

    name = "plain"

    def agent(self) -> str:
        """See :class:`ExprGenerator`."""
        sent = self.sent("user_agent", FieldType.TEXT)
        return f"(record.agent or MISSING) if {sent} is MISSING else {sent}"

    def place(self, group: Group) -> str:
        """See :class:`ExprGenerator`."""
        return self.place_of(group, FieldType.TEXT, "{}")

    def converted(self, column: Column, codegen: ValueCodegen) -> str:
        """See :class:`ExprGenerator`."""
        return self.typed(column, codegen, self.field_of(column, codegen))

    def typed(self, column: Column, codegen: ValueCodegen, field: FieldType) -> str:
        """The expression of a property that is decoded as ``field``."""
        return codegen.typed.format(
            value=self.value(column.inbound, field),
            supporting=self.supporting(column, codegen.supporting),
            convert=converter_name(column),
            memo=cache_name(column),
        )

    def field_of(self, column: Column, codegen: ValueCodegen) -> FieldType:
        """How a property is decoded, which another column may show as a time."""
        is_time = codegen.as_time and column.inbound in self._times
        return FieldType.TIME if is_time else codegen.field


class BatchExprs(TypedExprs):
    """Of many plain rows: texts that are cheaper to make of many values at once are made before."""

    name = "rows"

    def __init__(self, table: Table, registry: Registry) -> None:
        super().__init__(table, registry)
        self.columns: dict[str, str] = {}

    def typed(self, column: Column, codegen: ValueCodegen, field: FieldType) -> str:
        """See :class:`TypedExprs`."""
        if not codegen.batch or field is not codegen.field:
            return super().typed(column, codegen, field)
        name = f"text_{self._attributes[column.inbound]}"
        self.columns[name] = codegen.batch.format(
            value=self.value(column.inbound, field),
            supporting=self.supporting(column, codegen.supporting),
            convert=converter_name(column),
            memo=cache_name(column),
        )
        return name


class AnyTypeExprs(ExprGenerator):
    """Of properties of any type."""

    name = "careful"

    def agent(self) -> str:
        """See :class:`ExprGenerator`."""
        sent = self.sent("user_agent", FieldType.ANY)
        return f"(record.agent or MISSING) if {sent} is MISSING else any_string({sent})"

    def place(self, group: Group) -> str:
        """See :class:`ExprGenerator`."""
        return self.place_of(group, FieldType.ANY, "any_string({})")

    def converted(self, column: Column, codegen: ValueCodegen) -> str:
        """See :class:`ExprGenerator`."""
        supporting = FieldType.ANY if codegen.supporting else None
        return codegen.any_type.format(
            value=self.value(column.inbound, codegen.any_field),
            supporting=self.supporting(column, supporting),
            convert=converter_name(column),
            memo=cache_name(column),
        )


def _times(table: Table, registry: Registry) -> frozenset[str]:
    """The properties that a column shows as a time."""
    times = {
        column.inbound for column in table.columns if _is_time(registry.spec(column.transformer))
    }
    return frozenset(times | {"time"} if "client_time" in times else times)


def _is_time(spec: TransformerSpec) -> bool:
    return isinstance(spec.codegen, ValueCodegen) and spec.codegen.field is FieldType.TIME


def _attributes(table: Table) -> dict[str, str]:
    """Property names to attribute names that look like them."""
    names = list(SERVER)
    for column in table.columns:
        names += [column.inbound, *column.supporting]
    attributes: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
        if not plain.isidentifier() or keyword.iskeyword(plain) or plain.startswith("_"):
            plain = f"p_{plain}"
        while plain in attributes.values():
            plain += "_"
        attributes.setdefault(name, plain)
    return attributes
