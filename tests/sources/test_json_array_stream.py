"""Splitting JSON arrays gives the same elements for all piece sizes."""

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
    elements: list[bytes] = []
    for at in range(0, len(text), size):
        elements.extend(array.feed(text[at : at + size]))
    array.finish()
    return elements


@given(st.lists(VALUES, max_size=5), STYLES, st.integers(1, 50))
def test_the_elements_do_not_depend_on_the_piece_size(values, style, size):
    text = json.dumps(values, **style).encode()
    assert [json.loads(element) for element in split(text, size)] == values


@given(st.text(alphabet='[]{},"\\ a\n', max_size=30).map(str.encode), st.integers(1, 9))
def test_invalid_json_gives_the_same_result_for_all_piece_sizes(text, size):
    def outcome(size):
        try:
            return split(b"[" + text, size)
        except JsonArrayError as error:
            return str(error)

    assert outcome(size) == outcome(1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is empty"),
        (b' {"uuid": "u"}', "it is not a JSON array"),
        (b"null", "it is not a JSON array"),
        (b'[{"a": 1}', "its JSON array is incomplete"),
        (b'[{"a": "]', "its JSON array is incomplete"),
        (b"[1] 2", "it has other data after the JSON array"),
        (b"[1}", "its JSON array ends with a brace"),
    ],
)
def test_an_invalid_or_incomplete_array_is_an_error(text, message):
    with pytest.raises(JsonArrayError) as error:
        split(text)
    assert str(error.value) == message


def test_the_elements_before_the_corruption_are_yielded():
    array = ArraySplitter()
    assert list(array.feed(b'[{"a":1},{"b":2},{"c"')) == [b'{"a":1}', b'{"b":2}']
    with pytest.raises(JsonArrayError):
        array.finish()


@pytest.mark.parametrize("filling", [b"x", b'\\"', b"\\\\", b"{", b"["])
def test_memory_is_bounded_by_the_longest_element(filling):
    """Memory per character of a 2 MB string is the same for all characters."""
    element = b'{"a":"' + filling * (2_000_000 // len(filling)) + b'"}'
    text = b"[" + b",".join([element] * 4) + b"]"
    array = ArraySplitter()
    tracemalloc.start()
    try:
        for at in range(0, len(text), 100_000):
            assert all(part == element for part in array.feed(text[at : at + 100_000]))
        assert tracemalloc.get_traced_memory()[1] < 7_000_000
    finally:
        tracemalloc.stop()
    array.finish()


def test_deeply_nested_arrays_are_elements_like_others():
    deep = b"[" * 100_000 + b"]" * 100_000
    assert split(b"[" + deep + b',{"a":{"b":[1,2]}}]', 5000) == [deep, b'{"a":{"b":[1,2]}}']
