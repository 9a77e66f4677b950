"""The window of a replay: from START to END in Pacific time, both included.

The time column of the warehouse has Pacific wall-clock time without a time zone. It cannot
distinguish the two passes of the hour that is repeated when daylight saving time ends. A window
therefore has two pairs of ends. SQL compares ``wall_start`` and ``wall_end``. A replay reads from
``first`` to ``last``, the earliest and the latest instant whose wall-clock time is in the window,
so that it inserts all rows that SQL deletes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from spade_spark.errors import UsageError

PACIFIC = ZoneInfo("America/Los_Angeles")

_FORM = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: ?(Z|[+-]\d\d:?\d\d))?", re.ASCII)
_WALL = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Window:
    """A closed interval of Pacific time.

    Attributes:
        start: START as an instant, in the Pacific zone.
        end: END as an instant, in the Pacific zone.
    """

    start: datetime
    end: datetime

    @classmethod
    def parse(cls, start: str, end: str) -> Window:
        """Parse START and END of the command line.

        Raises:
            UsageError: A time has the wrong format, does not exist or exists twice, or END is not
                after START, as an instant or on the wall clock.
        """
        window = cls(_instant("START", start), _instant("END", end))
        # datetime compares two times of one zone by wall clock, so compare timestamps.
        if window.end.timestamp() <= window.start.timestamp():
            raise UsageError(f"END must be after START: {end} is not after {start}")
        if window.wall_end <= window.wall_start:
            raise UsageError(
                f"END {end} is after START {start}, but its wall-clock time is not, because the "
                "clock goes back in between: widen the window"
            )
        return window

    @property
    def wall_start(self) -> datetime:
        """START as in the time column: Pacific wall-clock time without a zone."""
        return self.start.replace(tzinfo=None, fold=0)

    @property
    def wall_end(self) -> datetime:
        """END as in the time column: Pacific wall-clock time without a zone."""
        return self.end.replace(tzinfo=None, fold=0)

    @property
    def first(self) -> datetime:
        """The earliest instant (UTC) whose wall-clock time is in the window."""
        return self.wall_start.replace(tzinfo=PACIFIC, fold=0).astimezone(timezone.utc)

    @property
    def last(self) -> datetime:
        """The latest instant (UTC) whose wall-clock time is in the window."""
        return self.wall_end.replace(tzinfo=PACIFIC, fold=1).astimezone(timezone.utc)

    @property
    def arguments(self) -> tuple[str, str]:
        """START and END for a command line, with their offsets."""
        return self.start.strftime(f"{_WALL}%z"), self.end.strftime(f"{_WALL}%z")

    def utc_days(self, margin: timedelta) -> tuple[str, ...]:
        """Return the UTC days (``YYYYMMDD``) of the window, widened by ``margin`` on both sides."""
        day = (self.first - margin).date()
        until = (self.last + margin).date()
        days = []
        while day <= until:
            days.append(day.strftime("%Y%m%d"))
            day += timedelta(days=1)
        return tuple(days)

    def __str__(self) -> str:
        return f"{self.wall_start} to {self.wall_end} Pacific"


def _instant(name: str, text: str) -> datetime:
    """Parse one end of the window as an instant in the Pacific zone."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{name} must look like '2017-11-04 13:00:00' (Pacific time, in quotes), or with an "
            f"offset '2017-11-05 01:30:00-0700': got {text!r}"
        )
    wall_text, offset = match.groups()
    try:
        wall = datetime.strptime(wall_text, _WALL)  # noqa: DTZ007 - the zone is added below
        if offset:
            instant = datetime.strptime(f"{wall_text}{offset}", f"{_WALL}%z")
            return instant.astimezone(PACIFIC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name} is not a valid time: {text!r} ({error})") from None
    first, second = (wall.replace(tzinfo=PACIFIC, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    # The folds are different instants, so the wall time is repeated or skipped. Converted to UTC
    # and back, a repeated time is unchanged; a skipped time is not.
    readings = [reading.astimezone(timezone.utc).astimezone(PACIFIC) for reading in (first, second)]
    choices = " or ".join(reading.strftime(_WALL + "%z") for reading in readings)
    exists = readings[0].replace(tzinfo=None) == wall
    problem = "exists twice" if exists else "does not exist"
    raise UsageError(
        f"{name} {text} {problem} in Pacific time (the clocks change); write one of: {choices}"
    )
