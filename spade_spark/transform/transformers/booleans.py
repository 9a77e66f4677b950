"""``bool``: true and false, and the numbers that are spelt 1 and 0."""

from __future__ import annotations

from typing import Final

from spade_spark.edge.strict_json import Number, Value
from spade_spark.transform.transformers.base import ConversionFailed

_SPELT: Final = {"1": "true", "0": "false"}


def to_bool(value: Value, _: tuple[Value, ...]) -> str:
    """The converter of ``bool``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number) and value.text in _SPELT:
        return _SPELT[value.text]
    raise ConversionFailed("neither true, false, 1 nor 0")
