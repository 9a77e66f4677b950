"""Publication of rows to one stream, and which rows are settled after a failure."""

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
    """Accepts all records, but fails at the requests with the given numbers."""

    def __init__(self, fails=()):
        self.fails, self.requests, self.accepted = set(fails), 0, []

    def put(self, records):
        self.requests += 1
        if self.requests in self.fails:
            raise InputError("no")
        self.accepted.append([json.loads(record.data) for record in records])
        return [""] * len(records)

    def rows(self):
        for record in (record for put in self.accepted for record in put):
            fields = record["Data"]
            yield from (
                [entry["Fields"] for entry in unpack(record)]
                if isinstance(fields, str)
                else [fields]
            )


def new_publisher(configured, service, clock=None, settled=0, counts=None):
    sender = Sender(configured, service, lambda _: None)
    envelope = Envelope(configured, "r")
    clock = clock or Clock()
    return Publisher(configured, sender, envelope, settled=settled, counts=counts, clock=clock)


@pytest.mark.parametrize("compress", [False, True])
def test_rows_wait_no_longer_than_the_maximum_age(compress):
    configured = stream(
        Compress=compress,
        Globber={"MaxSize": 990000, "MaxAge": "2s"},
        Batcher={"MaxSize": 990000, "MaxEntries": 500, "MaxAge": "3s"},
    )
    clock, service = Clock(), Service()
    publisher = new_publisher(configured, service, clock)
    publisher.add(0, "login", {"n": "0"})
    clock.now = 2.5  # the glob is complete, and now waits in the batch
    publisher.add(1, "login", SkipReason.FILTERED)
    assert (service.requests, publisher.settled) == (0, 0)
    clock.now = 5.5
    publisher.add(2, "login", {"n": "2"})
    assert list(service.rows()) == [{"n": "0"}]
    assert publisher.settled == 1


def test_skipped_rows_are_settled_with_the_row_after_them():
    publisher = new_publisher(
        stream(Batcher={"MaxSize": 1, "MaxEntries": 1, "MaxAge": "1s"}), Service()
    )
    publisher.add(0, "login", SkipReason.OUTSIDE)
    publisher.add(1, "login", {"n": "1"})
    publisher.add(2, "login", SkipReason.EMPTY)
    publisher.add(3, "login", {"n": "3"})
    counts = publisher.counts
    assert (publisher.settled, counts.rows, counts.outside, counts.empty, counts.published) == (
        2,
        2,
        1,
        0,
        1,
    )
    publisher.flush(4)
    assert (publisher.settled, publisher.counts.rows, publisher.counts.empty) == (4, 4, 1)


def test_requests_stay_within_the_limits_of_the_service():
    configured = stream(Batcher={"MaxSize": 10**9, "MaxEntries": -1, "MaxAge": "1h"})
    service = Service()
    publisher = new_publisher(configured, service)
    for row in range(1200):
        publisher.add(row, "login", {"n": str(row)})
    publisher.flush(1200)
    assert [len(put) for put in service.accepted] == [500, 500, 200]


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
def test_each_row_is_published_and_counted_once_whatever_fails(given_rows, configured, fails):
    """A new publisher resumes after the settled rows, as a retried task does."""
    service = Service(fails)
    settled, counts = 0, None
    while True:
        publisher = new_publisher(configured, service, settled=settled, counts=counts)
        try:
            for row in range(settled, len(given_rows)):
                publisher.add(row, "login", given_rows[row])
            publisher.flush(len(given_rows))
            break
        except InputError:
            settled, counts = publisher.settled, publisher.counts
            assert counts.balances
            assert counts.rows == settled
    assert list(service.rows()) == [row for row in given_rows if isinstance(row, dict)]
    assert publisher.counts.balances
    assert (publisher.counts.rows, publisher.counts.repeated) == (len(given_rows), 0)
