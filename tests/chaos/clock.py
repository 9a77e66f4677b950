"""The clock: both DST changes, an END in the future, machines in other time zones.

What is right is computed here from the events' instants, apart from the product.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from tests.chaos.baselines import Known, settle
from tests.chaos.fixtures import Tables, in_order
from tests.chaos.processes import COMMAND
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import Trial, trial
from tests.support import edge_logs

_PACIFIC = ZoneInfo("America/Los_Angeles")
_WALL = "%Y-%m-%d %H:%M:%S"
_STEP = timedelta(minutes=6)  # one event is at the change itself

# Each with the instants (UTC) that events are at, some hours to either side of the change.
_SPRING = datetime(2017, 3, 12, 10, tzinfo=timezone.utc)
_AUTUMN = datetime(2017, 11, 5, 9, tzinfo=timezone.utc)
_WINDOWS = (
    (_SPRING, "2017-03-12 00:00:00", "2017-03-12 04:59:59"),
    (_SPRING, "2017-03-12 01:30:00", "2017-03-12 03:30:00"),
    (_SPRING, "2017-03-12 01:59:59", "2017-03-12 03:00:00"),
    (_AUTUMN, "2017-11-05 00:00:00", "2017-11-05 03:59:59"),
    (_AUTUMN, "2017-11-05 00:59:59", "2017-11-05 02:00:00"),
    (_AUTUMN, "2017-11-05 01:10:00-0700", "2017-11-05 01:50:00-0800"),
    (_AUTUMN, "2017-11-05 01:10:00-0800", "2017-11-05 01:50:00-0800"),
    (_AUTUMN, "2017-11-05 00:30:00", "2017-11-05 01:30:00-0700"),
)
_ZONES = ("UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kolkata")


def experiments(
    known: Known, dice: random.Random, command: Sequence[str] = COMMAND
) -> Iterator[Experiment]:
    """Windows over the changes, in every zone; runs in other zones; an END in the future.

    Args:
        known: What an undisturbed run comes to.
        dice: What decides.
        command: How a process in another zone is begun.
    """
    yield Experiment(
        "windows across both DST changes",
        tuple(
            Case(f"{start} to {end}, TZ={zone}", partial(_over_a_change, known, *window, zone))
            for window in _WINDOWS
            for zone in dice.sample(_ZONES, 2)
            for _, start, end in (window,)
        ),
    )
    yield Experiment(
        "a machine in another time zone",
        tuple(Case(zone, partial(_in_zone, known, zone, command)) for zone in _ZONES),
        seconds=12.0,
    )
    yield Experiment("END in the future", (Case("one day", partial(_in_the_future, known)),))


def _over_a_change(known: Known, change: datetime, start: str, end: str, zone: str) -> str:
    tag = re.sub(r"\W+", "-", f"clock-{start}-{end}-{zone}")
    prefix = f"edge-of-{tag}/"
    rows = list(_write(known, prefix, change))
    environ = {"SPADE_INPUT__EDGE": f"s3://{known.scene.bucket}/{prefix}", "TZ": zone}
    how: dict[str, Any] = {"words": ("login",), "window": (start, end), "environ": environ}
    with trial(known.scene, tag, **how) as run:
        old = [f"('{row}', 'wrong', 1)" for row in dict.fromkeys(each[0] for each in rows)]
        run.scene.sql(
            f"DELETE FROM physical.login; INSERT INTO physical.login VALUES {', '.join(old)}",
            run.url,
        )
        before = run.rows()
        ended = run.here()
        assert ended.status == 0, ended.said
        assert run.rows()["login"] == _expected(before, rows, start[:19], end[:19])
        again = run.here()
        assert again.status == 0, again.said
        assert "nothing to do" in again.said, again.said
        assert run.rows()["login"] == _expected(before, rows, start[:19], end[:19])
    return "all right"


def _write(known: Known, prefix: str, change: datetime) -> Iterator[tuple[str, str, int]]:
    """Events from three hours before to three hours after the change; yields their rows."""
    instant, number = change - timedelta(hours=3), 0
    lines = []
    while instant <= change + timedelta(hours=3):
        at = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(edge_logs.record("login", {"who": f"w{number}", "n": number}, at))
        yield instant.astimezone(_PACIFIC).strftime(_WALL), f"w{number}", number
        closed = instant.strftime("%Y-%m-%dT%H:%M:%S")
        if len(lines) == 5:
            known.scene.store.write(prefix + edge_logs.key(closed), edge_logs.log(lines))
            lines = []
        instant, number = instant + _STEP, number + 1
    closed = (instant + _STEP).strftime("%Y-%m-%dT%H:%M:%S")
    known.scene.store.write(prefix + edge_logs.key(closed), edge_logs.log([*lines, b"none"]))


def _expected(
    before: Tables, rows: list[tuple[str, str, int]], start: str, end: str
) -> list[tuple[str, str, int]]:
    """The rows outside the window as they were, those inside as the events have them."""
    outside = [row for row in before["login"] if not start <= row[0] <= end]
    return in_order([*outside, *(row for row in rows if start <= row[0] <= end)])


def _in_zone(known: Known, zone: str, command: Sequence[str]) -> str:
    tag = f"zone-{zone.replace('/', '-')}"
    with trial(known.scene, tag, environ={"TZ": zone}) as run:
        return settle(run, known, run.apart(command=command))


def _in_the_future(known: Known) -> str:
    """What comes after the plan is not in it; the same command says so, a new run has it."""
    now = datetime.now(timezone.utc)
    window = tuple(
        (now + timedelta(days=days)).astimezone(_PACIFIC).strftime(_WALL) for days in (-1, 1)
    )
    prefix = "edge-of-the-future/"
    environ = {"SPADE_INPUT__EDGE": f"s3://{known.scene.bucket}/{prefix}"}
    with trial(
        known.scene, "future", words=("login",), window=(window[0], window[1]), environ=environ
    ) as run:
        assert run.here().status == 1  # no objects at all
        _log_one(known, prefix, now - timedelta(hours=2), "first")
        first = run.here()
        assert first.status == 0, first.said
        assert "END lies in the future" in first.said
        assert _who(run) == ["first"]
        _log_one(known, prefix, now - timedelta(hours=1), "second")
        again = run.here()
        assert again.status == 2, again.said
        assert "1 objects new" in again.said
        assert _who(run) == ["first"]
        later = replace(run, tag="future-later").here()
        assert later.status == 0, later.said
        assert _who(run) == ["first", "second"]
    return "all right"


def _log_one(known: Known, prefix: str, at: datetime, who: str) -> None:
    line = edge_logs.record("login", {"who": who, "n": 1}, at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    key = edge_logs.key(at.strftime("%Y-%m-%dT%H:%M:%S"))
    known.scene.store.write(prefix + key, edge_logs.log([line]))


def _who(run: Trial) -> list[str]:
    """Who stands in the window: the warehouse's other rows are of 2017."""
    rows = run.scene.sql("SELECT who FROM physical.login WHERE time > '2018-01-01'", run.url)
    return sorted(who for (who,) in rows)
