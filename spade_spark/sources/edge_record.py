"""Decodes a line of an edge log to an edge record, and its payload to events.

The rules are those of Go's ``encoding/json`` decoding into a struct, which the live processor uses:
names are case-insensitive, the last duplicate wins, a null leaves a field unchanged, and a value of
the wrong type is an error.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from spade_spark.gocompat import json
from spade_spark.gocompat.ip import canonical_ip
from spade_spark.gocompat.json import JsonArray, JsonError, JsonItem, JsonObject, Number
from spade_spark.gocompat.rfc3339 import rfc3339_seconds
from spade_spark.gocompat.strconv import parse_integer

YEAR_ONE: Final = -62_135_596_800
"""Unix seconds of 0001-01-01T00:00:00Z, the time of a record without ``receivedAt``."""


class UndecodableLineError(ValueError):
    """The line is not an edge record."""


class MalformedPayloadError(ValueError):
    """The payload of a record is neither an event nor a list of events."""


@dataclass(frozen=True, slots=True)
class EdgeRecord:
    """The fields of an edge record that the transform uses.

    Attributes:
        received_at: Unix time in whole seconds.
        client_ip: The address in its canonical form; may be empty.
        uuid: The id of the request.
        data: The encoded payload.
        user_agent: May be empty.
        edge_type: ``internal`` or ``external``; not validated.
    """

    received_at: int = YEAR_ONE
    client_ip: str = ""
    uuid: str = ""
    data: str = ""
    user_agent: str = ""
    edge_type: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a payload.

    Attributes:
        name: The name of the event; empty if missing.
        properties: The JSON text of the properties, of any type; empty if missing.
    """

    name: str = ""
    properties: str = ""


_STRINGS: Final = {
    "uuid": "uuid",
    "data": "data",
    "useragent": "user_agent",
    "edgetype": "edge_type",
}
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2}){1,1000}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# An alphabet: its characters, and their translation to the standard alphabet.
_STANDARD: Final = (re.compile(rb"[A-Za-z0-9+/]*"), None)
_SPACED: Final = (re.compile(rb"[A-Za-z0-9 /]*"), bytes.maketrans(b" ", b"+"))
_URL_SAFE: Final = (re.compile(rb"[A-Za-z0-9_-]*"), bytes.maketrans(b"-_", b"+/"))
_ALPHABET_MARKER = re.compile(rb"[-_ ]")


def read_record(line: bytes) -> EdgeRecord:
    """Decode a line, without its line terminator.

    Raises:
        UndecodableLineError: The line is not an edge record.
    """
    text = json.decode_utf8_lossless(line)
    fields: dict[str, str | int] = {}
    try:
        record = json.read(text)
        if record is None:
            return EdgeRecord()
        if not isinstance(record, JsonObject):
            raise UndecodableLineError("the line is not a JSON object")
        for name, item in record:
            _read_field(fields, json.casefold_ascii(name), item, text)
    except ValueError as error:
        raise UndecodableLineError(str(error)) from None
    return EdgeRecord(**fields)  # type: ignore[arg-type] # _read_field checks the types


def _read_field(fields: dict[str, str | int], name: str, item: JsonItem, text: str) -> None:
    """Decode one member of a record into ``fields``.

    Raises:
        ValueError: The value has the wrong type or format.
    """
    value = item.value
    if name == "clientip":
        fields["client_ip"] = _address(value)
    elif value is None:
        return
    elif name == "receivedat":
        fields["received_at"] = _time(text[item.start : item.end])
    elif name == "recordversion":
        _check_integer(value)
    elif name == "xforwardedfor":
        _string(name, value)  # unused, but its type is checked
    elif name in _STRINGS:
        fields[_STRINGS[name]] = _string(name, value)


def _address(value: json.Value) -> str:
    if value is None or value == "":
        return ""
    return canonical_ip(_string("clientip", value))


def _string(name: str, value: json.Value) -> str:
    if not isinstance(value, str):
        raise UndecodableLineError(f"{name} is not a string")
    return value


def _time(text: str) -> int:
    """Parse a time from its JSON text; reject escapes, as Go does."""
    if text[0] != '"':
        raise UndecodableLineError("receivedAt is not a string")
    return rfc3339_seconds(text[1:-1])


def _check_integer(value: json.Value) -> None:
    if not isinstance(value, Number):
        raise UndecodableLineError("recordversion is not an integer")
    parse_integer(value.text, 64)


def read_events(data: str) -> list[Event]:
    """Decode the events of an encoded payload, in order.

    Raises:
        MalformedPayloadError: The encoding or the JSON is invalid, or an event has a wrong type.
    """
    return read_payload(decode_payload(data))


def read_payload(decoded: bytes) -> list[Event]:
    """Decode the events of a decoded payload, in order.

    Raises:
        MalformedPayloadError: The JSON is invalid, or an event has a wrong type.
    """
    payload = json.decode_utf8_lossless(decoded)
    try:
        parsed = json.read(payload)
        if isinstance(parsed, JsonArray) and payload.startswith("[{"):
            return [_read_event(payload[item.start : item.end]) for item in parsed]
        return [_event(parsed, payload)]
    except JsonError as error:
        raise MalformedPayloadError(f"the payload is not valid JSON: {error}") from None


def _read_event(text: str) -> Event:
    return _event(json.read(text), text)


def _event(parsed: JsonObject | JsonArray | json.Value, text: str) -> Event:
    """Return the event of ``parsed``, the parsed JSON of ``text``."""
    if parsed is None:
        return Event()
    if not isinstance(parsed, JsonObject):
        raise MalformedPayloadError("an event is not a JSON object")
    name, properties = "", ""
    for key, member in parsed:
        folded = json.casefold_ascii(key)
        if folded == "properties":
            properties = text[member.start : member.end]
        elif folded == "event" and member.value is not None:
            if not isinstance(member.value, str):
                raise MalformedPayloadError("the name of an event is not a string")
            name = member.value
    return Event(name, properties)


def decode_payload(data: str) -> bytes:
    """Decode the percent-encoding of a payload, then its base64.

    Raises:
        MalformedPayloadError: An escape, a character or the padding is invalid.
    """
    encoded = _decode_percent(data.encode()).translate(None, b"\r\n")
    digits = encoded.rstrip(b"=")
    alphabet, to_standard = _alphabet(encoded)
    padding = len(encoded) - len(digits)
    if len(encoded) % 4 or padding > 2 or not alphabet.fullmatch(digits):  # noqa: PLR2004 - base64
        raise MalformedPayloadError("the payload is not valid base64")
    return binascii.a2b_base64(encoded.translate(to_standard))


def _alphabet(encoded: bytes) -> tuple[re.Pattern[bytes], bytes | None]:
    """Return the alphabet of ``encoded``; the first space, ``-`` or ``_`` determines it."""
    marker = _ALPHABET_MARKER.search(encoded)
    if marker is None:
        return _STANDARD
    return _SPACED if marker[0] == b" " else _URL_SAFE


def _decode_percent(data: bytes) -> bytes:
    """Decode percent-encoding. A plus sign is a space, unless it is percent-encoded itself."""
    spaced = data.replace(b"+", b" ")
    if _BAD_ESCAPE.search(spaced):
        raise MalformedPayloadError("the payload has an invalid percent escape")
    return _ESCAPES.sub(_decode_escapes, spaced) if b"%" in spaced else spaced


def _decode_escapes(escapes: re.Match[bytes]) -> bytes:
    return binascii.unhexlify(escapes[0].translate(None, b"%"))
