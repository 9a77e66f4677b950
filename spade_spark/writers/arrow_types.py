"""The Arrow types of Blueprint's transformers, and what a Parquet file says of itself.

Times are ``timestamp[ms]`` without a zone, the wall clock that the warehouse's column holds. In
Parquet that is ``TIMESTAMP(MILLIS, isAdjustedToUTC=false)`` (apache/parquet-format,
LogicalTypes.md), which engines take as it stands; which clock it is, the file's metadata says.
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
    """The type of a transformer's values.

    Raises:
        InputError: There is no such transformer.
    """
    return pa.type_for_alias(registry.spec(transformer).arrow_type.value)


def arrow_schema(table: Table, registry: Registry = TRANSFORMERS) -> pa.Schema:
    """The columns of a table's files, all of which may have nulls, and the files' metadata.

    The metadata are ``spade.table``, ``spade.version``, and, as JSON objects by column,
    ``spade.transformers`` and ``spade.timestamps``: which clock each time is of.

    Raises:
        InputError: A column has an unknown transformer.
    """
    columns = [
        pa.field(each.outbound, arrow_type(each.transformer, registry)) for each in table.columns
    ]
    metadata = {
        "spade.table": table.name,
        "spade.version": str(table.version),
        "spade.transformers": json.dumps({c.outbound: c.transformer for c in table.columns}),
        "spade.timestamps": json.dumps(dict(_clocks(table, registry))),
    }
    return pa.schema(columns, metadata)


def _clocks(table: Table, registry: Registry) -> Iterator[tuple[str, str]]:
    for column in table.columns:
        spec = registry.spec(column.transformer)
        if spec.arrow_type is ArrowType.TIMESTAMP:
            yield column.outbound, spec.clock
