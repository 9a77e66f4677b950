"""Which tables the fast path supports; the reference path transforms the others."""

from __future__ import annotations

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.codegen_expressions import (
    SERVER_PROPERTIES,
)
from spade_spark.transform.transformers.base import (
    GeoCodegen,
    ValueCodegen,
)
from spade_spark.transform.transformers.registry import Registry


class UnsupportedTableError(Exception):
    """No code can be generated for a table. The message is the reason."""


def check_supported(table: Table, registry: Registry) -> None:
    """Raise UnsupportedTableError if the generated code cannot fill every column."""
    if not table.name:
        raise UnsupportedTableError("it has no name")
    if not table.columns:
        raise UnsupportedTableError("it has no columns")
    for column in table.columns:
        reason = _unsupported(column, registry)
        if reason:
            raise UnsupportedTableError(f"{describe_column(column)}: {reason}")


def _unsupported(column: Column, registry: Registry) -> str:
    """Return why generated code cannot always fill ``column``; empty if it can."""
    codegen = registry.spec(column.transformer).codegen
    if codegen is None:
        return "the fast path does not support its transformer"
    if any("\ufffd" in text for text in (column.inbound, *column.supporting)):
        return "a property's name contains U+FFFD, which may also be invalid UTF-8"
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
    server_set = SERVER_PROPERTIES.intersection((column.inbound, *column.supporting))
    return f"it reads {min(server_set)}, which the server sets" if server_set else ""


def describe_column(column: Column) -> str:
    """Format a column and its transformer for a message."""
    return f"{column.outbound!a} ({column.transformer!a})"
