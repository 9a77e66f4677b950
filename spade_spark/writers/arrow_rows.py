"""Parses TSV rows into typed Arrow columns.

The rows are first converted to CSV for Arrow's reader: escaped quotes are doubled, and other
escapes (see :mod:`~spade_spark.gocompat.quote`) become the characters themselves, because quoted
CSV values can contain tabs and line breaks. Integers are exact; doubles are the nearest ones. An
empty value of any type is null.
"""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa
from pyarrow import csv

from spade_spark.gocompat.quote import unescape
from spade_spark.gocompat.rfc3339 import CYCLE_SECONDS, CYCLE_YEARS, unix_seconds
from spade_spark.writers.arrow_types import TIME

_ESCAPE: Final = re.compile(rb"\\(?:x..|u.{4}|U.{8}|.)")
_QUOTE: Final = b'\\"'
_TIME: Final = re.compile(r"(-?\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,3}))?")


class RowReader:
    """Parses the rows of one table.

    Args:
        schema: The columns of the table in order; at least one.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        # Numbers, because column names need not be unique.
        self._names = [str(number) for number in range(len(schema))]

    def read(self, text: bytes) -> pa.Table:
        """Parse the rows of ``text`` (UTF-8), each terminated by a line feed.

        Raises:
            pyarrow.ArrowInvalid: A value does not match the type of its column.
        """
        csv_text = _ESCAPE.sub(_csv_escape, text) if b"\\" in text else text
        try:
            rows = self._read(csv_text, self._schema.types)
        except pa.ArrowInvalid:
            rows = self._read_any_year(csv_text)
        return pa.Table.from_arrays(rows.columns, schema=self._schema)

    def _read_any_year(self, text: bytes) -> pa.Table:
        """Parse rows with years before 0 or after 9999, which Arrow's parser does not support."""
        types = self._schema.types
        rows = self._read(text, [pa.string() if type_ == TIME else type_ for type_ in types])
        for number, type_ in enumerate(types):
            if type_ == TIME:
                times = [_milliseconds(time) for time in rows.column(number).to_pylist()]
                column = pa.array(times, pa.int64()).cast(TIME)
                rows = rows.set_column(number, self._names[number], column)
        return rows

    def _read(self, text: bytes, types: list[pa.DataType]) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(
                use_threads=False,  # a task has one core
                block_size=len(text) + 1,
                column_names=self._names,
            ),
            csv.ParseOptions(
                delimiter="\t",
                double_quote=True,
                newlines_in_values=True,
                ignore_empty_lines=False,
            ),
            csv.ConvertOptions(
                column_types=dict(zip(self._names, types, strict=True)),
                null_values=[""],
                strings_can_be_null=True,
                true_values=["true"],
                false_values=["false"],
                timestamp_parsers=[csv.ISO8601],
            ),
        )


def _csv_escape(match: re.Match[bytes]) -> bytes:
    """Convert an escape to the text of a quoted CSV value."""
    return b'""' if match[0] == _QUOTE else unescape(match[0].decode()).encode()


def _milliseconds(text: str | None) -> int | None:
    """Convert a wall-clock time to milliseconds since 1970, as if it were UTC."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if not match:
        raise pa.ArrowInvalid(f"not a time: {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    # The calendar repeats after CYCLE_YEARS.
    cycles, year = divmod(year, CYCLE_YEARS)
    seconds = unix_seconds((year, month, day), (hour, minute, second)) + cycles * CYCLE_SECONDS
    return seconds * 1000 + int((match[7] or "").ljust(3, "0"))
