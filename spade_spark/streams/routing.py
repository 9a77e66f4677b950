"""From a row to the fields that a stream gets of it, or to why it gets none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from spade_spark.settings import StreamSettings
from spade_spark.streams.config import Stream
from spade_spark.streams.filters import filter_of


class SkipReason(Enum):
    """Why a row does not go to a stream; the values are names of counts."""

    OUTSIDE = "outside"
    FILTERED = "filtered"
    EMPTY = "empty"


@dataclass(frozen=True)
class WindowFilter:
    """The window as rows have it, which is as the load compares it.

    Attributes:
        column: The outbound name of the time column; a table without it is published whole.
        start: START, ``YYYY-MM-DD HH:MM:SS``.
        end: END, the same.
    """

    column: str
    start: str
    end: str

    def covers(self, record: Mapping[str, str]) -> bool:
        """Whether a row of this record is in the window; one without a time is not."""
        return self.start <= record.get(self.column, "") <= self.end


class Selector:
    """One table's rows to one stream.

    Args:
        stream: The stream.
        table: The table's name, which is the event's.
        columns: The outbound names in the rows' order.
        settings: Where filters by name, and the default filter, are found.
        span: The window; None for every row.
    """

    def __init__(
        self,
        stream: Stream,
        table: str,
        columns: Sequence[str],
        settings: StreamSettings,
        span: WindowFilter | None = None,
    ) -> None:
        rule = stream.events[table]
        self._columns = tuple(columns)
        self._passes = filter_of(rule, settings)
        self._names = {name: rule.field_renames.get(name, name) for name in rule.fields}
        self._all = rule.all_fields
        self._keep_empty = not stream.exclude_empty_fields
        target = stream.event_name_target_field
        self._always = {target: table} if target else {}
        self._span = span if span and span.column in self._columns else None

    def fields(self, values: Sequence[str]) -> dict[str, str] | SkipReason:
        """The fields of a row.

        Args:
            values: The row's values, in the order of the columns.
        """
        record = {name: value for name, value in zip(self._columns, values, strict=True) if value}
        if self._span and not self._span.covers(record):
            return SkipReason.OUTSIDE
        if not self._passes(record):
            return SkipReason.FILTERED
        picked = record if self._all else self._pick(record)
        return {**self._always, **picked} or SkipReason.EMPTY

    def _pick(self, record: Mapping[str, str]) -> dict[str, str]:
        return {
            outbound: record.get(name, "")
            for name, outbound in self._names.items()
            if self._keep_empty or name in record
        }
