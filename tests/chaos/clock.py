"""Time experiments: both DST changes, an END in the future, machines in other time zones.

The expected rows are computed here from the events' instants, independently of the product.
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

from tests.chaos.baselines import Baselines, check_recovery
from tests.chaos.fixtures import Tables, in_order
from tests.chaos.processes import COMMAND
from tests.chaos.runner import Case, Experiment
from tests.chaos.trial import Trial, trial
from tests.support import edge_logs

_PACIFIC = ZoneInfo("America/Los_Angeles")
_WALL = "%Y-%m-%d %H:%M:%S"
_STEP = timedelta(minutes=6)  # one event is exactly at the change

# The instants (UTC) of the DST changes. Events are at most three hours before or after them.
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
    baselines: Baselines, rng: random.Random, command: Sequence[str] = COMMAND
) -> Iterator[Experiment]:
    """Windows across the DST changes, runs in other time zones, and an END in the future.

    Args:
        baselines: The results of commands without faults.
        rng: The source of random choices.
        command: The program of the trials in other time zones.
    """
    yield Experiment(
        "windows across both DST changes",
        tuple(
            Case(
                f"{start} to {end}, TZ={zone}",
                partial(_across_a_dst_change, baselines, *window, zone),
            )
            for window in _WINDOWS
            for zone in rng.sample(_ZONES, 2)
            for _, start, end in (window,)
        ),
    )
    yield Experiment(
        "a machine in another time zone",
        tuple(Case(zone, partial(_in_time_zone, baselines, zone, command)) for zone in _ZONES),
        seconds=12.0,
    )
    yield Experiment(
        "END in the future", (Case("one day", partial(_end_in_the_future, baselines)),)
    )


def _across_a_dst_change(
    baselines: Baselines, change: datetime, start: str, end: str, zone: str
) -> str:
    tag = re.sub(r"\W+", "-", f"clock-{start}-{end}-{zone}")
    prefix = f"edge-of-{tag}/"
    rows = list(_write(baselines, prefix, change))
    environ = {"SPADE_INPUT__EDGE": f"s3://{baselines.env.bucket}/{prefix}", "TZ": zone}
    options: dict[str, Any] = {"tables": ("login",), "window": (start, end), "environ": environ}
    with trial(baselines.env, tag, **options) as run:
        wrong = [f"('{row}', 'wrong', 1)" for row in dict.fromkeys(time for time, *_ in rows)]
        run.env.sql(
            f"DELETE FROM physical.login; INSERT INTO physical.login VALUES {', '.join(wrong)}",
            run.url,
        )
        before = run.rows()
        result = run.run_in_process()
        assert result.status == 0, result.output
        assert run.rows()["login"] == _expected(before, rows, start[:19], end[:19])
        second = run.run_in_process()
        assert second.status == 0, second.output
        assert "already loaded" in second.output, second.output
        assert run.rows()["login"] == _expected(before, rows, start[:19], end[:19])
    return "correct"


def _write(baselines: Baselines, prefix: str, change: datetime) -> Iterator[tuple[str, str, int]]:
    """Write events from three hours before to three hours after the change; yield their rows."""
    instant, number = change - timedelta(hours=3), 0
    lines = []
    while instant <= change + timedelta(hours=3):
        at = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(edge_logs.record("login", {"who": f"w{number}", "n": number}, at))
        yield instant.astimezone(_PACIFIC).strftime(_WALL), f"w{number}", number
        closed = instant.strftime("%Y-%m-%dT%H:%M:%S")
        if len(lines) == 5:
            baselines.env.store.write(prefix + edge_logs.key(closed), edge_logs.log(lines))
            lines = []
        instant, number = instant + _STEP, number + 1
    closed = (instant + _STEP).strftime("%Y-%m-%dT%H:%M:%S")
    baselines.env.store.write(prefix + edge_logs.key(closed), edge_logs.log([*lines, b"none"]))


def _expected(
    before: Tables, rows: list[tuple[str, str, int]], start: str, end: str
) -> list[tuple[str, str, int]]:
    """Return the old rows outside the window, and the rows of the events inside it."""
    outside = [row for row in before["login"] if not start <= row[0] <= end]
    return in_order([*outside, *(row for row in rows if start <= row[0] <= end)])


def _in_time_zone(baselines: Baselines, zone: str, command: Sequence[str]) -> str:
    tag = f"zone-{zone.replace('/', '-')}"
    with trial(baselines.env, tag, environ={"TZ": zone}) as run:
        return check_recovery(run, baselines, run.run_subprocess(command=command))


def _end_in_the_future(baselines: Baselines) -> str:
    """A log arrives after the plan: the same command reports it, and a new run includes it."""
    now = datetime.now(timezone.utc)
    window = tuple(
        (now + timedelta(days=days)).astimezone(_PACIFIC).strftime(_WALL) for days in (-1, 1)
    )
    prefix = "edge-of-the-future/"
    environ = {"SPADE_INPUT__EDGE": f"s3://{baselines.env.bucket}/{prefix}"}
    with trial(
        baselines.env, "future", tables=("login",), window=(window[0], window[1]), environ=environ
    ) as run:
        assert run.run_in_process().status == 1  # no objects at all
        _write_event(baselines, prefix, now - timedelta(hours=2), "first")
        first = run.run_in_process()
        assert first.status == 0, first.output
        assert "END is in the future" in first.output
        assert _logins(run) == ["first"]
        _write_event(baselines, prefix, now - timedelta(hours=1), "second")
        second = run.run_in_process()
        assert second.status == 2, second.output
        assert "1 input object new" in second.output
        assert _logins(run) == ["first"]
        later = replace(run, tag="future-later").run_in_process()
        assert later.status == 0, later.output
        assert _logins(run) == ["first", "second"]
    return "correct"


def _write_event(baselines: Baselines, prefix: str, at: datetime, who: str) -> None:
    line = edge_logs.record("login", {"who": who, "n": 1}, at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    key = edge_logs.key(at.strftime("%Y-%m-%dT%H:%M:%S"))
    baselines.env.store.write(prefix + key, edge_logs.log([line]))


def _logins(run: Trial) -> list[str]:
    """The values of ``who`` in the window. All other rows are from 2017."""
    rows = run.env.sql("SELECT who FROM physical.login WHERE time > '2018-01-01'", run.url)
    return sorted(who for (who,) in rows)
