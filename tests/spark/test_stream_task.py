"""Publishing the rows of one partition, with checkpoints and retries."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from spade_spark.errors import InputError, TransientError
from spade_spark.plan import InputObject, InputPartition
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.publish_checkpoint import read_checkpoint
from spade_spark.settings import S3Settings, Settings
from spade_spark.spark.broadcast_context import BroadcastContext, PublishConfig
from spade_spark.spark.task import run_partition
from spade_spark.storage.base import open_store
from spade_spark.streams.routing import WindowFilter
from spade_spark.streams.targets import StreamTarget
from tests.streams.harness import stream, unpack
from tests.support import edge_logs
from tests.support.partial_failures import PartialFailures
from tests.support.streams import Consumer

WINDOW = WindowFilter("time", "2017-11-03 10:00:00", "2017-11-03 11:59:59")
ROWS = 40
CHECKPOINT_ROWS = 10
BATCHER = {"MaxSize": 990000, "MaxEntries": 4, "MaxAge": "1h"}
THROTTLE = "ProvisionedThroughputExceededException"


@pytest.fixture
def partial(s3_server, aws_keys):
    with PartialFailures(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def consumer(s3_server, aws_keys):
    return Consumer(s3_server.endpoint_url)


class StreamHarness:
    """A partition of logins and a chat event in directories, and a context that publishes it."""

    def __init__(self, folder, endpoint_url):
        self.folder, self.endpoint_url = folder, endpoint_url
        self.edge = open_store(str(folder / "edge"), S3Settings())
        self.output = open_store(str(folder / "output"), S3Settings())
        lines = [edge_logs.record("login", {"login": f"l{n}\t\u200b", "n": n}) for n in range(ROWS)]
        lines.append(edge_logs.record("chat", {"text": "hi"}))
        lines.append(edge_logs.record("login", {"n": -1}, at="2017-11-03T16:59:59Z"))
        self.edge.write("20171103/0.gz", edge_logs.log(lines))
        stored = self.edge.list("20171103/")
        self.partition = InputPartition(
            7, tuple(InputObject(s.key, s.size, s.etag) for s in stored)
        )

    def context(self, *streams, stale_after=60.0):
        settings = Settings.model_validate(
            {
                "input": {"edge": self.edge.url},
                "output": {"base": self.output.url},
                "streams": {"endpoint_url": self.endpoint_url},
            }
        )
        targets = tuple(StreamTarget(f"{s.stream_type}/{s.stream_name}", s) for s in streams)
        return BroadcastContext(
            "r",
            "plan-hash",
            "20171103",
            settings,
            edge_logs.schemas(edge_logs.LOGIN, edge_logs.CHAT),
            None,
            publishing=PublishConfig(targets, WINDOW, stale_after, CHECKPOINT_ROWS),
        )

    def record(self):
        return read_checkpoint(self.output, RunPaths("r").publish_checkpoint(7))

    def run(self, context):
        return run_partition(context, self.partition, 0)


@pytest.fixture
def harness(tmp_path, partial):
    return StreamHarness(tmp_path, partial.endpoint_url)


def counts(completion):
    (stream_counts,) = completion.counts.streams.values()
    return stream_counts


def numbers(rows):
    return sorted(int(row["n"]) for row in rows)


def test_the_rows_of_the_window_are_published_with_their_values(harness, consumer):
    name = consumer.new_stream()
    completion = harness.run(harness.context(stream(name=name)))
    rows = consumer.rows(name)
    assert sorted(rows, key=lambda row: int(row["n"])) == [
        {"login": f"l{n}\t\u200b", "n": str(n)} for n in range(ROWS)
    ]
    published = counts(completion)
    assert (published.rows, published.published, published.outside, published.records) == (
        41,
        40,
        1,
        40,
    )
    completion.counts.check({"login": 41, "chat": 1}, "here")


def test_a_glob_can_contain_rows_of_several_tables(harness, consumer):
    name = consumer.new_stream()
    events = {"login": {"Fields": ["n"]}, "chat": {"AllFields": True}}
    completion = harness.run(harness.context(stream(name=name, Compress=True, Events=events)))
    entries = [entry for _, record in consumer.read_stream(name) for entry in unpack(record)]
    assert Counter(entry["Name"] for entry in entries) == {"login": ROWS, "chat": 1}
    assert {"Name": "chat", "Fields": {"time": "2017-11-03 11:00:00", "text": "hi"}} in entries
    assert counts(completion).records == -(-42 // CHECKPOINT_ROWS)


def test_filtered_rows_are_counted(harness, consumer):
    name = consumer.new_stream()
    condition = {"Field": "n", "Operator": "in_set", "Values": ["3", "5"]}
    rule = {"Fields": ["n"], "Filter": "isOneOf", "FilterParameters": [condition]}
    completion = harness.run(harness.context(stream(name=name, Events={"login": rule})))
    assert numbers(consumer.rows(name)) == [3, 5]
    assert counts(completion).filtered == ROWS - 2


def test_each_stream_receives_its_rows(harness, consumer):
    name, firehose = consumer.new_stream(), consumer.new_firehose()
    redshift = stream(
        name=firehose,
        kind="firehose",
        FirehoseRedshiftStream=True,
        EventNameTargetField="event",
        Events={"chat": {"Fields": ["text"]}},
    )
    completion = harness.run(harness.context(stream(name=name), redshift))
    assert consumer.read_firehose(firehose) == [{"event": "chat", "text": "hi"}]
    assert len(consumer.rows(name)) == ROWS
    assert {name: entry.published for name, entry in completion.counts.streams.items()} == {
        f"stream/{name}": ROWS,
        f"firehose/{firehose}": 1,
    }


def test_without_publishing_there_is_no_checkpoint(harness):
    completion = harness.run(replace(harness.context(), publishing=None))
    assert completion.counts.streams == {}
    assert list(harness.output.list("r/_published/")) == []


def test_published_rows_are_not_published_again(harness, consumer):
    name = consumer.new_stream()
    context = harness.context(stream(name=name))
    assert harness.run(context) == harness.run(context)
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert harness.record().published


def test_rows_of_a_partition_with_a_corrupt_object_are_published_only_if_allowed(harness, consumer):
    valid = harness.edge.read("20171103/0.gz")
    harness.edge.write("20171103/0.gz", valid + b"not gzip")
    (stored,) = harness.edge.list("20171103/")
    harness.partition = InputPartition(7, (InputObject(stored.key, stored.size, stored.etag),))
    name = consumer.new_stream()
    context = harness.context(stream(name=name))
    withheld = harness.run(context)
    assert (len(withheld.damaged), withheld.counts.streams) == (1, {})
    assert consumer.rows(name) == []
    assert list(harness.output.list("r/_published/")) == []
    allowed = harness.run(replace(context, publishing=replace(context.publishing, allow_damaged=1)))
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert allowed.files == withheld.files


def test_a_checkpoint_precedes_each_send(harness, consumer, partial):
    checkpoints = []
    partial.before = lambda number: checkpoints.append(harness.record())
    name = consumer.new_stream()
    harness.run(harness.context(stream(name=name)))
    first, last = checkpoints[0], checkpoints[-1]
    (progress,) = first.streams.values()
    assert (first.published, progress.settled, progress.sending) == (False, 0, CHECKPOINT_ROWS)
    (progress,) = last.streams.values()
    assert (last.published, progress.settled, progress.sending) == (False, 30, 40)
    assert list(harness.output.list("r/_completed/"))


def test_a_failed_task_resumes_at_the_failed_request(harness, consumer, partial):
    """The third request fails on all attempts. Rows of earlier requests are not sent again.

    The two records of the failed request count as repeated: the service may have stored them.
    """
    name = consumer.new_stream()
    context = harness.context(stream(name=name, Batcher=BATCHER))
    faults = RequestFaults(partial, first=2)
    with pytest.raises(TransientError, match="run the same command again"):
        harness.run(context)
    (progress,) = harness.record().streams.values()
    assert (harness.record().holder, progress.settled, progress.sending) == ("", 8, 8)
    faults.clear_faults()
    published = counts(harness.run(context))
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert (published.published, published.repeated) == (ROWS, 2)
    assert published.unanswered == 3


class RequestFaults:
    """Returns status 503 from request number ``first`` on, until :meth:`clear_faults` is called."""

    def __init__(self, partial, first):
        self._partial, self._put = partial, partial._put
        partial._put = self._fail
        self._first = first

    def _fail(self, headers, body, target):
        if len(self._partial.puts) < self._first:
            return self._put(headers, body, target)
        return 503, b'{"__type": "ServiceDown"}'

    def clear_faults(self):
        self._partial._put = self._put


def test_a_record_rejected_on_all_attempts_is_dropped_and_the_others_are_published(
    harness, consumer, partial
):
    rejected = set()

    def reject(number, index):
        if number == 0 and index == 1:
            rejected.add(partial.puts[0][1])
        return THROTTLE if partial.puts[number][index] in rejected else ""

    partial.refuse = reject
    name = consumer.new_stream()
    published = counts(harness.run(harness.context(stream(name=name))))
    assert (published.published, published.dropped, published.throttled) == (ROWS - 1, 1, 3)
    assert len(consumer.rows(name)) == ROWS - 1


def test_a_missing_stream_is_an_error(harness):
    with pytest.raises(InputError, match="stream nope in us-west-2 refused"):
        harness.run(harness.context(stream(name="nope")))


def _publish(folder, endpoint_url, name):
    harness = StreamHarness(folder, endpoint_url)
    harness.run(harness.context(stream(name=name, Batcher=BATCHER)))


def test_after_a_kill_only_rows_since_the_checkpoint_are_repeated(
    harness, consumer, partial, tmp_path
):
    """The task is killed after 28 rows. Its checkpoint says that rows 20 to 29 may be sent."""
    name = consumer.new_stream()
    spawn = multiprocessing.get_context("spawn")
    arguments = (tmp_path, harness.endpoint_url, name)
    child = spawn.Process(target=_publish, args=arguments)

    def kill(number):
        if number == 8 and child.pid:  # requests have 4, 4 and 2 rows per checkpoint
            os.kill(child.pid, signal.SIGKILL)

    partial.before = kill
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    partial.before = lambda number: None
    context = harness.context(stream(name=name, Batcher=BATCHER), stale_after=0.2)
    published = counts(harness.run(context))
    sent = Counter(numbers(consumer.rows(name)))
    assert set(sent) == set(range(ROWS))
    repeated = {number for number, times in sent.items() if times > 1}
    assert repeated
    assert repeated <= set(range(20, 30))
    assert (published.published, published.repeated) == (ROWS, CHECKPOINT_ROWS)
    keys = [key for key, _ in consumer.read_stream(name)]
    assert len(set(keys)) == ROWS


def test_an_attempt_waits_for_a_running_one(harness, consumer):
    name = consumer.new_stream()
    context = harness.context(stream(name=name))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(harness.run, [context, context])
    assert first == second
    assert numbers(consumer.rows(name)) == list(range(ROWS))


def test_an_attempt_without_heartbeats_stops_after_another_takes_over(harness, consumer, partial):
    name = consumer.new_stream()
    hanging, resume = threading.Event(), threading.Event()

    def hang(number):
        if number == 1:
            hanging.set()
            assert resume.wait(20)

    partial.before = hang
    context = harness.context(stream(name=name, Batcher=BATCHER), stale_after=0.3)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(harness.run, context)
        assert hanging.wait(20)
        fast = harness.run(context)
        resume.set()
        assert slow.result(20) == fast
    sent = Counter(numbers(consumer.rows(name)))
    assert set(sent) == set(range(ROWS))
    assert sum(sent.values()) - ROWS <= counts(fast).repeated
