"""One partition's rows, published: at the end, once as far as anything can be known."""

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
from tests.support.partial_reads import PartialFailures
from tests.support.streams import Consumer

SPAN = WindowFilter("time", "2017-11-03 10:00:00", "2017-11-03 11:59:59")
ROWS = 40
STRETCH = 10
BATCHER = {"MaxSize": 990000, "MaxEntries": 4, "MaxAge": "1h"}
THROTTLE = "ProvisionedThroughputExceededException"


@pytest.fixture
def partial(s3_server, aws_keys):
    with PartialFailures(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def consumer(s3_server, aws_keys):
    return Consumer(s3_server.endpoint_url)


class Scene:
    """A partition of logins and a chat, in directories, and a job that publishes it."""

    def __init__(self, folder, endpoint_url):
        self.folder, self.endpoint_url = folder, endpoint_url
        self.edge = open_store(str(folder / "edge"), S3Settings())
        self.output = open_store(str(folder / "output"), S3Settings())
        lines = [edge_logs.record("login", {"login": f"l{n}\t\u200b", "n": n}) for n in range(ROWS)]
        lines.append(edge_logs.record("chat", {"text": "hi"}))
        lines.append(edge_logs.record("login", {"n": -1}, at="2017-11-03T16:59:59Z"))
        self.edge.write("20171103/0.gz", edge_logs.log(lines))
        found = self.edge.list("20171103/")
        self.partition = InputPartition(7, tuple(InputObject(e.key, e.size, e.etag) for e in found))

    def job(self, *streams, patience=60.0):
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
            publishing=PublishConfig(targets, SPAN, patience, STRETCH),
        )

    def record(self):
        return read_checkpoint(self.output, RunPaths("r").publication(7))

    def run(self, job):
        return run_partition(job, self.partition, 0)


@pytest.fixture
def scene(tmp_path, partial):
    return Scene(tmp_path, partial.endpoint_url)


def counts(completion):
    (found,) = completion.counts.streams.values()
    return found


def numbers(rows):
    return sorted(int(row["n"]) for row in rows)


def test_the_rows_of_the_window_are_published_with_the_values_they_were_made_with(scene, consumer):
    name = consumer.new_stream()
    completion = scene.run(scene.job(stream(name=name)))
    rows = consumer.rows(name)
    assert sorted(rows, key=lambda row: int(row["n"])) == [
        {"login": f"l{n}\t\u200b", "n": str(n)} for n in range(ROWS)
    ]
    found = counts(completion)
    assert (found.rows, found.published, found.outside, found.records) == (41, 40, 1, 40)
    completion.counts.check({"login": 41, "chat": 1}, "here")


def test_globs_hold_rows_of_several_tables(scene, consumer):
    name = consumer.new_stream()
    events = {"login": {"Fields": ["n"]}, "chat": {"AllFields": True}}
    completion = scene.run(scene.job(stream(name=name, Compress=True, Events=events)))
    entries = [each for _, record in consumer.read_stream(name) for each in unpack(record)]
    assert Counter(each["Name"] for each in entries) == {"login": ROWS, "chat": 1}
    assert {"Name": "chat", "Fields": {"time": "2017-11-03 11:00:00", "text": "hi"}} in entries
    assert counts(completion).records == -(-42 // STRETCH)


def test_what_filters_hold_back_is_counted(scene, consumer):
    name = consumer.new_stream()
    condition = {"Field": "n", "Operator": "in_set", "Values": ["3", "5"]}
    rule = {"Fields": ["n"], "Filter": "isOneOf", "FilterParameters": [condition]}
    completion = scene.run(scene.job(stream(name=name, Events={"login": rule})))
    assert numbers(consumer.rows(name)) == [3, 5]
    assert counts(completion).filtered == ROWS - 2


def test_every_stream_gets_its_rows(scene, consumer):
    name, firehose = consumer.new_stream(), consumer.new_firehose()
    redshift = stream(
        name=firehose,
        kind="firehose",
        FirehoseRedshiftStream=True,
        EventNameTargetField="event",
        Events={"chat": {"Fields": ["text"]}},
    )
    completion = scene.run(scene.job(stream(name=name), redshift))
    assert consumer.read_firehose(firehose) == [{"event": "chat", "text": "hi"}]
    assert len(consumer.rows(name)) == ROWS
    assert {name: each.published for name, each in completion.counts.streams.items()} == {
        f"stream/{name}": ROWS,
        f"firehose/{firehose}": 1,
    }


def test_a_job_that_does_not_publish_writes_no_record_of_it(scene):
    completion = scene.run(replace(scene.job(), publishing=None))
    assert completion.counts.streams == {}
    assert list(scene.output.list("r/_published/")) == []


def test_what_is_published_is_not_published_again(scene, consumer):
    name = consumer.new_stream()
    job = scene.job(stream(name=name))
    assert scene.run(job) == scene.run(job)
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert scene.record().published


def test_rows_beside_a_damaged_object_wait_until_it_is_allowed(scene, consumer):
    """They are made once, and published by whoever is allowed to."""
    whole = scene.edge.read("20171103/0.gz")
    scene.edge.write("20171103/0.gz", whole + b"no gzip")
    (found,) = scene.edge.list("20171103/")
    scene.partition = InputPartition(7, (InputObject(found.key, found.size, found.etag),))
    name = consumer.new_stream()
    job = scene.job(stream(name=name))
    held = scene.run(job)
    assert (len(held.damaged), held.counts.streams) == (1, {})
    assert consumer.rows(name) == []
    assert list(scene.output.list("r/_published/")) == []
    allowed = scene.run(replace(job, publishing=replace(job.publishing, allow_damaged=1)))
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert allowed.files == held.files


def test_it_is_intended_before_anything_is_sent(scene, consumer, partial):
    seen = []
    partial.before = lambda number: seen.append(scene.record())
    name = consumer.new_stream()
    scene.run(scene.job(stream(name=name)))
    first, last = seen[0], seen[-1]
    (progress,) = first.streams.values()
    assert (first.published, progress.settled, progress.sending) == (False, 0, STRETCH)
    (progress,) = last.streams.values()
    assert (last.published, progress.settled, progress.sending) == (False, 30, 40)
    assert list(scene.output.list("r/_completed/"))


def test_a_task_that_failed_is_gone_on_with_where_it_stopped(scene, consumer, partial):
    """The third request fails to the last: what came before is not sent again, and is not in doubt.

    Only the two records of that request are: the service failed on them, and may have them.
    """
    name = consumer.new_stream()
    job = scene.job(stream(name=name, Batcher=BATCHER))
    failing = FailingOnce(partial, at=2)
    with pytest.raises(TransientError, match="run the same command again"):
        scene.run(job)
    (progress,) = scene.record().streams.values()
    assert (scene.record().holder, progress.settled, progress.sending) == ("", 8, 8)
    failing.clear_faults()
    found = counts(scene.run(job))
    assert numbers(consumer.rows(name)) == list(range(ROWS))
    assert (found.published, found.repeated) == (ROWS, 2)
    assert found.unanswered == 3


class FailingOnce:
    """Answers 500 from the request ``at`` on, until it is healed."""

    def __init__(self, partial, at):
        self._partial, self._put = partial, partial._put
        partial._put = self._fail
        self._at = at

    def _fail(self, headers, asked, target):
        if len(self._partial.puts) < self._at:
            return self._put(headers, asked, target)
        return 503, b'{"__type": "ServiceDown"}'

    def clear_faults(self):
        self._partial._put = self._put


def test_a_record_that_is_refused_to_the_last_is_counted_and_the_rest_goes_on(
    scene, consumer, partial
):
    refused = set()

    def refuse(number, index):
        if number == 0 and index == 1:
            refused.add(partial.puts[0][1])
        return THROTTLE if partial.puts[number][index] in refused else ""

    partial.refuse = refuse
    name = consumer.new_stream()
    found = counts(scene.run(scene.job(stream(name=name))))
    assert (found.published, found.dropped, found.throttled) == (ROWS - 1, 1, 3)
    assert len(consumer.rows(name)) == ROWS - 1


def test_a_stream_that_is_not_there_ends_the_run(scene):
    with pytest.raises(InputError, match="stream nope in us-west-2 refused"):
        scene.run(scene.job(stream(name="nope")))


def _publish(folder, endpoint_url, name):
    scene = Scene(folder, endpoint_url)
    scene.run(scene.job(stream(name=name, Batcher=BATCHER)))


def test_after_a_kill_only_what_was_on_its_way_is_in_doubt(scene, consumer, partial, tmp_path):
    """Killed with 28 rows taken: the rows from 20 on were noted as on their way, not as taken."""
    name = consumer.new_stream()
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path, scene.endpoint_url, name)
    child = context.Process(target=_publish, args=arguments)

    def kill(number):
        if number == 8 and child.pid:  # of 4, 4 and 2 rows a stretch
            os.kill(child.pid, signal.SIGKILL)

    partial.before = kill
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    partial.before = lambda number: None
    job = scene.job(stream(name=name, Batcher=BATCHER), patience=0.2)
    found = counts(scene.run(job))
    sent = Counter(numbers(consumer.rows(name)))
    assert set(sent) == set(range(ROWS))
    twice = {number for number, times in sent.items() if times > 1}
    assert twice
    assert twice <= set(range(20, 30))
    assert (found.published, found.repeated) == (ROWS, STRETCH)
    keys = [key for key, _ in consumer.read_stream(name)]
    assert len(set(keys)) == ROWS


def test_an_attempt_waits_for_another_that_is_alive(scene, consumer):
    name = consumer.new_stream()
    job = scene.job(stream(name=name))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(scene.run, [job, job])
    assert first == second
    assert numbers(consumer.rows(name)) == list(range(ROWS))


def test_an_attempt_without_a_sign_of_life_is_overtaken_and_then_stops(scene, consumer, partial):
    name = consumer.new_stream()
    stuck, free = threading.Event(), threading.Event()

    def hang(number):
        if number == 1:
            stuck.set()
            assert free.wait(20)

    partial.before = hang
    job = scene.job(stream(name=name, Batcher=BATCHER), patience=0.3)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(scene.run, job)
        assert stuck.wait(20)
        fast = scene.run(job)
        free.set()
        assert slow.result(20) == fast
    sent = Counter(numbers(consumer.rows(name)))
    assert set(sent) == set(range(ROWS))
    assert sum(sent.values()) - ROWS <= counts(fast).repeated
