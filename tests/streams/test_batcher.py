"""Batches by size, number and age."""

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.streams.batcher import Batcher


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def new_batcher(max_size=10, max_age=5, clock=None, **more):
    return Batcher(max_size, max_age, clock=clock or Clock(), **more)


def test_an_item_that_would_exceed_the_size_starts_the_next_batch():
    batcher = new_batcher()
    assert batcher.add("a", 6) == []
    assert batcher.add("b", 4) == []
    assert batcher.add("c", 1) == ["a", "b"]
    assert batcher.flush() == ["c"]


def test_the_overhead_of_each_item_counts_towards_the_size():
    """A glob has a bracket or a comma before each entry."""
    batcher = new_batcher(overhead=1)
    batcher.add("a", 4)
    assert batcher.add("b", 5) == []
    assert new_batcher(overhead=1).add("a", 4) == []
    batcher = new_batcher(overhead=1)
    batcher.add("a", 4)
    assert batcher.add("b", 6) == ["a"]


def test_an_item_that_is_too_large_gets_its_own_batch():
    batcher = new_batcher()
    batcher.add("a", 1)
    assert batcher.add("large", 11) == ["a"]
    assert batcher.add("b", 1) == ["large"]


def test_the_number_of_items_is_limited():
    batcher = new_batcher(max_entries=2)
    assert [batcher.add(item, 1) for item in "abc"] == [[], [], ["a", "b"]]


def test_the_oldest_item_waits_no_longer_than_the_maximum_age():
    clock = Clock()
    batcher = new_batcher(clock=clock)
    assert batcher.flush_if_due() == []
    batcher.add("a", 1)
    clock.now = 4.9
    batcher.add("b", 1)
    assert batcher.flush_if_due() == []
    clock.now = 5
    assert batcher.flush_if_due() == ["a", "b"]
    batcher.add("c", 1)
    clock.now = 9.9
    assert batcher.flush_if_due() == []


@given(st.lists(st.integers(0, 12)), st.integers(1, 4))
def test_nothing_is_lost_and_no_limit_is_exceeded(sizes, max_entries):
    batcher = new_batcher(max_entries=max_entries)
    batches = [batcher.add((number, size), size) for number, size in enumerate(sizes)]
    batches = [batch for batch in [*batches, batcher.flush()] if batch]
    assert [item for batch in batches for item in batch] == list(enumerate(sizes))
    for batch in batches:
        assert len(batch) <= max_entries
        assert len(batch) == 1 or sum(size for _, size in batch) <= 10
