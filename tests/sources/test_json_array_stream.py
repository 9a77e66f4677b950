"""A JSON array in pieces: its elements are those that a JSON reader sees, however it is cut."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.sources.json_array_stream import ArraySplitter, JsonArrayError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
STYLES = st.sampled_from([{"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])


def split(text, size=1 << 20):
    array = ArraySplitter()
    found: list[bytes] = []
    for at in range(0, len(text), size):
        found.extend(array.feed(text[at : at + size]))
    array.finish()
    return found


@given(st.lists(VALUES, max_size=5), STYLES, st.integers(1, 50))
def test_the_elements_are_those_of_the_array_however_it_is_cut(values, style, size):
    text = json.dumps(values, **style).encode()
    assert [json.loads(element) for element in split(text, size)] == values


@given(st.text(alphabet='[]{},"\\ a\n', max_size=30).map(str.encode), st.integers(1, 9))
def test_what_is_no_json_is_split_in_the_same_way_however_it_is_cut(text, size):
    """Pieces of any size give the same elements, or the same refusal, as the whole at once."""

    def outcome(size):
        try:
            return split(b"[" + text, size)
        except JsonArrayError as error:
            return str(error)

    assert outcome(size) == outcome(1000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b' {"uuid": "u"}', "it holds no JSON array"),
        (b"null", "it holds no JSON array"),
        (b'[{"a": 1}', "its JSON array does not end"),
        (b'[{"a": "]', "its JSON array does not end"),
        (b"[1] 2", "something stands behind its JSON array"),
        (b"[1}", "a brace closes its JSON array"),
    ],
)
def test_what_is_no_whole_array_is_refused(text, why):
    with pytest.raises(JsonArrayError) as refusal:
        split(text)
    assert str(refusal.value) == why


def test_the_elements_before_the_damage_are_handed_out():
    array = ArraySplitter()
    assert list(array.feed(b'[{"a":1},{"b":2},{"c"')) == [b'{"a":1}', b'{"b":2}']
    with pytest.raises(JsonArrayError):
        array.finish()


@pytest.mark.parametrize("filling", [b"x", b'\\"', b"\\\\", b"{", b"["])
def test_memory_is_bounded_by_the_longest_element(filling):
    """Whatever a string of 2 MB is full of, nothing is kept for each of its characters."""
    element = b'{"a":"' + filling * (2_000_000 // len(filling)) + b'"}'
    text = b"[" + b",".join([element] * 4) + b"]"
    array = ArraySplitter()
    tracemalloc.start()
    try:
        for at in range(0, len(text), 100_000):
            assert all(found == element for found in array.feed(text[at : at + 100_000]))
        assert tracemalloc.get_traced_memory()[1] < 7_000_000
    finally:
        tracemalloc.stop()
    array.finish()


def test_deep_nesting_is_data():
    deep = b"[" * 100_000 + b"]" * 100_000
    assert split(b"[" + deep + b',{"a":{"b":[1,2]}}]', 5000) == [deep, b'{"a":{"b":[1,2]}}']
