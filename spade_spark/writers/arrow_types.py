"""The Arrow types of Blueprint's transformers, and the metadata of Parquet files.

Times are ``timestamp[ms]`` without a time zone: the same wall-clock time as in the warehouse. In
Parquet, this is ``TIMESTAMP(MILLIS, isAdjustedToUTC=false)`` (apache/parquet-format,
LogicalTypes.md), which query engines do not convert. The file metadata states the time zone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from spade_spark.blueprint.schema import Table
from spade_spark.transform.transformers.base import ArrowType
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry

TIME: Final = pa.type_for_alias(ArrowType.TIMESTAMP.value)


def arrow_type(transformer: str, registry: Registry = TRANSFORMERS) -> pa.DataType:
    """Return the type of a transformer's values.

    Raises:
        InputError: The transformer is unknown.
    """
    return pa.type_for_alias(registry.spec(transformer).arrow_type.value)


def arrow_schema(table: Table, registry: Registry = TRANSFORMERS) -> pa.Schema:
    """Return the nullable columns and the metadata of a table's files.

    The metadata has ``spade.table`` and ``spade.version``. It also has ``spade.transformers`` and
    ``spade.timestamps`` (the time zones), which are JSON objects by column.

    Raises:
        InputError: A column has an unknown transformer.
    """
    columns = [pa.field(c.outbound, arrow_type(c.transformer, registry)) for c in table.columns]
    metadata = {
        "spade.table": table.name,
        "spade.version": str(table.version),
        "spade.transformers": json.dumps({c.outbound: c.transformer for c in table.columns}),
        "spade.timestamps": json.dumps(dict(_time_zones(table, registry))),
    }
    return pa.schema(columns, metadata)


def _time_zones(table: Table, registry: Registry) -> Iterator[tuple[str, str]]:
    for column in table.columns:
        spec = registry.spec(column.transformer)
        if spec.arrow_type is ArrowType.TIMESTAMP:
            yield column.outbound, spec.clock
