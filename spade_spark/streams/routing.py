"""Selects the fields of a row for a stream, or the reason to skip the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from spade_spark.settings import StreamSettings
from spade_spark.streams.config import Stream
from spade_spark.streams.filters import combined_filter


class SkipReason(Enum):
    """Why a row is not published to a stream. Each value is the name of a count."""

    OUTSIDE = "outside"
    FILTERED = "filtered"
    EMPTY = "empty"


@dataclass(frozen=True)
class WindowFilter:
    """The window, in the form of the times in rows. A load selects the same rows.

    Attributes:
        column: The outbound name of the time column. In tables without it, no row is outside.
        start: START, ``YYYY-MM-DD HH:MM:SS``.
        end: END, in the same form.
    """

    column: str
    start: str
    end: str

    def covers(self, record: Mapping[str, str]) -> bool:
        """Whether a row is in the window. A row without a time is not."""
        return self.start <= record.get(self.column, "") <= self.end


class Selector:
    """Selects the fields of one table's rows for one stream.

    Args:
        stream: The stream.
        table: The table's name, which is also the event's name.
        columns: The outbound names of the columns, in order.
        settings: The settings: the named filters and the default filter.
        window: The window; None for all rows.
    """

    def __init__(
        self,
        stream: Stream,
        table: str,
        columns: Sequence[str],
        settings: StreamSettings,
        window: WindowFilter | None = None,
    ) -> None:
        rule = stream.events[table]
        self._columns = tuple(columns)
        self._passes = combined_filter(rule, settings)
        self._names = {name: rule.field_renames.get(name, name) for name in rule.fields}
        self._all = rule.all_fields
        self._keep_empty = not stream.exclude_empty_fields
        target = stream.event_name_target_field
        self._constant_fields = {target: table} if target else {}
        self._window = window if window and window.column in self._columns else None

    def fields(self, values: Sequence[str]) -> dict[str, str] | SkipReason:
        """Return the fields of a row, or the reason to skip it.

        Args:
            values: The row's values, in the order of the columns.
        """
        record = {name: value for name, value in zip(self._columns, values, strict=True) if value}
        if self._window and not self._window.covers(record):
            return SkipReason.OUTSIDE
        if not self._passes(record):
            return SkipReason.FILTERED
        picked = record if self._all else self._pick(record)
        return {**self._constant_fields, **picked} or SkipReason.EMPTY

    def _pick(self, record: Mapping[str, str]) -> dict[str, str]:
        return {
            outbound: record.get(name, "")
            for name, outbound in self._names.items()
            if self._keep_empty or name in record
        }
