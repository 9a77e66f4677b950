"""StatsD counters and timings, as the packets that a server receives."""

import sys
from datetime import datetime, timezone

import pytest

from spade_spark.errors import SettingsError
from spade_spark.reporting.statsd import Metric, Metrics, load_metrics, run_metrics
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadAlreadyDone, LoadFailed, TableLoaded
from spade_spark.settings import MetricsSettings, build
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome
from tests.support.statsd import StatsdServer

COUNTS = AuditCounts(
    objects=2,
    bytes_in=1000,
    lines=10,
    undecodable=1,
    records=9,
    events={
        "login": {Outcome.SUCCESS: 5, Outcome.SKIPPED_COLUMNS: 1},
        "a.b:c|é": {Outcome.EMPTY_REQUEST: 1},
        "": {Outcome.UNTRACKED: 2},
    },
    streams={"stream/1/viewers": StreamCounts(rows=6, published=4, filtered=2, records=4)},
    edge_types={"login": EdgeTypeCounts("internal", 6, 3, 1)},
)


@pytest.fixture
def server():
    with StatsdServer() as server:
        yield server


def send(server, metrics, **settings):
    logged: list[str] = []
    Metrics(MetricsSettings(statsd=server.address, **settings), logged.append).send(metrics)
    return logged


def test_a_run_is_counted_by_table_outcome_stream_and_edge(server):
    assert send(server, run_metrics(COUNTS, 1.5)) == []
    counters, timings = server.received()
    assert timings == {"replay.transform": 1500}
    assert counters == {
        "replay.objects": 2,
        "replay.bytes_in": 1000,
        "replay.lines": 10,
        "replay.undecodable": 1,
        "replay.records": 9,
        "replay.login.success": 5,
        "replay.login.skipped_columns": 1,
        "replay.a_b_c__.empty_request": 1,
        "replay._.untracked": 2,
        "replay.login.edge_mismatched": 3,
        "replay.login.edge_unknown": 1,
        "replay.stream.stream_1_viewers.rows": 6,
        "replay.stream.stream_1_viewers.published": 4,
        "replay.stream.stream_1_viewers.filtered": 2,
        "replay.stream.stream_1_viewers.records": 4,
    }


def test_datadog_variables_add_nothing_to_the_lines(server, monkeypatch):
    tags = ("DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DATADOG_TAGS")
    for variable in (*tags, "DD_EXTERNAL_ENV", "DD_ORIGIN_DETECTION_ENABLED"):
        monkeypatch.setenv(variable, "true")
    send(server, [Metric("replay.login.success", 1), Metric("replay.transform", 2, timing=True)])
    lines = "".join(server.packets()).splitlines()
    assert sorted(lines) == ["replay.login.success:1|c", "replay.transform:2|ms"]


def test_only_the_loads_of_this_command_are_timed_and_counted(server):
    now = datetime(2017, 11, 3, tzinfo=timezone.utc)
    loads = (
        TableLoaded("login", 4, 5, 0, 4, 5, 2.25),
        LoadFailed("chat", "why"),
        LoadAlreadyDone("page", now, 1, 1),
    )
    send(server, load_metrics(loads), prefix="spade.prod")
    assert server.received() == (
        {
            "spade.prod.replay.login.deleted": 4,
            "spade.prod.replay.login.inserted": 5,
            "spade.prod.replay.chat.not_loaded": 1,
        },
        {"spade.prod.replay.login.load": 2250},
    )


def test_metrics_are_batched_into_packets_below_the_mtu(server):
    send(server, [Metric(f"replay.table-{n}.success", n) for n in range(1, 501)])
    packets = server.packets()
    assert sum(packet.count("|c") for packet in packets) == 500
    assert len(packets) < 20
    assert max(map(len, packets)) <= 1432


def test_without_a_host_nothing_is_sent_and_the_client_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "datadog.dogstatsd.base", None)
    Metrics(MetricsSettings(), pytest.fail).send(run_metrics(COUNTS, 1))


def test_a_missing_client_is_reported_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "datadog.dogstatsd.base", None)
    with pytest.raises(SettingsError, match=r"pip install 'spade-spark\[metrics\]'"):
        Metrics(MetricsSettings(statsd="statsd.example.com"), pytest.fail)


def test_an_unknown_host_is_logged_and_is_not_an_error():
    logged: list[str] = []
    metrics = Metrics(MetricsSettings(statsd="statsd.invalid:8125"), logged.append)
    metrics.send([Metric("replay.login.success", 1)])
    (line,) = logged
    assert line.startswith("metrics could not be sent to statsd.invalid:8125: ")


@pytest.mark.parametrize("host", ["statsd..example.com", f"{'a' * 64}.example.com"])
def test_an_invalid_host_name_is_logged_and_is_not_an_error(host):
    logged: list[str] = []
    Metrics(MetricsSettings(statsd=host), logged.append).send([Metric("replay.login.success", 1)])
    (line,) = logged
    assert line.startswith(f"metrics could not be sent to {host}: ")


def test_a_server_that_does_not_listen_is_not_an_error():
    with StatsdServer() as closed:
        pass
    for _ in range(3):  # a later call receives the ICMP error of an earlier packet
        send(closed, [Metric("replay.login.success", 1)])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("statsd.example.com", ("statsd.example.com", 8125)),
        ("10.0.0.1:9125", ("10.0.0.1", 9125)),
        ("[::1]:8126", ("::1", 8126)),
    ],
)
def test_a_host_may_have_a_port(text, address):
    assert MetricsSettings(statsd=text).address == address


@pytest.mark.parametrize("text", ["http://x", "a:b", "::1", "a b", "a:1:2", "a:0", "a:65536"])
def test_an_invalid_host_is_rejected_with_the_full_setting_name(text):
    with pytest.raises(SettingsError, match=r"metrics\.statsd"):
        build({"metrics": {"statsd": text}}, "conf.toml")
