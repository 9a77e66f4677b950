"""The Arrow types of Blueprint's transformers, and what a Parquet file says of itself.

Times are ``timestamp[ms]`` without a zone, the wall clock that the warehouse's column holds. In
Parquet that is ``TIMESTAMP(MILLIS, isAdjustedToUTC=false)`` (apache/parquet-format,
LogicalTypes.md), which engines take as it stands; which clock it is, the file's metadata says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.transformers.registry import TIMESTAMP

TIME: Final = pa.timestamp("ms")

_TYPES: Final[Mapping[str, pa.DataType]] = MappingProxyType(
    {
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ipAsnInteger": pa.int64(),
        "userIDWithMapping": pa.int64(),
    }
)

PACIFIC_CLOCK: Final = "America/Los_Angeles wall clock, without a zone"
UTC_CLOCK: Final = "UTC, without a zone"
LAYOUT_CLOCK: Final = (
    "America/Los_Angeles wall clock, without a zone; where the event's text named a zone, that "
    "text's own wall clock"
)


def arrow_type(transformer: str) -> pa.DataType:
    """What a transformer's values are; all that is no number, truth value or time is text."""
    if transformer.startswith(TIMESTAMP):
        return TIME
    return _TYPES.get(transformer, pa.string())


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of a table's files, all of which may have nulls, and the files' metadata.

    The metadata are ``spade.table``, ``spade.version``, and, as JSON objects by column,
    ``spade.transformers`` and ``spade.timestamps``: which clock each time is of.
    """
    columns = [pa.field(each.outbound, arrow_type(each.transformer)) for each in table.columns]
    metadata = {
        "spade.table": table.name,
        "spade.version": str(table.version),
        "spade.transformers": json.dumps({c.outbound: c.transformer for c in table.columns}),
        "spade.timestamps": json.dumps(dict(_clocks(table))),
    }
    return pa.schema(columns, metadata)


def _clocks(table: Table) -> Iterator[tuple[str, str]]:
    for column in table.columns:
        if column.transformer.startswith(TIMESTAMP):
            yield column.outbound, _clock(column)


def _clock(column: Column) -> str:
    known = {"unix": PACIFIC_CLOCK, "unix-utc": UTC_CLOCK}
    return known.get(column.transformer.removeprefix(TIMESTAMP), LAYOUT_CLOCK)
