"""Records sent, refused, sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InputError, TransientError
from spade_spark.streams.envelope import Record
from spade_spark.streams.limits import Limits
from spade_spark.streams.sender import RequestFailedError, Sender, cut
from tests.streams.harness import stream

THROTTLE = "ProvisionedThroughputExceededException"


class Service:
    """A strict service that answers as it is told: a list of codes, or an error."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def put(self, records):
        self.asked.append([each.key for each in records])
        answer = self.answers.pop(0) if self.answers else [""] * len(records)
        if isinstance(answer, Exception):
            raise answer
        assert len(answer) == len(records)
        return answer


def records(names="abc", rows=1):
    return [Record(name, b"data", number, rows) for number, name in enumerate(names)]


def sender(service, **more):
    slept: list[float] = []
    made = Sender(stream(RetryDelay="300ms", **more), service, slept.append)
    return made, slept


def test_what_is_taken_is_counted_in_rows_and_records():
    one, _ = sender(Service())
    one.send(records(rows=10))
    counts = one.counts
    assert (counts.rows, counts.published, counts.records, counts.requests) == (30, 30, 3, 1)
    assert counts.balances


def test_only_what_was_refused_is_sent_again():
    service = Service(["", THROTTLE, "InternalFailure"], ["Odd", ""])
    one, slept = sender(service)
    one.send(records())
    assert service.asked == [["a", "b", "c"], ["b", "c"], ["b"]]
    assert slept == [0.3, 0.3]
    counts = one.counts
    assert (counts.throttled, counts.internal_errors, counts.other_errors) == (1, 1, 1)
    assert (counts.published, counts.dropped) == (3, 0)


@pytest.mark.parametrize("code", [THROTTLE, "ServiceUnavailable", "ServiceUnavailableException"])
def test_throttling_is_counted_apart(code):
    one, _ = sender(Service([code, "", ""]))
    one.send(records())
    assert (one.counts.throttled, one.counts.other_errors) == (1, 0)


def test_a_record_is_given_up_after_its_attempts():
    service = Service(*[[THROTTLE] * 2] * 3)
    one, slept = sender(service)
    one.send(records("ab", rows=5))
    assert len(service.asked) == 3
    assert len(slept) == 2
    assert (one.counts.rows, one.counts.published, one.counts.dropped) == (10, 0, 10)
    assert one.counts.balances


def test_a_record_that_is_too_large_does_not_stop_the_others():
    service = Service()
    one, _ = sender(service)
    large = Record("large", bytes(1024 * 1024), 3, 7)
    one.send([*records("ab"), large])
    assert service.asked == [["a", "b"]]
    assert (one.counts.published, one.counts.dropped) == (2, 7)


def test_a_request_that_fails_as_a_whole_is_an_attempt():
    service = Service(RequestFailedError("down", in_doubt=False), ["", THROTTLE, ""])
    one, _ = sender(service)
    one.send(records())
    counts = one.counts
    assert (counts.requests, counts.unanswered, counts.published, counts.repeated) == (3, 1, 3, 0)


def test_records_whose_answer_was_lost_may_be_repeated():
    one, _ = sender(Service(RequestFailedError("cut", in_doubt=True)))
    one.send(records(rows=2))
    assert (one.counts.published, one.counts.repeated) == (6, 6)


def test_where_nothing_is_answered_to_the_last_nothing_is_lost():
    """The rows are not settled, so that another try publishes them; what was taken is repeated."""
    down = RequestFailedError("down; run the same command again", in_doubt=False)
    one, _ = sender(Service(["", THROTTLE, THROTTLE], down, down))
    with pytest.raises(TransientError, match="run the same command again"):
        one.send(records(rows=2))
    counts = one.counts
    assert (counts.rows, counts.published, counts.dropped, counts.repeated) == (0, 0, 0, 2)


def test_what_would_be_refused_again_is_not_tried_again():
    service = Service(InputError("no such stream"))
    one, slept = sender(service)
    with pytest.raises(InputError):
        one.send(records())
    assert (len(service.asked), slept) == (1, [])


def test_a_sign_of_life_is_given_before_each_request():
    beats = []
    service = Service([THROTTLE, "", ""])
    Sender(stream(), service, lambda _: None, lambda: beats.append(1)).send(records())
    assert len(beats) == 2


@given(st.lists(st.integers(1, 12)), st.integers(1, 4))
def test_requests_hold_what_they_may_in_order(sizes, most):
    sent = [Record(str(n), bytes(size), n, 1) for n, size in enumerate(sizes)]
    parts = list(cut(sent, Limits(most, 10, 10), lambda record: len(record.data)))
    assert [each for part in parts for each in part] == sent
    for part in parts:
        assert len(part) <= most
        assert len(part) == 1 or sum(len(each.data) for each in part) <= 10
