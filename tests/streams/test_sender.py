"""Sending of records, and retries of refused ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InputError, TransientError
from spade_spark.streams.envelope import Record
from spade_spark.streams.limits import Limits
from spade_spark.streams.sender import RequestFailedError, Sender, split_requests
from tests.streams.harness import stream

THROTTLE = "ProvisionedThroughputExceededException"


class Service:
    """Answers each request with the next list of codes, or raises the next error."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def put(self, records):
        self.requests.append([record.key for record in records])
        answer = self.answers.pop(0) if self.answers else [""] * len(records)
        if isinstance(answer, Exception):
            raise answer
        assert len(answer) == len(records)
        return answer


def records(names="abc", rows=1):
    return [Record(name, b"data", number, rows) for number, name in enumerate(names)]


def new_sender(service, **more):
    slept: list[float] = []
    sender = Sender(stream(RetryDelay="300ms", **more), service, slept.append)
    return sender, slept


def test_accepted_rows_and_records_are_counted():
    sender, _ = new_sender(Service())
    sender.send(records(rows=10))
    counts = sender.counts
    assert (counts.rows, counts.published, counts.records, counts.requests) == (30, 30, 3, 1)
    assert counts.balances


def test_only_refused_records_are_sent_again():
    service = Service(["", THROTTLE, "InternalFailure"], ["Odd", ""])
    sender, slept = new_sender(service)
    sender.send(records())
    assert service.requests == [["a", "b", "c"], ["b", "c"], ["b"]]
    assert slept == [0.3, 0.3]
    counts = sender.counts
    assert (counts.throttled, counts.internal_errors, counts.other_errors) == (1, 1, 1)
    assert (counts.published, counts.dropped) == (3, 0)


@pytest.mark.parametrize("code", [THROTTLE, "ServiceUnavailable", "ServiceUnavailableException"])
def test_throttling_is_counted_separately(code):
    sender, _ = new_sender(Service([code, "", ""]))
    sender.send(records())
    assert (sender.counts.throttled, sender.counts.other_errors) == (1, 0)


def test_a_record_is_dropped_after_the_allowed_attempts():
    service = Service(*[[THROTTLE] * 2] * 3)
    sender, slept = new_sender(service)
    sender.send(records("ab", rows=5))
    assert len(service.requests) == 3
    assert len(slept) == 2
    assert (sender.counts.rows, sender.counts.published, sender.counts.dropped) == (10, 0, 10)
    assert sender.counts.balances


def test_a_record_that_is_too_large_does_not_stop_the_others():
    service = Service()
    sender, _ = new_sender(service)
    large = Record("large", bytes(1024 * 1024), 3, 7)
    sender.send([*records("ab"), large])
    assert service.requests == [["a", "b"]]
    assert (sender.counts.published, sender.counts.dropped) == (2, 7)


def test_a_failed_request_counts_as_an_attempt():
    service = Service(RequestFailedError("down", in_doubt=False), ["", THROTTLE, ""])
    sender, _ = new_sender(service)
    sender.send(records())
    counts = sender.counts
    assert (counts.requests, counts.unanswered, counts.published, counts.repeated) == (3, 1, 3, 0)


def test_records_of_a_lost_response_are_counted_as_repeated():
    sender, _ = new_sender(Service(RequestFailedError("cut", in_doubt=True)))
    sender.send(records(rows=2))
    assert (sender.counts.published, sender.counts.repeated) == (6, 6)


def test_rows_are_not_lost_if_the_last_attempt_fails():
    """The rows are not settled, so a task retry publishes all of them, including accepted ones."""
    down = RequestFailedError("down; run the same command again", in_doubt=False)
    sender, _ = new_sender(Service(["", THROTTLE, THROTTLE], down, down))
    with pytest.raises(TransientError, match="run the same command again"):
        sender.send(records(rows=2))
    counts = sender.counts
    assert (counts.rows, counts.published, counts.dropped, counts.repeated) == (0, 0, 0, 2)


def test_a_permanent_error_is_not_retried():
    service = Service(InputError("no such stream"))
    sender, slept = new_sender(service)
    with pytest.raises(InputError):
        sender.send(records())
    assert (len(service.requests), slept) == (1, [])


def test_the_heartbeat_is_renewed_before_each_request():
    heartbeats = []
    service = Service([THROTTLE, "", ""])
    Sender(stream(), service, lambda _: None, lambda: heartbeats.append(1)).send(records())
    assert len(heartbeats) == 2


@given(st.lists(st.integers(1, 12)), st.integers(1, 4))
def test_requests_keep_the_order_and_stay_within_the_limits(sizes, max_records):
    sent = [Record(str(n), bytes(size), n, 1) for n, size in enumerate(sizes)]
    requests = list(
        split_requests(sent, Limits(max_records, 10, 10), lambda record: len(record.data))
    )
    assert [record for request in requests for record in request] == sent
    for request in requests:
        assert len(request) <= max_records
        assert len(request) == 1 or sum(len(record.data) for record in request) <= 10
