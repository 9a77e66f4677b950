"""The JSON lines of untracked events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.json import decode_utf8_lossless
from spade_spark.transform.untracked import untracked_line


@pytest.mark.parametrize(
    ("properties", "written"),
    [
        ("", "null"),
        ('{ "b" : 1.0 ,\n\t"a" : [ 1E5 , -0 ] , "a":2 }', '{"b":1.0,"a":[1E5,-0],"a":2}'),
        (r'{"a b" : " \" : , \\" , "c":"\u0041\/" }', r'{"a b":" \" : , \\","c":"\u0041\/"}'),
        ('{"<&>":"\u2028\u2029"}', r'{"\u003c\u0026\u003e":"\u2028\u2029"}'),
    ],
)
def test_properties_keep_their_encoding_except_white_space_and_html(properties, written):
    assert untracked_line("e", properties) == f'{{"event":"e","properties":{written}}}'


def test_names_have_the_escapes_of_go():
    name = 'a"\\\n\r\t\b\x1f\x7f<é\u2028'
    written = r"a\"\\\n\r\t\u0008\u001f" + "\x7f" + r"\u003cé\u2028"
    assert untracked_line(name, "{}") == f'{{"event":"{written}","properties":{{}}}}'


def test_each_invalid_byte_becomes_one_replacement_character():
    assert '"\ufffd\ufffda"' in untracked_line("e", decode_utf8_lossless(b'["\xe2\x82a"]'))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.text(st.characters(exclude_categories=["Cs"])), JSON, st.sampled_from([None, 2, "\t"]))
def test_a_line_is_the_same_json_for_any_white_space(name, properties, indent):
    encoded = json.dumps(properties, indent=indent)
    line = untracked_line(name, encoded)
    assert "\n" not in line
    assert line == untracked_line(name, json.dumps(properties, separators=(",", ":")))
    assert json.loads(line) == {"event": name, "properties": properties}
