"""The quarantine preserves raw lines byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InputError
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.output import QuarantinedLine
from spade_spark.writers.quarantine import decode, encode


def quarantined(line, error="x"):
    return QuarantinedLine(line, Outcome.FAILED, error, "u", "e")


@given(st.binary().filter(lambda line: b"\n" not in line), st.text(st.characters(codec="utf-8")))
def test_a_line_is_decoded_byte_for_byte(line, error):
    encoded = encode(quarantined(line, error), "k", 3)
    assert encoded.count(b"\n") == 1
    assert decode(encoded, "q").edge_line == line
    assert decode(encoded, "q").error == error


def test_the_json_has_the_line_as_text():
    assert json.loads(encode(quarantined(b'{"uuid":"u"}'), "k", 3)) == {
        "reason": "failed",
        "error": "x",
        "object": "k",
        "line": 3,
        "uuid": "u",
        "event": "e",
        "raw": '{"uuid":"u"}',
    }


def test_another_file_is_an_error_with_its_name():
    with pytest.raises(InputError, match="q is not a quarantine file of spade-spark"):
        decode(b"{}", "q")
