"""Publishing to streams, from the command line to the records that consumers read."""

import json

import pytest

from spade_spark.cli.main import main
from spade_spark.reporting.preview import DUPLICATES_WARNING
from tests.chaos.thread_spark import on_threads
from tests.docs.pages import examples
from tests.streams.harness import published, spade_config, unpack
from tests.support import edge_logs
from tests.support.harness import WINDOW, ReplayHarness, log_full_window
from tests.support.partial_failures import PartialFailures
from tests.support.streams import Consumer


@pytest.fixture
def partial(s3_server, aws_keys):
    with PartialFailures(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def consumer(s3_server, aws_keys):
    return Consumer(s3_server.endpoint_url)


@pytest.fixture
def harness(tmp_path, bucket, s3_settings, partial, monkeypatch):
    """A replay harness with logs and without a warehouse; it publishes through ``partial``."""
    monkeypatch.chdir(tmp_path)
    harness = ReplayHarness(tmp_path, bucket, s3_settings, "")
    log_full_window(harness)
    harness.configure("[input]", f'streams = "s3://{bucket}/streams.json"\n            [input]')
    streams = f'[streams]\n            endpoint_url = "{partial.endpoint_url}"\n'
    harness.configure("[spark]", f"{streams}            [spark]")
    return harness


def replay(harness, *arguments):
    options = ["--conf", str(harness.conf), "--runtag", harness.tag, "--skip-ace-upload"]
    with on_threads():
        return main(["replay", *WINDOW, "login", "chat", *options, *arguments])


def configure_streams(harness, *configs):
    harness.store.write("streams.json", published(*configs))


def printed(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_a_replay_publishes_to_the_streams_in_blueprint(harness, consumer, partial, capsys):
    outputs: list[str] = []
    partial.before = lambda number: outputs.append(printed(capsys))
    views, archive = consumer.new_stream(), consumer.new_firehose()
    configure_streams(
        harness,
        spade_config(
            views,
            Compress=True,
            EventNameTargetField="event",
            Events={"login": {"Fields": ["login", "n"], "FieldRenames": {"login": "who"}}},
        ),
        spade_config(archive, kind="firehose", Events={"chat": {"AllFields": True}}),
    )
    assert replay(harness, "--publish", "all") == 0
    rows = [row for _, record in consumer.read_stream(views) for row in unpack(record)]
    assert sorted(row["Fields"]["who"] for row in rows) == ["ann", "zoë'\\"]
    ann = {"Name": "login", "Fields": {"event": "login", "n": "1", "who": "ann"}}
    assert ann in rows  # the order within a chunk is undefined
    (line,) = consumer.read_firehose(archive)
    assert line["Data"] == {"time": "2017-11-03 10:30:00", "text": "hello"}
    assert DUPLICATES_WARNING in outputs[0]
    assert f"Stream: stream/{views} in us-west-2, compressed; events: login" in outputs[0]
    assert "Published rows" in printed(capsys)
    streams = harness.report()["manifest"]["ledger"]["streams"]
    assert {name: (stream["published"], stream["outside"]) for name, stream in streams.items()} == {
        f"stream/{views}": (2, 2),
        f"firehose/{archive}": (1, 0),
    }


def test_the_documented_example_works(harness, consumer):
    (configuration,) = examples("streams.md", "Stream configuration", "json")
    (example,) = examples("streams.md", "Record format", "json")
    harness.store.write("streams.json", configuration.encode())
    consumer.new_stream(named="viewers")
    assert replay(harness, "--publish", "viewers") == 0
    (published_record,) = [record for _, record in consumer.read_stream("viewers")]
    documented = json.loads(example)
    assert published_record.keys() == documented.keys()
    assert (published_record["Version"], published_record["Data"]) == (1, documented["Data"])


def test_a_replay_publishes_only_to_the_named_streams(harness, consumer):
    named, other = consumer.new_stream(), consumer.new_stream()
    configure_streams(
        harness, spade_config(named), spade_config(other), spade_config("bad", Compress=1)
    )
    assert replay(harness, "--publish", named) == 0
    assert len(consumer.rows(named)) == 2
    assert consumer.rows(other) == []


def test_a_replay_without_publish_publishes_nothing(harness, consumer):
    name = consumer.new_stream()
    configure_streams(harness, spade_config(name))
    assert replay(harness) == 0
    assert consumer.rows(name) == []
    assert harness.report()["manifest"]["ledger"]["streams"] == {}


def test_the_plan_names_the_streams(harness, capsys):
    configure_streams(harness, spade_config("views"), spade_config("idle", Events={}))
    arguments = ["plan", *WINDOW, "login", "--skip-ace-upload", "--conf", str(harness.conf)]
    assert main([*arguments, "--publish", "all", "--json"]) == 0
    preview = json.loads(capsys.readouterr().out)
    assert preview["streams"] == [
        {
            "stream": "stream/views",
            "region": "us-west-2",
            "role": False,
            "compressed": False,
            "events": ["login"],
            "others": [],
        }
    ]
    assert "Streams that receive none of the tables: idle" in preview["remarks"]
    assert main([*arguments, "--publish", "views"]) == 0
    text = printed(capsys)
    assert "Stream: stream/views in us-west-2; events: login" in text
    assert DUPLICATES_WARNING in text


def test_the_same_command_publishes_the_remaining_rows(harness, consumer, partial):
    """The transform is complete: the logs are not read again."""
    name = consumer.new_stream()
    configure_streams(harness, spade_config(name), spade_config("not-there"))
    assert replay(harness, "--publish", "all") == 1
    assert len(consumer.rows(name)) == 2
    before = {
        entry.key: entry.last_modified for entry in harness.store.list(f"out/{harness.tag}/login/")
    }
    consumer.new_stream(named="not-there")
    assert replay(harness, "--publish", "all") == 0
    assert len(consumer.rows(name)) == len(consumer.rows("not-there")) == 2
    after = harness.store.list(f"out/{harness.tag}/login/")
    assert {entry.key: entry.last_modified for entry in after} == before
    puts = len(partial.puts)
    assert replay(harness, "--publish", "all") == 0
    assert len(partial.puts) == puts


def test_rows_of_a_partition_with_a_corrupt_object_are_published_only_with_allow_damaged(
    harness, consumer, capsys
):
    """Published rows cannot be withdrawn, so the run stops and names the command to resume."""
    key = edge_logs.key("2017-11-03T18:15:00", "broken")
    harness.put(key, edge_logs.log([edge_logs.record("login", {"login": "x", "n": 1})])[:-4])
    name = consumer.new_stream()
    configure_streams(harness, spade_config(name))
    assert replay(harness, "--publish", name) == 1
    assert consumer.rows(name) == []
    text = printed(capsys)
    assert f"1 corrupt object: {key} is corrupt: it is truncated" in text
    assert "Not published: 5 rows of the affected partitions. Fix" in text
    assert f"repeat the command with --runtag {harness.tag} --allow-damaged 1" in text
    assert replay(harness, "--publish", name, "--allow-damaged", "1") == 0
    assert len(consumer.rows(name)) == 3


def test_a_run_is_not_resumed_with_other_streams(harness, consumer, capsys):
    name = consumer.new_stream()
    configure_streams(harness, spade_config(name))
    assert replay(harness) == 0
    assert replay(harness, "--publish", name) == 2
    assert f"streams was none, is stream/{name}" in printed(capsys)


def test_a_run_is_not_resumed_with_another_time_column(harness, capsys):
    """The time column decides which rows are published."""
    configure_streams(harness, spade_config("never-there"))
    assert replay(harness, "--publish", "all") == 1
    harness.configure(
        "[spark]", '[warehouse]\n            time_column = "seen"\n            [spark]'
    )
    assert replay(harness, "--publish", "all") == 2
    assert "setting warehouse.time_column was 'time', is 'seen'" in printed(capsys)


def test_rows_that_a_stream_keeps_rejecting_are_reported_with_exit_status_1(
    harness, consumer, partial, capsys
):
    name = consumer.new_stream()
    configure_streams(harness, spade_config(name))
    partial.refuse = lambda number, index: "ProvisionedThroughputExceededException" * (index == 0)
    assert replay(harness, "--publish", name) == 1
    text = printed(capsys)
    assert f"Stream stream/{name}: 1 row not published" in text
    assert "(3 throttled" in text
    assert len(consumer.rows(name)) == 1


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["--publish", "vews"], "Blueprint has no stream vews (did you mean views?)"),
        (["--publish", "gone"], "stream gone receives none of the requested tables"),
    ],
)
def test_an_invalid_stream_is_refused_before_anything_runs(harness, capsys, options, refusal):
    configure_streams(harness, spade_config("views"), spade_config("gone", Events={}))
    assert replay(harness, *options) == 2
    assert refusal in printed(capsys)
    assert list(harness.store.list("out/")) == []


def test_publish_needs_the_transform(harness, capsys):
    arguments = ["--skip-transform", "--rsurl", "postgres://u@h/d", "--publish", "all"]
    options = ["--conf", str(harness.conf), "--runtag", harness.tag]
    assert main(["replay", *WINDOW, "login", *options, *arguments]) == 2
    assert "--publish needs the transform" in printed(capsys)


def test_publish_without_blueprint_streams_is_refused(harness, capsys):
    harness.configure(f'streams = "s3://{harness.bucket}/streams.json"', "")
    assert replay(harness, "--publish", "all") == 1
    assert "blueprint.streams is not set" in printed(capsys)
