"""``varchar``: a string as it is; its length is the warehouse's to cut."""

from __future__ import annotations

from spade_spark.edge.strict_json import Value
from spade_spark.transform.transformers.base import text


def to_varchar(value: Value, _: tuple[Value, ...]) -> str:
    """The converter of ``varchar``."""
    return text(value)
