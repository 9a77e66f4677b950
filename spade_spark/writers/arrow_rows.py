"""Rows as they stand in TSV, to typed columns: exactly, and a column at a time.

Arrow's CSV reader takes our rows once their escapes (see
:mod:`~spade_spark.gocompat.quote`) are what it knows: a doubled quote, and everything else as it
is, since a quoted value may hold tabs and line breaks there. Its texts are exact: integers, and
doubles to the nearest. An empty value is null, of whatever type.
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
    """Reads the rows of one table.

    Args:
        schema: The table's columns, in the rows' order; at least one.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        # By number: a column may have any name, and two may have the same.
        self._names = [str(number) for number in range(len(schema))]

    def read(self, text: bytes) -> pa.Table:
        """The rows of ``text``, each ended by a line feed, in UTF-8.

        Raises:
            pyarrow.ArrowInvalid: A value is not of its column's type.
        """
        plain = _ESCAPE.sub(_plain, text) if b"\\" in text else text
        try:
            read = self._read(plain, self._schema.types)
        except pa.ArrowInvalid:
            read = self._read_any_year(plain)
        return pa.Table.from_arrays(read.columns, schema=self._schema)

    def _read_any_year(self, text: bytes) -> pa.Table:
        """As :meth:`_read`; Arrow itself knows no years before 0 and after 9999."""
        types = self._schema.types
        read = self._read(text, [pa.string() if type_ == TIME else type_ for type_ in types])
        for number, type_ in enumerate(types):
            if type_ == TIME:
                times = [_milliseconds(time) for time in read.column(number).to_pylist()]
                column = pa.array(times, pa.int64()).cast(TIME)
                read = read.set_column(number, self._names[number], column)
        return read

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


def _plain(match: re.Match[bytes]) -> bytes:
    """What an escape stands for, as Arrow's reader takes it between quotes."""
    return b'""' if match[0] == _QUOTE else unescape(match[0].decode()).encode()


def _milliseconds(text: str | None) -> int | None:
    """The wall clock that ``text`` shows, as if it were UTC, in milliseconds since 1970."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if not match:
        raise pa.ArrowInvalid(f"no time: {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    # The calendar repeats itself after so many years.
    cycles, year = divmod(year, CYCLE_YEARS)
    seconds = unix_seconds((year, month, day), (hour, minute, second)) + cycles * CYCLE_SECONDS
    return seconds * 1000 + int((match[7] or "").ljust(3, "0"))
