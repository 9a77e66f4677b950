"""Tables and columns as Blueprint publishes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        inbound: The property that the value is taken from (exact match).
        outbound: The column's name in the warehouse.
        transformer: How the value is converted, as in Blueprint (``int``, ``f@timestamp@unix``).
        options: ``ColumnCreationOptions``, SQL that follows the type, such as ``(255)``.
        supporting: The further properties that the transformer asks for.
    """

    inbound: str
    outbound: str
    transformer: str
    options: str = ""
    supporting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: the event of the same name fills it."""

    name: str
    version: int
    columns: tuple[Column, ...]
