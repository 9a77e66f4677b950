"""Counters and timings to StatsD, as packets that a server receives."""

import sys
from datetime import datetime, timezone

import pytest

from spade_spark.errors import SettingsError
from spade_spark.reporting.statsd import Metric, Metrics, of_loads, of_run
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadAlreadyDone, LoadFailed, TableLoaded
from spade_spark.settings import MetricsSettings, build
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome
from tests.support.statsd import StatsdServer

LEDGER = AuditCounts(
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
    said: list[str] = []
    Metrics(MetricsSettings(statsd=server.address, **settings), said.append).send(metrics)
    return said


def test_a_run_is_counted_by_table_outcome_stream_and_edge(server):
    assert send(server, of_run(LEDGER, 1.5)) == []
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


def test_lines_are_statsds_own_where_datadogs_variables_are_set(server, monkeypatch):
    tags = ("DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DATADOG_TAGS")
    for variable in (*tags, "DD_EXTERNAL_ENV", "DD_ORIGIN_DETECTION_ENABLED"):
        monkeypatch.setenv(variable, "true")
    send(server, [Metric("replay.login.success", 1), Metric("replay.transform", 2, timing=True)])
    lines = "".join(server.packets()).splitlines()
    assert sorted(lines) == ["replay.login.success:1|c", "replay.transform:2|ms"]


def test_loads_are_timed_and_counted_and_those_of_before_are_not(server):
    now = datetime(2017, 11, 3, tzinfo=timezone.utc)
    loads = (
        TableLoaded("login", 4, 5, 0, 4, 5, 2.25),
        LoadFailed("chat", "why"),
        LoadAlreadyDone("page", now, 1, 1),
    )
    send(server, of_loads(loads), prefix="spade.prod")
    assert server.received() == (
        {
            "spade.prod.replay.login.deleted": 4,
            "spade.prod.replay.login.inserted": 5,
            "spade.prod.replay.chat.not_loaded": 1,
        },
        {"spade.prod.replay.login.load": 2250},
    )


def test_many_metrics_share_packets_that_no_network_has_to_part(server):
    send(server, [Metric(f"replay.table-{n}.success", n) for n in range(1, 501)])
    packets = server.packets()
    assert sum(packet.count("|c") for packet in packets) == 500
    assert len(packets) < 20
    assert max(map(len, packets)) <= 1432


def test_without_a_host_nothing_is_sent_and_no_client_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "datadog.dogstatsd.base", None)
    Metrics(MetricsSettings(), pytest.fail).send(of_run(LEDGER, 1))


def test_a_client_that_is_not_installed_is_said_before_anything_is_begun(monkeypatch):
    monkeypatch.setitem(sys.modules, "datadog.dogstatsd.base", None)
    with pytest.raises(SettingsError, match=r"pip install 'spade-spark\[metrics\]'"):
        Metrics(MetricsSettings(statsd="statsd.example.com"), pytest.fail)


def test_a_server_that_is_not_there_fails_nothing_and_is_told_of():
    said: list[str] = []
    metrics = Metrics(MetricsSettings(statsd="statsd.invalid:8125"), said.append)
    metrics.send([Metric("replay.login.success", 1)])
    (line,) = said
    assert line.startswith("metrics could not be sent to statsd.invalid:8125: ")


@pytest.mark.parametrize("host", ["statsd..example.com", f"{'a' * 64}.example.com"])
def test_what_can_be_no_hosts_name_fails_nothing_and_is_told_of(host):
    said: list[str] = []
    Metrics(MetricsSettings(statsd=host), said.append).send([Metric("replay.login.success", 1)])
    (line,) = said
    assert line.startswith(f"metrics could not be sent to {host}: ")


def test_a_server_that_does_not_listen_fails_nothing():
    with StatsdServer() as closed:
        pass
    for _ in range(3):  # the answer to the first packet comes with a later one
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
def test_what_is_no_host_is_refused_by_its_full_name(text):
    with pytest.raises(SettingsError, match=r"metrics\.statsd"):
        build({"metrics": {"statsd": text}}, "conf.toml")
