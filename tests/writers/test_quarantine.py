"""The quarantine: a raw line goes in and comes out the same, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import InputError
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.output_buffer import QuarantinedLine
from spade_spark.writers.quarantine import decode, encode


def kept(line, error="x"):
    return QuarantinedLine(line, Outcome.FAILED, error, "u", "e")


@given(st.binary().filter(lambda line: b"\n" not in line), st.text(st.characters(codec="utf-8")))
def test_every_line_comes_back_byte_for_byte(line, error):
    written = encode(kept(line, error), "k", 3)
    assert written.count(b"\n") == 1
    assert decode(written, "q").edge_line == line
    assert decode(written, "q").error == error


def test_a_kept_line_can_be_read_by_people():
    assert json.loads(encode(kept(b'{"uuid":"u"}'), "k", 3)) == {
        "reason": "failed",
        "error": "x",
        "object": "k",
        "line": 3,
        "uuid": "u",
        "event": "e",
        "raw": '{"uuid":"u"}',
    }


def test_another_file_is_named():
    with pytest.raises(InputError, match="q is not a quarantine file of spade-spark"):
        decode(b"{}", "q")
