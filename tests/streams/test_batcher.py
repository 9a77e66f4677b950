"""Entries gathered by size, number and age."""

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.streams.batcher import Batcher


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def gatherer(max_size=10, max_age=5, clock=None, **more):
    return Batcher(max_size, max_age, clock=clock or Clock(), **more)


def test_an_entry_that_would_make_the_rest_too_large_waits_for_the_next():
    some = gatherer()
    assert some.add("a", 6) == []
    assert some.add("b", 4) == []
    assert some.add("c", 1) == ["a", "b"]
    assert some.take() == ["c"]


def test_what_stands_before_each_entry_counts():
    """A glob of two entries of 4 bytes has two brackets' and commas' worth before them."""
    some = gatherer(overhead=1)
    some.add("a", 4)
    assert some.add("b", 5) == []
    assert gatherer(overhead=1).add("a", 4) == []
    some = gatherer(overhead=1)
    some.add("a", 4)
    assert some.add("b", 6) == ["a"]


def test_an_entry_that_is_too_large_goes_alone():
    some = gatherer()
    some.add("a", 1)
    assert some.add("large", 11) == ["a"]
    assert some.add("b", 1) == ["large"]


def test_entries_are_counted():
    some = gatherer(max_entries=2)
    assert [some.add(each, 1) for each in "abc"] == [[], [], ["a", "b"]]


def test_the_oldest_entry_waits_no_longer_than_its_time():
    clock = Clock()
    some = gatherer(clock=clock)
    assert some.take_old() == []
    some.add("a", 1)
    clock.now = 4.9
    some.add("b", 1)
    assert some.take_old() == []
    clock.now = 5
    assert some.take_old() == ["a", "b"]
    some.add("c", 1)
    clock.now = 9.9
    assert some.take_old() == []


@given(st.lists(st.integers(0, 12)), st.integers(1, 4))
def test_nothing_is_lost_and_no_bound_is_passed(sizes, most):
    some = gatherer(max_entries=most)
    parts = [some.add((number, size), size) for number, size in enumerate(sizes)]
    parts = [part for part in [*parts, some.take()] if part]
    assert [each for part in parts for each in part] == list(enumerate(sizes))
    for part in parts:
        assert len(part) <= most
        assert len(part) == 1 or sum(size for _, size in part) <= 10
