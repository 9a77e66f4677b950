"""The window of a replay: from START to END in Pacific time, both ends inside it.

The warehouse's time column holds Pacific wall-clock time without a zone, so the hour that the
autumn change repeats stands there once for its two passes. A window therefore has two faces:
``wall_start`` and ``wall_end`` are what SQL compares, and ``first`` and ``last`` are the earliest
and latest instant whose wall-clock time lies between them, which is what has to be read so that
no row that SQL deletes is missing from what is inserted.
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
        """Reads the command line's START and END.

        Raises:
            UsageError: A time in another form, one that does not exist or exists twice, or an
                END that is not after START, as an instant or on the wall clock.
        """
        window = cls(_instant("START", start), _instant("END", end))
        # Two times of one zone compare by wall clock alone, whatever their offsets.
        if window.end.timestamp() <= window.start.timestamp():
            raise UsageError(f"END must be after START: {end} is not after {start}")
        if window.wall_end <= window.wall_start:
            raise UsageError(
                f"END {end} is after START {start}, but not on the wall clock that the time column "
                "holds (the clock went back in between): make the window wider"
            )
        return window

    @property
    def wall_start(self) -> datetime:
        """START as the time column holds it: Pacific wall-clock time without a zone."""
        return self.start.replace(tzinfo=None, fold=0)

    @property
    def wall_end(self) -> datetime:
        """END as the time column holds it: Pacific wall-clock time without a zone."""
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
        """START and END as a command line takes them, with their offsets."""
        return self.start.strftime(f"{_WALL}%z"), self.end.strftime(f"{_WALL}%z")

    def utc_days(self, margin: timedelta) -> tuple[str, ...]:
        """The ``YYYYMMDD`` UTC days from ``margin`` before the window to ``margin`` after it."""
        day = (self.first - margin).date()
        until = (self.last + margin).date()
        days = []
        while day <= until:
            days.append(day.strftime("%Y%m%d"))
            day += timedelta(days=1)
        return tuple(days)

    def __str__(self) -> str:
        return f"{self.wall_start} to {self.wall_end} Pacific"


def _instant(word: str, text: str) -> datetime:
    """One end of the window as an instant in the Pacific zone."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{word} must look like 2017-11-04 13:00:00 (Pacific time), "
            f"or with an offset 2017-11-05 01:30:00-0700: got {text!r}"
        )
    wall_text, offset = match.groups()
    try:
        wall = datetime.strptime(wall_text, _WALL)  # noqa: DTZ007 - the zone is settled below
        if offset:
            given = datetime.strptime(f"{wall_text}{offset}", f"{_WALL}%z")
            return given.astimezone(PACIFIC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{word} is no time: {text!r} ({error})") from None
    first, second = (wall.replace(tzinfo=PACIFIC, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    # Both folds name different instants: the wall time is repeated, or skipped. A repeated one
    # comes back from UTC unchanged, a skipped one does not.
    readings = [reading.astimezone(timezone.utc).astimezone(PACIFIC) for reading in (first, second)]
    spelt = " or ".join(reading.strftime(_WALL + "%z") for reading in readings)
    exists = readings[0].replace(tzinfo=None) == wall
    why = "exists twice" if exists else "does not exist"
    raise UsageError(
        f"{word} {text} {why} in Pacific time (the clocks change); write one of: {spelt}"
    )
