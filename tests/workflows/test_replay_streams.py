"""Publishing, from the command line to what consumers read."""

import json

import pytest

from spade_spark.cli.main import main
from spade_spark.reporting.preview import REPEATS
from tests.chaos.engine import on_threads
from tests.docs.pages import examples
from tests.streams.harness import published, spade_config, unpack
from tests.support import edge_logs
from tests.support.harness import WINDOW, World, log_full_window
from tests.support.partial_reads import PartialFailures
from tests.support.streams import Consumer


@pytest.fixture
def partial(s3_server, aws_keys):
    with PartialFailures(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def consumer(s3_server, aws_keys):
    return Consumer(s3_server.endpoint_url)


@pytest.fixture
def world(tmp_path, bucket, s3_settings, partial, monkeypatch):
    """A window of logs; what is published goes through ``partial``. No warehouse."""
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path, bucket, s3_settings, "")
    log_full_window(world)
    world.configure("[input]", f'streams = "s3://{bucket}/streams.json"\n            [input]')
    streams = f'[streams]\n            endpoint_url = "{partial.endpoint_url}"\n'
    world.configure("[spark]", f"{streams}            [spark]")
    return world


def replay(world, *more):
    options = ["--conf", str(world.conf), "--runtag", world.tag, "--skip-ace-upload"]
    with on_threads():
        return main(["replay", *WINDOW, "login", "chat", *options, *more])


def in_blueprint(world, *configs):
    world.store.write("streams.json", published(*configs))


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_a_replay_publishes_what_blueprint_says(world, consumer, partial, capsys):
    heard: list[str] = []
    partial.before = lambda number: heard.append(said(capsys))
    views, archive = consumer.new_stream(), consumer.new_firehose()
    in_blueprint(
        world,
        spade_config(
            views,
            Compress=True,
            EventNameTargetField="event",
            Events={"login": {"Fields": ["login", "n"], "FieldRenames": {"login": "who"}}},
        ),
        spade_config(archive, kind="firehose", Events={"chat": {"AllFields": True}}),
    )
    assert replay(world, "--publish", "all") == 0
    rows = [each for _, record in consumer.read_stream(views) for each in unpack(record)]
    assert sorted(each["Fields"]["who"] for each in rows) == ["ann", "zoë'\\"]
    ann = {"Name": "login", "Fields": {"event": "login", "n": "1", "who": "ann"}}
    assert ann in rows  # the rows of a chunk come in no order
    (line,) = consumer.read_firehose(archive)
    assert line["Data"] == {"time": "2017-11-03 10:30:00", "text": "hello"}
    assert REPEATS in heard[0]
    assert f"Publish to stream/{views} in us-west-2, compressed: login" in heard[0]
    assert "Published rows" in said(capsys)
    streams = world.report()["manifest"]["ledger"]["streams"]
    assert {name: (each["published"], each["outside"]) for name, each in streams.items()} == {
        f"stream/{views}": (2, 2),
        f"firehose/{archive}": (1, 0),
    }


def test_the_documented_example_does_what_it_says(world, consumer):
    (configuration,) = examples("streams.md", "Stream configuration", "json")
    (record,) = examples("streams.md", "Record format", "json")
    world.store.write("streams.json", configuration.encode())
    consumer.new_stream(named="viewers")
    assert replay(world, "--publish", "viewers") == 0
    (published_record,) = [read for _, read in consumer.read_stream("viewers")]
    shown = json.loads(record)
    assert published_record.keys() == shown.keys()
    assert (published_record["Version"], published_record["Data"]) == (1, shown["Data"])


def test_only_the_streams_that_are_named_are_published_to(world, consumer):
    one, other = consumer.new_stream(), consumer.new_stream()
    in_blueprint(world, spade_config(one), spade_config(other), spade_config("bad", Compress=1))
    assert replay(world, "--publish", one) == 0
    assert len(consumer.rows(one)) == 2
    assert consumer.rows(other) == []


def test_a_replay_that_does_not_ask_for_it_publishes_nothing(world, consumer):
    name = consumer.new_stream()
    in_blueprint(world, spade_config(name))
    assert replay(world) == 0
    assert consumer.rows(name) == []
    assert world.report()["manifest"]["ledger"]["streams"] == {}


def test_the_plan_names_the_streams(world, capsys):
    in_blueprint(world, spade_config("views"), spade_config("idle", Events={}))
    words = ["plan", *WINDOW, "login", "--skip-ace-upload", "--conf", str(world.conf)]
    assert main([*words, "--publish", "all", "--json"]) == 0
    outlook = json.loads(capsys.readouterr().out)
    assert outlook["streams"] == [
        {
            "stream": "stream/views",
            "region": "us-west-2",
            "role": False,
            "compressed": False,
            "events": ["login"],
            "others": [],
        }
    ]
    assert "Streams that take none of the tables: idle" in outlook["remarks"]
    assert main([*words, "--publish", "views"]) == 0
    text = said(capsys)
    assert "Publish to stream/views in us-west-2: login" in text
    assert REPEATS in text


def test_a_run_that_stopped_publishes_the_rest_by_the_same_command(world, consumer, partial):
    """Its rows are made: no object of the logs is read again."""
    name = consumer.new_stream()
    in_blueprint(world, spade_config(name), spade_config("not-there"))
    assert replay(world, "--publish", "all") == 1
    assert len(consumer.rows(name)) == 2
    made = {entry.key: entry.last_modified for entry in world.store.list(f"out/{world.tag}/login/")}
    consumer.new_stream(named="not-there")
    assert replay(world, "--publish", "all") == 0
    assert len(consumer.rows(name)) == len(consumer.rows("not-there")) == 2
    again = world.store.list(f"out/{world.tag}/login/")
    assert {entry.key: entry.last_modified for entry in again} == made
    puts = len(partial.puts)
    assert replay(world, "--publish", "all") == 0
    assert len(partial.puts) == puts


def test_rows_beside_a_damaged_object_are_published_only_where_that_is_allowed(
    world, consumer, capsys
):
    """What is published cannot be taken back: the run waits, and goes on by what it says."""
    key = edge_logs.key("2017-11-03T18:15:00", "broken")
    world.put(key, edge_logs.log([edge_logs.record("login", {"login": "x", "n": 1})])[:-4])
    name = consumer.new_stream()
    in_blueprint(world, spade_config(name))
    assert replay(world, "--publish", name) == 1
    assert consumer.rows(name) == []
    text = said(capsys)
    assert f"1 corrupt object: {key} is damaged: it is truncated" in text
    assert "5 rows of their partitions were not published." in text
    assert f"repeat the command with --runtag {world.tag} --allow-damaged 1" in text
    assert replay(world, "--publish", name, "--allow-damaged", "1") == 0
    assert len(consumer.rows(name)) == 3


def test_a_run_is_not_gone_on_with_for_other_streams(world, consumer, capsys):
    name = consumer.new_stream()
    in_blueprint(world, spade_config(name))
    assert replay(world) == 0
    assert replay(world, "--publish", name) == 2
    assert f"streams was none, is stream/{name}" in said(capsys)


def test_a_run_is_not_gone_on_with_for_another_windows_column(world, capsys):
    """Which rows are published follows from it, and the first of them are with consumers."""
    in_blueprint(world, spade_config("never-there"))
    assert replay(world, "--publish", "all") == 1
    world.configure("[spark]", '[warehouse]\n            time_column = "seen"\n            [spark]')
    assert replay(world, "--publish", "all") == 2
    assert "setting warehouse.time_column was 'time', is 'seen'" in said(capsys)


def test_rows_that_are_refused_to_the_last_are_named_and_the_exit_status_says_so(
    world, consumer, partial, capsys
):
    name = consumer.new_stream()
    in_blueprint(world, spade_config(name))
    partial.refuse = lambda number, index: "ProvisionedThroughputExceededException" * (index == 0)
    assert replay(world, "--publish", name) == 1
    text = said(capsys)
    assert f"Stream stream/{name}: 1 rows were not published" in text
    assert "(3 throttled" in text
    assert len(consumer.rows(name)) == 1


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["--publish", "vews"], "Blueprint has no stream vews: did you mean views?"),
        (["--publish", "gone"], "stream gone takes none of the tables to be made"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_begun(
    world, capsys, words, refusal
):
    in_blueprint(world, spade_config("views"), spade_config("gone", Events={}))
    assert replay(world, *words) == 2
    assert refusal in said(capsys)
    assert list(world.store.list("out/")) == []


def test_publishing_goes_with_the_making_of_rows(world, capsys):
    words = ["--skip-transform", "--rsurl", "postgres://u@h/d", "--publish", "all"]
    options = ["--conf", str(world.conf), "--runtag", world.tag]
    assert main(["replay", *WINDOW, "login", *options, *words]) == 2
    assert "--publish goes with the making of rows" in said(capsys)


def test_without_a_list_of_streams_nothing_is_published(world, capsys):
    world.configure(f'streams = "s3://{world.bucket}/streams.json"', "")
    assert replay(world, "--publish", "all") == 1
    assert "blueprint.streams is not set" in said(capsys)
