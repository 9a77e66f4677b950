"""Generate the Python expressions of a row; see :mod:`~spade_spark.transform.codegen`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.codegen_runtime import (
    cache_name,
    converter_name,
    geo_group_name,
    is_geo_group,
)
from spade_spark.transform.coerce import MISSING, MISSING_FLOAT, MISSING_TIME
from spade_spark.transform.transformers.base import FieldType, TransformerSpec, ValueCodegen
from spade_spark.transform.transformers.registry import Registry

SERVER_PROPERTIES: Final = frozenset({"time", "client_time", "ip", "user_agent"})
"""The properties that the edge server sets."""

Group = tuple[Column, ...]
"""Columns with one common text: adjacent geo columns of one address, or a single column."""


@dataclass(frozen=True)
class FieldDecoding:
    """How msgspec decodes a property of a :class:`FieldType`.

    Attributes:
        type: The type of the Struct field.
        default: The default of a missing property.
        missing: The name of the default in generated code.
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
    """Generates the expressions of a table's columns and collects the properties that they use."""

    name: str

    def __init__(self, table: Table, registry: Registry) -> None:
        self._registry = registry
        self._attributes = _attributes(table)
        self._time_properties = _time_properties(table, registry)
        self._types: dict[str, list[FieldType]] = {}

    def fields(self) -> dict[str, tuple[str, FieldType]] | None:
        """Return property and type by attribute; None if there are :meth:`conflicts`."""
        if self.conflicts():
            return None
        return {self._attributes[name]: (name, types[0]) for name, types in self._types.items()}

    def conflicts(self) -> list[str]:
        """Return the properties that columns need as different types."""
        return [name for name, types in self._types.items() if any(t != types[0] for t in types)]

    def text(self, group: Group) -> str:
        """Return the expression of the text of ``group``."""
        column = group[0]
        codegen = self._registry.spec(column.transformer).codegen
        if column.inbound == "time":
            attribute = codegen.server_time if isinstance(codegen, ValueCodegen) else ""
            return f"timestamp.{attribute}" if attribute else "MISSING"
        if column.inbound == "user_agent":
            return self.user_agent_text()
        if is_geo_group(group, self._registry):
            return self.geo_text(group)
        assert isinstance(codegen, ValueCodegen)  # other geo columns are in a geo group
        return self.value_text(column, codegen)

    def user_agent_text(self) -> str:
        """Return the expression of a ``varchar`` column of ``user_agent``."""
        raise NotImplementedError

    def geo_text(self, group: Group) -> str:
        """Return the expression of a geo group."""
        raise NotImplementedError

    def value_text(self, column: Column, codegen: ValueCodegen) -> str:
        """Return the expression of a column that is converted from a property."""
        raise NotImplementedError

    def property_of(self, inbound: str, field: FieldType) -> str:
        """Return the expression of a property, and register its type."""
        self._types.setdefault(inbound, []).append(field)
        return f"p.{self._attributes[inbound]}"

    def value_of(self, inbound: str, field: FieldType) -> str:
        """Return the expression of a property, or of the server's value if the client sent none."""
        if inbound == "client_time":
            time, client_time = self.property_of("time", field), self.property_of(inbound, field)
            return f"({client_time} if {time} is {DECODINGS[field].missing} else {time})"
        value = self.property_of(inbound, field)
        return f"(geo[0] if {value} is MISSING else {value})" if inbound == "ip" else value

    def supporting_of(self, column: Column, field: FieldType | None) -> str:
        """Return the expression of the supporting property; empty if the template uses none."""
        return "" if field is None else self.property_of(column.supporting[0], field)

    def geo_text_as(self, group: Group, field: FieldType, template: str) -> str:
        """As :meth:`geo_text`. ``template`` converts the property to a string."""
        inbound = group[0].inbound
        if inbound == "ip":
            value = self.property_of(inbound, field)
            texts = f"(geo if {value} is MISSING else geo_by_address[{template.format(value)}])"
        else:
            texts = f"geo_by_address[{template.format(self.value_of(inbound, field))}]"
        return f"{texts}[{geo_group_name(group)}]"


class TypedExprs(ExprGenerator):
    """Expressions for properties of the expected types."""

    name = "typed"

    def user_agent_text(self) -> str:
        """See :class:`ExprGenerator`."""
        value = self.property_of("user_agent", FieldType.TEXT)
        return f"(record.agent or MISSING) if {value} is MISSING else {value}"

    def geo_text(self, group: Group) -> str:
        """See :class:`ExprGenerator`."""
        return self.geo_text_as(group, FieldType.TEXT, "{}")

    def value_text(self, column: Column, codegen: ValueCodegen) -> str:
        """See :class:`ExprGenerator`."""
        return self.typed_text(column, codegen, self.field_type(column, codegen))

    def typed_text(self, column: Column, codegen: ValueCodegen, field: FieldType) -> str:
        """Return the expression of a property that is decoded as ``field``."""
        return codegen.typed.format(
            value=self.value_of(column.inbound, field),
            supporting=self.supporting_of(column, codegen.supporting),
            convert=converter_name(column),
            cache=cache_name(column),
        )

    def field_type(self, column: Column, codegen: ValueCodegen) -> FieldType:
        """Return how a property is decoded: as a time if any column needs that."""
        is_time = codegen.as_time and column.inbound in self._time_properties
        return FieldType.TIME if is_time else codegen.field


class BatchExprs(TypedExprs):
    """Expressions for many rows. Some columns are converted in bulk before the rows are built.

    Attributes:
        bulk: The expression of the texts of a column in all rows, by the variable for one text.
    """

    name = "rows"

    def __init__(self, table: Table, registry: Registry) -> None:
        super().__init__(table, registry)
        self.bulk: dict[str, str] = {}

    def typed_text(self, column: Column, codegen: ValueCodegen, field: FieldType) -> str:
        """See :class:`TypedExprs`."""
        if not codegen.batch or field is not codegen.field:
            return super().typed_text(column, codegen, field)
        name = f"text_{self._attributes[column.inbound]}"
        self.bulk[name] = codegen.batch.format(
            value=self.value_of(column.inbound, field),
            supporting=self.supporting_of(column, codegen.supporting),
            convert=converter_name(column),
            cache=cache_name(column),
        )
        return name


class AnyTypeExprs(ExprGenerator):
    """Expressions for properties of any type."""

    name = "any_type"

    def user_agent_text(self) -> str:
        """See :class:`ExprGenerator`."""
        value = self.property_of("user_agent", FieldType.ANY)
        return f"(record.agent or MISSING) if {value} is MISSING else coerce_string({value})"

    def geo_text(self, group: Group) -> str:
        """See :class:`ExprGenerator`."""
        return self.geo_text_as(group, FieldType.ANY, "coerce_string({})")

    def value_text(self, column: Column, codegen: ValueCodegen) -> str:
        """See :class:`ExprGenerator`."""
        supporting = FieldType.ANY if codegen.supporting else None
        return codegen.any_type.format(
            value=self.value_of(column.inbound, codegen.any_field),
            supporting=self.supporting_of(column, supporting),
            convert=converter_name(column),
            cache=cache_name(column),
        )


def _time_properties(table: Table, registry: Registry) -> frozenset[str]:
    """Return the properties that any column converts from Unix seconds."""
    times = {
        column.inbound for column in table.columns if _is_time(registry.spec(column.transformer))
    }
    return frozenset(times | {"time"} if "client_time" in times else times)


def _is_time(spec: TransformerSpec) -> bool:
    return isinstance(spec.codegen, ValueCodegen) and spec.codegen.field is FieldType.TIME


def _attributes(table: Table) -> dict[str, str]:
    """Return a valid, similar attribute name for each property."""
    names = list(SERVER_PROPERTIES)
    for column in table.columns:
        names += [column.inbound, *column.supporting]
    attributes: dict[str, str] = {}
    for name in names:
        attribute = re.sub(r"[^0-9A-Za-z_]", "_", name)
        if (
            not attribute.isidentifier()
            or keyword.iskeyword(attribute)
            or attribute.startswith("_")
        ):
            attribute = f"p_{attribute}"
        while attribute in attributes.values():
            attribute += "_"
        attributes.setdefault(name, attribute)
    return attributes
