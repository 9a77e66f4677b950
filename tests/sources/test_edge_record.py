"""The rules for edge records, payloads and events."""

from __future__ import annotations

import base64
import json
import re
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.sources.edge_record import (
    YEAR_ONE,
    EdgeRecord,
    Event,
    MalformedPayloadError,
    UndecodableLineError,
    decode_payload,
    read_events,
    read_record,
)


def record_line(**members):
    return json.dumps(members).encode()


def encoded(payload: bytes | str) -> str:
    data = payload.encode() if isinstance(payload, str) else payload
    return base64.b64encode(data).decode()


def test_all_fields_of_a_record_are_read():
    line = record_line(
        receivedAt="2018-06-15T12:00:00.75-07:00",
        clientIp="2001:DB8::0001",
        xForwardedFor="unused",
        uuid="u",
        data="d",
        userAgent="agent",
        recordversion=4,
        edgeType="external",
    )
    assert read_record(line) == EdgeRecord(1529089200, "2001:db8::1", "u", "d", "agent", "external")


@pytest.mark.parametrize("line", [b"{}", b"null", b' \t{ "other" : [ {} ] }\r'])
def test_missing_fields_have_their_zero_value(line):
    assert read_record(line) == EdgeRecord(received_at=YEAR_ONE)


@pytest.mark.parametrize(
    "line",
    [b"", b"  ", b"[]", b"7", b'"text"', b"true", b"{}{}", b"{,}", b'{"a":1,}', b"\xef\xbb\xbf{}"],
)
def test_a_line_that_is_not_an_object_is_undecodable(line):
    with pytest.raises(UndecodableLineError):
        read_record(line)


@pytest.mark.parametrize("name", ["UUID", "uuid", "Uuid", r"\u0075uid"])
def test_names_match_in_any_case_and_with_escapes(name):
    assert read_record(f'{{"{name}":"x"}}'.encode()).uuid == "x"


def test_names_match_non_ascii_letters_only_if_they_fold_to_ascii():
    assert read_record('{"u\u017ferAgent":"x"}'.encode()).user_agent == "x"
    assert read_record('{"uu\u0131d":"x"}'.encode()).uuid == ""


def test_the_last_duplicate_wins_and_a_null_changes_nothing():
    assert read_record(b'{"uuid":"a","UUID":"b","uuid":null}').uuid == "b"


def test_a_null_clears_the_address():
    assert read_record(b'{"clientIp":"192.0.2.1","clientIp":null}').client_ip == ""


@pytest.mark.parametrize(
    "member",
    [
        '"uuid":1',
        '"uuid":1,"uuid":"x"',
        '"data":[]',
        '"userAgent":{}',
        '"edgeType":true',
        '"xForwardedFor":0',
        '"recordversion":"4"',
        '"recordversion":4.0',
        '"recordversion":4e0',
        '"recordversion":9223372036854775808',
        '"clientIp":7',
        '"clientIp":"x","clientIp":"192.0.2.1"',
        '"receivedAt":1529089200',
        r'"receivedAt":"2018-06-15T12:00:00\u005a"',
    ],
)
def test_a_member_of_the_wrong_type_makes_the_record_undecodable(member):
    with pytest.raises(UndecodableLineError):
        read_record(f"{{{member}}}".encode())


def test_each_invalid_utf8_byte_becomes_one_replacement_character():
    line = b'{"uuid":"a\xff\xe2\x82b\xed\xa0\x80\\ud800"}'
    assert read_record(line).uuid == "a\ufffd\ufffd\ufffdb\ufffd\ufffd\ufffd\ufffd"


def test_invalid_utf8_outside_a_string_makes_the_record_undecodable():
    with pytest.raises(UndecodableLineError):
        read_record(b'{"uuid":"a"\xff}')


def test_the_first_space_hyphen_or_underscore_determines_the_base64_alphabet():
    payload = b"\xfb\xff\xbe~"  # +/++fg==
    assert decode_payload("+/++fg==") == payload
    assert decode_payload(" /  fg==") == payload
    assert decode_payload("-_--fg==") == payload
    assert decode_payload("%2B%2f%2b%2Bfg%3D%3d") == payload
    for mixed in ["-/--fg==", " /-- fg=", "%2B/+ fg=="]:
        with pytest.raises(MalformedPayloadError):
            decode_payload(mixed)


@pytest.mark.parametrize("data", ["Zg=\n=", "\rZ\ng==", "%0AZg==%0d", "Zg==\r\n"])
def test_line_breaks_in_a_payload_are_ignored(data):
    assert decode_payload(data) == b"f"


@pytest.mark.parametrize(
    "data", ["Zg", "Zg=", "Zg===", "Zg==Zg==", "=", "====", "Z", "Z===", "Zg==\t", "Zé==", "Zg==\0"]
)
def test_a_payload_that_is_not_base64_is_malformed(data):
    with pytest.raises(MalformedPayloadError):
        decode_payload(data)


@pytest.mark.parametrize("data", ["%", "Zg==%", "Zg==%3", "%g0", "%+1", "% 1", "%\u00b21"])
def test_a_malformed_percent_escape_makes_a_payload_malformed(data):
    with pytest.raises(MalformedPayloadError):
        decode_payload(data)


def test_unused_bits_of_the_last_digit_are_ignored():
    assert decode_payload("Zh==") == decode_payload("Zg==")


def naive_decode(data: str) -> bytes | None:
    """Decode percent-encoding and base64 digit by digit; None if malformed."""
    text = bytearray()
    source = data.encode()
    while source:
        if source[:1] == b"%":
            if not re.fullmatch(rb"[0-9a-fA-F]{2}", source[1:3]):
                return None
            text.append(int(source[1:3], 16))
            source = source[3:]
        else:
            text += b" " if source[:1] == b"+" else source[:1]
            source = source[1:]
    characters = [chr(code) for code in text if code not in b"\r\n"]
    marker = next((char for char in characters if char in "-_ "), "")
    last_two = {"-": "-_", "_": "-_", " ": " /", "": "+/"}[marker]
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + last_two
    decoded = bytearray()
    while characters:
        quantum, characters = characters[:4], characters[4:]
        padding = quantum[2:].count("=") if not characters else 0
        digits = quantum[: 4 - padding]
        if len(quantum) < 4 or quantum[4 - padding :] != ["="] * padding:
            return None
        if any(char not in alphabet for char in digits):
            return None
        bits = 0
        for char in digits + ["A"] * padding:
            bits = bits << 6 | alphabet.index(char)
        decoded += bits.to_bytes(3, "big")[: 3 - padding]
    return bytes(decoded)


@given(
    st.one_of(
        st.text("ABZaz09+/-_ =%\r\n2Bb\u00e9", max_size=24),
        st.binary(max_size=24).map(lambda raw: base64.b64encode(raw).decode()),
        st.binary(max_size=24).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
        st.binary(max_size=9).map(
            lambda raw: "".join(f"%{byte:02X}" for byte in base64.b64encode(raw))
        ),
    )
)
def test_payloads_decode_as_in_a_naive_model(data):
    expected = naive_decode(data)
    if expected is None:
        with pytest.raises(MalformedPayloadError):
            decode_payload(data)
    else:
        assert decode_payload(data) == expected


def test_a_payload_is_one_event_or_a_list_of_events():
    one = '{"event":"a","properties":{"x":1.0}}'
    assert read_events(encoded(f" {one}\n")) == [Event("a", '{"x":1.0}')]
    assert read_events(encoded(f"[{one},null , {{}}] ")) == [
        Event("a", '{"x":1.0}'),
        Event(),
        Event(),
    ]
    assert read_events(encoded("null")) == [Event()]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "[]",
        ' [{"event":"a"}]',
        '[ {"event":"a"}]',
        "[{},1]",
        "[{},[]]",
        "5",
        '"text"',
        '{"event":5}',
        '{"event":5,"event":"a"}',
        '{"event":"a"}x',
        '{"event":"a","properties":{"x":NaN}}',
        '{"event":"a","properties":{"x":01}}',
        '{"event":"a","properties":{"x":"\t"}}',
        '{"event":"a","properties":{"x":"\\u00g0"}}',
        "{'event':'a'}",
        "\ufeff{}",
    ],
)
def test_a_payload_that_is_not_an_event_is_malformed(payload):
    with pytest.raises(MalformedPayloadError):
        read_events(encoded(payload))


def test_the_last_duplicate_member_of_an_event_wins_and_a_null_name_is_ignored():
    payload = '{"event":"a","properties":1,"Event":"b","PROPERTIES":null,"event":null}'
    assert read_events(encoded(payload)) == [Event("b", "null")]


def test_unknown_members_of_an_event_are_ignored():
    payload = '{"uuid":7,"event":"a","Failure":{"x":[]},"time":"noon","properties":{}}'
    assert read_events(encoded(payload)) == [Event("a", "{}")]


@pytest.mark.parametrize(("depth", "valid"), [(9_999, True), (10_000, False), (500_000, False)])
def test_nesting_is_limited_and_does_not_exhaust_the_stack(depth, valid):
    payload = encoded('{"event":"a","properties":' + "[" * depth + "]" * depth + "}")
    if valid:
        assert read_events(payload)[0].name == "a"
    else:
        with pytest.raises(MalformedPayloadError):
            read_events(payload)


ALMOST_JSON = st.text('{}[]:,"\\ \n0123456789.-+eEtruefalsnd/u\u00e9\u2028', max_size=30)


@given(ALMOST_JSON | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\u00e9"), inner),
    max_leaves=12,
).map(json.dumps))  # fmt: skip
def test_the_reader_accepts_the_same_json_as_a_strict_parser(text):
    """Compare with the standard library, without its NaN and Infinity."""
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False
    line = f'{{"extra":{text}}}'.encode()
    if valid:
        assert read_record(line) == EdgeRecord()
    else:
        # The text may close the object early, so that the line is still valid.
        try:
            json.loads(line, parse_constant=lambda _: 1 / 0)
        except (ValueError, ZeroDivisionError):
            with pytest.raises(UndecodableLineError):
                read_record(line)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_undecodable(line):
    with suppress(UndecodableLineError):
        assert isinstance(read_record(line), EdgeRecord)
