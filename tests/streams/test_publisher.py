"""One stream's rows in their order: what is settled, whatever goes wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InputError
from spade_spark.streams.envelope import Envelope
from spade_spark.streams.publisher import Publisher
from spade_spark.streams.routing import SkipReason
from spade_spark.streams.sender import Sender
from tests.streams.harness import stream, unpack
from tests.streams.test_batcher import Clock


class Service:
    """Takes everything, but for the requests that are to fail, of which it takes nothing."""

    def __init__(self, fails=()):
        self.fails, self.asked, self.taken = set(fails), 0, []

    def put(self, records):
        self.asked += 1
        if self.asked in self.fails:
            raise InputError("no")
        self.taken.append([json.loads(each.data) for each in records])
        return [""] * len(records)

    def rows(self):
        for record in (each for put in self.taken for each in put):
            fields = record["Data"]
            yield from (
                [each["Fields"] for each in unpack(record)] if isinstance(fields, str) else [fields]
            )


def publisher(configured, service, clock=None, settled=0, counts=None):
    sender = Sender(configured, service, lambda _: None)
    envelope = Envelope(configured, "r")
    clock = clock or Clock()
    return Publisher(configured, sender, envelope, settled=settled, counts=counts, clock=clock)


@pytest.mark.parametrize("compress", [False, True])
def test_rows_wait_no_longer_than_their_time(compress):
    configured = stream(
        Compress=compress,
        Globber={"MaxSize": 990000, "MaxAge": "2s"},
        Batcher={"MaxSize": 990000, "MaxEntries": 500, "MaxAge": "3s"},
    )
    clock, service = Clock(), Service()
    one = publisher(configured, service, clock)
    one.add(0, "login", {"n": "0"})
    clock.now = 2.5  # a glob is complete, and waits for its batch from now on
    one.add(1, "login", SkipReason.FILTERED)
    assert (service.asked, one.settled) == (0, 0)
    clock.now = 5.5
    one.add(2, "login", {"n": "2"})
    assert list(service.rows()) == [{"n": "0"}]
    assert one.settled == 1


def test_what_was_held_back_is_settled_with_what_comes_after_it():
    one = publisher(stream(Batcher={"MaxSize": 1, "MaxEntries": 1, "MaxAge": "1s"}), Service())
    one.add(0, "login", SkipReason.OUTSIDE)
    one.add(1, "login", {"n": "1"})
    one.add(2, "login", SkipReason.EMPTY)
    one.add(3, "login", {"n": "3"})
    counts = one.counts
    assert (one.settled, counts.rows, counts.outside, counts.empty, counts.published) == (
        2,
        2,
        1,
        0,
        1,
    )
    one.flush(4)
    assert (one.settled, one.counts.rows, one.counts.empty) == (4, 4, 1)


def test_requests_hold_no_more_than_the_service_takes():
    configured = stream(Batcher={"MaxSize": 10**9, "MaxEntries": -1, "MaxAge": "1h"})
    service = Service()
    one = publisher(configured, service)
    for row in range(1200):
        one.add(row, "login", {"n": str(row)})
    one.flush(1200)
    assert [len(put) for put in service.taken] == [500, 500, 200]


rows = st.lists(st.sampled_from([*SkipReason, {"n": "1"}, {"n": "12345678"}]), max_size=40)
sizes = st.integers(1, 200)
streams = st.builds(
    lambda compress, glob_size, batch_size, entries: stream(
        Compress=compress,
        Globber={"MaxSize": glob_size, "MaxAge": "1h"},
        Batcher={"MaxSize": batch_size, "MaxEntries": entries, "MaxAge": "1h"},
    ),
    st.booleans(),
    sizes,
    sizes,
    st.integers(1, 4),
)


@given(rows, streams, st.sets(st.integers(1, 12)))
def test_whatever_fails_each_row_is_published_once_and_counted_once(given_rows, configured, fails):
    """As a task that is tried again does: a new publisher goes on with what the last one knew."""
    service = Service(fails)
    settled, counts = 0, None
    while True:
        one = publisher(configured, service, settled=settled, counts=counts)
        try:
            for row in range(settled, len(given_rows)):
                one.add(row, "login", given_rows[row])
            one.flush(len(given_rows))
            break
        except InputError:
            settled, counts = one.settled, one.counts
            assert counts.balances
            assert counts.rows == settled
    assert list(service.rows()) == [row for row in given_rows if isinstance(row, dict)]
    assert one.counts.balances
    assert (one.counts.rows, one.counts.repeated) == (len(given_rows), 0)
