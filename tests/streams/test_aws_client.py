"""Kinesis Data Streams and Firehose over HTTP."""

import pytest

from spade_spark.errors import InputError
from spade_spark.settings import Settings
from spade_spark.streams.aws_client import AwsService
from spade_spark.streams.envelope import Envelope, row_payload
from spade_spark.streams.sender import RequestFailedError, Sender
from tests.streams.harness import stream
from tests.support.faulty_s3 import FaultyS3
from tests.support.partial_failures import PartialFailures
from tests.support.streams import ROLE, Consumer

THROTTLE = "ProvisionedThroughputExceededException"


@pytest.fixture
def consumer(s3_server, aws_keys):
    return Consumer(s3_server.endpoint_url)


@pytest.fixture
def partial(s3_server, aws_keys):
    with PartialFailures(s3_server.endpoint_url) as proxy:
        yield proxy


def settings_of(server):
    return Settings.model_validate({"streams": {"endpoint_url": server.endpoint_url}})


def records(configured, count):
    envelope = Envelope(configured, "test")
    return [envelope.record(row_payload({"n": str(n)}, n)) for n in range(count)]


def numbers(rows):
    return sorted(int(row["n"]) for row in rows)


def send(configured, server, count=5):
    sender = Sender(configured, AwsService(configured, settings_of(server)), lambda _: None)
    sender.send(records(configured, count))
    return sender.counts


def test_records_of_a_stream_have_their_uuid_as_partition_key(consumer, s3_server):
    configured = stream(name=consumer.new_stream())
    assert send(configured, s3_server).published == 5
    read = consumer.read_stream(configured.stream_name)
    assert all(key == record["UUID"] for key, record in read)
    assert numbers(record["Data"] for _, record in read) == [0, 1, 2, 3, 4]


def test_a_firehose_delivers_one_record_per_line(consumer, s3_server):
    configured = stream(name=consumer.new_firehose(), kind="firehose")
    assert send(configured, s3_server).published == 5
    read = consumer.read_firehose(configured.stream_name)
    assert [record["Data"]["n"] for record in read] == list("01234")


@pytest.mark.parametrize("kind", ["stream", "firehose"])
def test_only_refused_records_are_sent_again(consumer, partial, kind):
    partial.refuse = lambda number, index: (THROTTLE, "InternalFailure", "")[min(index + number, 2)]
    name = consumer.new_stream() if kind == "stream" else consumer.new_firehose()
    counts = send(stream(name=name, kind=kind), partial)
    assert [len(put) for put in partial.puts] == [5, 2, 1]
    assert (counts.throttled, counts.internal_errors, counts.published) == (1, 2, 5)
    read = (
        consumer.rows(name)
        if kind == "stream"
        else [record["Data"] for record in consumer.read_firehose(name)]
    )
    assert numbers(read) == [0, 1, 2, 3, 4]


def test_a_role_is_assumed_for_the_stream_that_names_it(consumer, partial):
    name = consumer.new_stream()
    send(stream(name=name, StreamRole=ROLE), partial)
    send(stream(name=name), partial)
    assert partial.assumed == [ROLE.replace(":", "%3A").replace("/", "%2F").encode()]
    assert partial.signers[0] != partial.signers[1] == "AKIATEST"
    assert partial.tokens[0]
    assert partial.tokens[1] is None


def test_a_missing_stream_is_an_error_without_retries(s3_server, aws_keys):
    with pytest.raises(InputError, match=r"stream nope in us-east-1 refused .*ResourceNotFound"):
        send(stream(name="nope", StreamRegion="us-east-1"), s3_server)


def test_the_client_itself_does_not_retry_a_failed_request(consumer, s3_server):
    configured = stream(name=consumer.new_stream())
    with FaultyS3(s3_server.endpoint_url) as faulty:
        faulty.inject("POST /", "error", times=2)
        counts = send(configured, faulty)
    assert (counts.requests, counts.unanswered, counts.published) == (3, 2, 5)


@pytest.mark.parametrize("kind", ["cut", "wrong_length"])
def test_records_with_a_truncated_response_are_counted_as_repeated(consumer, s3_server, kind):
    configured = stream(name=consumer.new_stream())
    with FaultyS3(s3_server.endpoint_url) as faulty:
        faulty.inject("POST /", kind)
        counts = send(configured, faulty)
    assert (counts.published, counts.repeated) == (5, 5)
    read = consumer.read_stream(configured.stream_name)
    assert len(read) == 10
    assert len({key for key, _ in read}) == 5


def test_no_record_is_in_doubt_after_a_refused_connection(s3_server, aws_keys):
    unreachable = Settings.model_validate({"streams": {"endpoint_url": "http://127.0.0.1:1"}})
    with pytest.raises(RequestFailedError) as failed:
        AwsService(stream(), unreachable).put(records(stream(), 1))
    assert not failed.value.in_doubt
    assert "stream views in us-west-2 does not respond" in str(failed.value)
