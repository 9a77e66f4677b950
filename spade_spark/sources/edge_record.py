"""From a line of the edge's log to an edge record, and from its payload to events.

The rules are Go's ``encoding/json`` reading into a struct, since that is how the edge's records
have always been read: names match in any case, a later duplicate wins, a null leaves a member as
it was, and a member of the wrong type spoils the whole.
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
"""Unix seconds of 0001-01-01T00:00:00Z, the time of a record that has none."""


class UndecodableLineError(ValueError):
    """A line that is no edge record."""


class MalformedPayloadError(ValueError):
    """A record whose payload is no event and no list of events."""


@dataclass(frozen=True, slots=True)
class EdgeRecord:
    """What the transform takes from an edge record.

    Attributes:
        received_at: Whole Unix seconds.
        client_ip: The address in canonical text, or the empty text.
        uuid: The request's id.
        data: The payload as it was sent, still encoded.
        user_agent: May be empty.
        edge_type: ``internal`` or ``external``, unchecked.
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
        name: The event's name; empty where it has none.
        properties: The properties as they are spelt (JSON of any type); empty where missing.
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

# An alphabet: the digits that may occur, and how they become those of the standard one.
_STANDARD: Final = (re.compile(rb"[A-Za-z0-9+/]*"), None)
_SPACED: Final = (re.compile(rb"[A-Za-z0-9 /]*"), bytes.maketrans(b" ", b"+"))
_URL_SAFE: Final = (re.compile(rb"[A-Za-z0-9_-]*"), bytes.maketrans(b"-_", b"+/"))
_ALPHABET_CLUE = re.compile(rb"[-_ ]")


def read_record(line: bytes) -> EdgeRecord:
    """The edge record that ``line`` is (without its line end).

    Raises:
        UndecodableLineError: It is none.
    """
    text = json.decode_utf8_lossless(line)
    fields: dict[str, str | int] = {}
    try:
        whole = json.read(text)
        if whole is None:
            return EdgeRecord()
        if not isinstance(whole, JsonObject):
            raise UndecodableLineError("the line is no JSON object")
        for name, item in whole:
            _read_field(fields, json.casefold_ascii(name), item, text)
    except ValueError as error:
        raise UndecodableLineError(str(error)) from None
    return EdgeRecord(**fields)  # type: ignore[arg-type] # each by its type below


def _read_field(fields: dict[str, str | int], name: str, item: JsonItem, text: str) -> None:
    """Takes one member of a record into ``fields``.

    Raises:
        ValueError: It has the wrong type or form.
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
        _string(name, value)  # it is not used, and must be one all the same
    elif name in _STRINGS:
        fields[_STRINGS[name]] = _string(name, value)


def _address(value: json.Value) -> str:
    if value is None or value == "":
        return ""
    return canonical_ip(_string("clientip", value))


def _string(name: str, value: json.Value) -> str:
    if not isinstance(value, str):
        raise UndecodableLineError(f"{name} is no string")
    return value


def _time(spelling: str) -> int:
    """The time is read as it is spelt: an escape in it, though legal JSON, is no time."""
    if spelling[0] != '"':
        raise UndecodableLineError("receivedAt is no string")
    return rfc3339_seconds(spelling[1:-1])


def _check_integer(value: json.Value) -> None:
    if not isinstance(value, Number):
        raise UndecodableLineError("recordversion is no integer")
    parse_integer(value.text, 64)


def read_events(data: str) -> list[Event]:
    """The events of a record's payload, in order.

    Raises:
        MalformedPayloadError: Wrongly encoded, no JSON, or an event of the wrong type.
    """
    return read_payload(decode_payload(data))


def read_payload(decoded: bytes) -> list[Event]:
    """The events of a payload that is decoded, in order.

    Raises:
        MalformedPayloadError: No JSON, or an event of the wrong type.
    """
    payload = json.decode_utf8_lossless(decoded)
    try:
        whole = json.read(payload)
        if isinstance(whole, JsonArray) and payload.startswith("[{"):
            return [_read_event(payload[item.start : item.end]) for item in whole]
        return [_event(whole, payload)]
    except JsonError as error:
        raise MalformedPayloadError(f"the payload is no JSON: {error}") from None


def _read_event(text: str) -> Event:
    return _event(json.read(text), text)


def _event(whole: JsonObject | JsonArray | json.Value, text: str) -> Event:
    """The event that ``text`` is, which has been read as ``whole``."""
    if whole is None:
        return Event()
    if not isinstance(whole, JsonObject):
        raise MalformedPayloadError("an event is no JSON object")
    name, properties = "", ""
    for key, member in whole:
        folded = json.casefold_ascii(key)
        if folded == "properties":
            properties = text[member.start : member.end]
        elif folded == "event" and member.value is not None:
            if not isinstance(member.value, str):
                raise MalformedPayloadError("an event's name is no string")
            name = member.value
    return Event(name, properties)


def decode_payload(data: str) -> bytes:
    """The bytes of a payload: percent-encoding undone, then base64.

    Raises:
        MalformedPayloadError: A bad escape, a character outside the alphabet, wrong padding.
    """
    encoded = _unescape(data.encode()).translate(None, b"\r\n")
    digits = encoded.rstrip(b"=")
    alphabet, to_standard = _alphabet(encoded)
    padding = len(encoded) - len(digits)
    if len(encoded) % 4 or padding > 2 or not alphabet.fullmatch(digits):  # noqa: PLR2004 - base64
        raise MalformedPayloadError("the payload is no base64")
    return binascii.a2b_base64(encoded.translate(to_standard))


def _alphabet(encoded: bytes) -> tuple[re.Pattern[bytes], bytes | None]:
    """The alphabet that ``encoded`` is written in, by the first character that tells."""
    clue = _ALPHABET_CLUE.search(encoded)
    if clue is None:
        return _STANDARD
    return _SPACED if clue[0] == b" " else _URL_SAFE


def _unescape(data: bytes) -> bytes:
    """Percent-encoding undone; a plus is a space, unless it was itself encoded."""
    spaced = data.replace(b"+", b" ")
    if _BAD_ESCAPE.search(spaced):
        raise MalformedPayloadError("a bad percent escape in the payload")
    return _ESCAPES.sub(_unescaped, spaced) if b"%" in spaced else spaced


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    return binascii.unhexlify(escapes[0].translate(None, b"%"))
