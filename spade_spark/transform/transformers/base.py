"""What a column's converter is."""

from __future__ import annotations

from collections.abc import Callable

from spade_spark.edge.strict_json import Value

Converter = Callable[[Value, tuple[Value, ...]], str]
"""From a property and its supporting ones to the column's text; a missing one is None.

That a missing property and a null are the same here is sound: no transformer takes a null.

Raises:
    ConversionFailed: The property is not one that the transformer takes; the column is skipped.
    LookupDown: A service that the column asks does not answer.
"""


class ConversionFailed(ValueError):
    """A property that its column's transformer does not take; the column is left empty."""


def text(value: Value) -> str:
    """``value`` if it is a string.

    Raises:
        ConversionFailed: It is none.
    """
    if not isinstance(value, str):
        raise ConversionFailed("no string")
    return value
