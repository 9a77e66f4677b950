"""The JSON reader: valid and invalid texts, values and positions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.json import (
    MAX_DEPTH,
    JsonArray,
    JsonContainer,
    JsonError,
    JsonItem,
    JsonObject,
    Number,
    casefold_ascii,
    decode_utf8_lossless,
    end_of_string,
    read,
)

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\u00e9"), inner),
    max_leaves=12,
)  # fmt: skip


def shallow(tree):
    """Return the value of a nested tree as the reader returns it."""
    if isinstance(tree, (list, dict)):
        return JsonContainer.ARRAY if isinstance(tree, list) else JsonContainer.OBJECT
    return tree if tree is None or isinstance(tree, (bool, str)) else Number(json.dumps(tree))


def test_members_are_in_order_with_their_positions():
    text = '{ "b" : 1.0 ,"a":[ {} ],"b":"\\u0041"}'
    assert read(text) == JsonObject(
        [
            ("b", JsonItem(Number("1.0"), 8, 11)),
            ("a", JsonItem(JsonContainer.ARRAY, 17, 23)),
            ("b", JsonItem("A", 28, 36)),
        ]
    )


def test_numbers_keep_their_text():
    numbers = ["-0", "1E+5", "1e400", "7" * 5000]
    elements = read("[" + ",".join(numbers) + "]")
    assert isinstance(elements, JsonArray)
    assert [item.value for item in elements] == [Number(text) for text in numbers]


@given(TREES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_json_is_read_one_level_deep(tree, indent, ascii_only):
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    result = read(text)
    if isinstance(tree, dict):
        assert isinstance(result, JsonObject)
        assert [(name, item.value) for name, item in result] == [
            (name, shallow(value)) for name, value in tree.items()
        ]
        assert [json.loads(text[item.start : item.end]) for _, item in result] == [*tree.values()]
    elif isinstance(tree, list):
        assert isinstance(result, JsonArray)
        assert [item.value for item in result] == [shallow(value) for value in tree]
    else:
        assert result == shallow(tree)


def is_valid_for_python(text):
    def reject(constant):
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=reject)
    except ValueError:
        return False
    return True


@given(
    st.lists(st.dictionaries(st.text("ab", min_size=1), TREES, max_size=9), min_size=1, max_size=3),
    st.sampled_from(["", *'"\\,:{}[]01e.-tn \x01a']),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 1),
)
def test_invalid_json_inside_a_nested_value_is_an_error(objects, char, position, replaced):
    text = json.dumps({"p": objects}, separators=(",", ":"))
    at = int(position * len(text))
    damaged = text[:at] + char + text[at + replaced :]
    if is_valid_for_python(damaged):
        read(damaged)
    else:
        with pytest.raises(JsonError):
            read(damaged)


def test_a_large_nested_object_is_validated_to_its_end():
    members = ",".join(f'"{number}":{number}' for number in range(1000))
    assert read(f'{{"p":{{{members}}}}}')
    with pytest.raises(JsonError, match="no member name"):
        read(f'{{"p":{{{members},}}}}')


@given(st.binary(max_size=30))
def test_each_invalid_byte_of_a_string_becomes_one_replacement_character(data):
    data = bytes(byte for byte in data if byte >= 0x20 and byte not in b'"\\')
    expected = data.decode("utf-8", "surrogateescape")
    expected = "".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in expected)
    assert read(decode_utf8_lossless(b'"' + data + b'"')) == expected


def test_surrogate_escapes_are_paired_or_replaced():
    assert read(r'"\ud83d\ude00 \ud83d\ud83d\ude00 \ude00\ud83d"') == "😀 \ufffd😀 \ufffd\ufffd"


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_the_nesting_depth_is_limited_without_recursion(brackets):
    opener = brackets[0] if brackets == "[]" else '{"a":'
    for depth, valid in [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)]:
        text = opener * (depth - 1) + brackets + brackets[1] * (depth - 1)
        if valid:
            assert read(text)
        else:
            with pytest.raises(JsonError, match="levels of nesting"):
                read(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "[", "{", "[1", '{"a"', '{"a":', '{"a":1', '["', '["\\', "[1,", "[{", "[[1", "-"],
)
def test_truncated_text_is_not_json(text):
    with pytest.raises(JsonError):
        read(text)


def test_the_end_of_a_string_is_after_its_closing_quote():
    assert end_of_string('["a\\"b"]', 1) == 7


def test_two_letters_outside_ascii_fold_to_ascii():
    assert casefold_ascii("\u017fpar\u212a") == "spark"
    assert casefold_ascii("\u0130") != "i"
