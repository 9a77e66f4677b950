"""Audit counts: the lines read equal the sum of the counts, or the run fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InternalError
from spade_spark.runs.audit_counts import AuditCounts, total
from spade_spark.streams.counts import StreamCounts
from spade_spark.transform.edge_type_audit import EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome

counts = st.dictionaries(
    st.sampled_from(["", "login", "chat"]),
    st.dictionaries(st.sampled_from(Outcome), st.integers(0, 1000)),
)
audit_counts = st.builds(AuditCounts, *[st.integers(0, 1000)] * 7, counts)


@given(st.lists(audit_counts, max_size=5))
def test_a_total_is_the_sum_of_its_parts(parts):
    sums = total(parts)
    assert sums.lines == sum(part.lines for part in parts)
    assert sums.event_count == sum(part.event_count for part in parts)
    assert sums.rows("login") == sum(part.rows("login") for part in parts)


def test_counts_by_name_are_added_by_name_in_the_order_of_the_left():
    internal = EdgeTypeCounts("internal", 3, 1, 1)
    left = AuditCounts(edge_types={"b": internal}, streams={"s": StreamCounts(rows=1)}, repeated=1)
    right = AuditCounts(edge_types={"a": EdgeTypeCounts(events=1), "b": internal}, repeated=2)
    sums = left + right
    assert list(sums.edge_types.items()) == [
        ("b", EdgeTypeCounts("internal", 6, 2, 2)),
        ("a", EdgeTypeCounts(events=1)),
    ]
    assert (sums.streams, sums.repeated) == ({"s": StreamCounts(rows=1)}, 3)


BALANCED = AuditCounts(
    objects=1,
    lines=10,
    undecodable=1,
    filtered=2,
    records=7,
    events={
        "login": {Outcome.SUCCESS: 3, Outcome.SKIPPED_COLUMNS: 1, Outcome.EMPTY_REQUEST: 1},
        "": {Outcome.MALFORMED: 2},
    },
)


def test_counts_that_balance_pass():
    BALANCED.check({"login": 4}, "partition 1")


@pytest.mark.parametrize("written", [{"login": 3}, {"login": 5}, {}, {"login": 4, "chat": 1}])
def test_rows_that_are_missing_or_too_many_in_the_files_fail_the_run(written):
    with pytest.raises(InternalError, match="partition 1: the audit counts do not balance"):
        BALANCED.check(written, "partition 1")


def test_a_line_that_was_not_counted_fails_the_run():
    lost = BALANCED + AuditCounts(lines=1)
    with pytest.raises(InternalError, match="11 lines read, but 1 undecodable"):
        lost.check({"login": 4}, "partition 1")


def test_published_rows_are_added_by_stream():
    left = AuditCounts(streams={"a": StreamCounts(rows=3, published=3), "b": StreamCounts(rows=1)})
    right = AuditCounts(streams={"a": StreamCounts(rows=2, filtered=2), "c": StreamCounts(rows=5)})
    assert (left + right).streams == {
        "a": StreamCounts(rows=5, published=3, filtered=2),
        "b": StreamCounts(rows=1),
        "c": StreamCounts(rows=5),
    }


@pytest.mark.parametrize("end", ["outside", "filtered", "empty", "published", "dropped"])
def test_a_row_that_no_stream_accounts_for_fails_the_run(end):
    balanced = AuditCounts(streams={"stream/views": StreamCounts(**{"rows": 4, end: 4})})
    balanced.check({}, "here")
    with pytest.raises(InternalError, match="5 rows for stream/views"):
        (balanced + AuditCounts(streams={"stream/views": StreamCounts(rows=1)})).check({}, "here")
