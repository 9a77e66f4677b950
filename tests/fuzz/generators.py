"""Random tables and lines: regular, irregular and corrupt ones.

All functions have a ``random.Random`` as argument, so a seed reproduces their results.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from spade_spark.blueprint.schema import Column, Table
from spade_spark.lookups.base import GeoLocation, LookupStats
from spade_spark.transform.transformers.base import FieldType, TransformerSpec, ValueCodegen
from spade_spark.transform.transformers.registry import TRANSFORMERS

PROPERTIES = (
    *("time", "client_time", "ip", "user_agent", "login", "user_id", "n", "x", "Live", "class"),
    *("a b", "a_b", "\u017feparate", 'quo"te', "new\nline", "\ufffd", "_p", "1st", "Zo\u00eb"),
)
NAMES = ("play", "page_view", "Play", "caf\u00e9", "a/b", 'quo"te', "\ufffd", "x")
ADDRESSES = ("10.1.0.1", "10.1.0.2", "10.1.0.5", "192.168.1.9", "2001:db8::1", "2001:DB8:0::1")
LOGINS = ("bob", "zo\u00eb", "two words", " bob ", "nobody", "")

_TEXTS = (
    *("", "bob", "plain text", "42", "-7", "+5", "007", "4.5", "1e3", "nan", "0x1p4", "true"),
    *("caf\u00e9", "\u30b2\u30fc\u30e0", "\U0001f600", "\u00a0", "\u200b", "\u2028", "\U000e0001"),
    *('say "hi"', "back\\slash", "a\tb", "a\nb", "\x00", "\x00\x00", "\x07", "\x7f", '"\t"', "'"),
    *("10.1.0.1", "10.1.0.2", "2001:db8::1", "2017-11-03 10:00:00", "2017-11-03 10:00:00.5"),
    *("<b>", "a & b", "</script>", "9223372036854775807", "9223372036854775808", "None", "null"),
)
_NUMBERS = (
    *("0", "-0", "1", "42", "-7", "42.0", "4.2e1", "1e400", "-1e-400", "1e-299", "1E22", "0.1"),
    *("2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808"),
    *(
        "1509706800",
        "1509706800.1",
        "1509706800.123",
        "999999999.9",
        "13140000000",
        "13140000000.5",
    ),
    *("13140000001", "4611686018427387904", "4.611686018427388e18", "3.0", "1e16", "123456789.125"),
    *("0.30000000000000004", "5e-324", "1.7976931348623157e308", "9007199254740993", "1e15"),
    "1" * 400,
)
_TIMES = (
    *("2017-11-03T11:00:00Z", "2017-11-03T11:00:00.5Z", "2017-11-03T11:00:00.123456789Z"),
    *("2017-11-03T11:00:00+07:00", "2017-11-03T1:00:00Z", "2017-11-03T1:00:00.25Z", ""),
    *(
        "2017-11-03T11:00:60Z",
        "2017-11-03T11:00:00.Z",
        "2017-11-03T11:00:00",
        "0001-01-01T00:00:00Z",
    ),
    *(
        "2017-11-03T11:00:00Z5Z",
        "2017-11-03T11:00:00,5Z",
        "2500-01-01T00:00:00Z",
        "2017-11-03T11:00:00.\u0661Z",
    ),
    *("2017-11-03t11:00:00z", "2017-11-03T11:00:00.5ZZ", "2017-11-03T11:00:00.5Z5Z"),
)


@dataclass(frozen=True)
class FixedGeo:
    """A lookup of a few addresses, some of whose locations need escapes."""

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        """See :class:`~spade_spark.lookups.base.GeoLookup`."""
        locations = {
            "10.1.0.1": GeoLocation("San Francisco", "US", "CA", "AS64496 Example, Inc."),
            "10.1.0.2": GeoLocation("Z\u00fcrich", "CH", "ZH", "AS559"),
            "10.1.0.5": GeoLocation('a"b\\c\td', "X\n", " ", "ASX1 letters"),
            "2001:db8::1": GeoLocation("Six", "NL", "", "AS64512 Example"),
        }
        location = locations.get(address, GeoLocation())
        return location if asn else location._replace(asn="")


@dataclass(frozen=True)
class FixedUserIds:
    """A lookup of a few logins."""

    def user_id(self, login: str) -> int | None:
        """See :class:`~spade_spark.lookups.base.UserIdLookup`."""
        return {"bob": 5, "zo\u00eb": 900, "two words": 77}.get(login)

    def stats(self) -> LookupStats:
        """See :class:`~spade_spark.lookups.base.UserIdLookup`."""
        return LookupStats()


def tables(rng: Random) -> dict[str, Table]:
    """Return a few tables with random columns, some with conflicting types."""
    names = rng.sample(NAMES, rng.randint(1, 4))
    return {name: Table(name, rng.randrange(5), _columns(rng)) for name in names}


def _columns(rng: Random) -> tuple[Column, ...]:
    if rng.random() < 0.5:  # one column per property, as in real tables
        names = rng.sample(PROPERTIES, rng.randint(1, 8))
        return tuple(_column(rng, name, number) for number, name in enumerate(names))
    return tuple(_column(rng, rng.choice(PROPERTIES), n) for n in range(rng.randint(0, 12)))


def _column(rng: Random, inbound: str, number: int) -> Column:
    spec = rng.choice(TRANSFORMERS.specs)
    if inbound == "ip" and rng.random() < 0.8:
        spec = rng.choice([spec for spec in TRANSFORMERS.specs if spec.geo_field is not None])
    supporting: tuple[str, ...] = ()
    if isinstance(spec.codegen, ValueCodegen) and spec.codegen.supporting:
        supporting = rng.choice((("login",), ("login",), ("login",), (), ("login", "x"), ("ip",)))
    return Column(inbound, f"column {number}\n", spec.example_name, supporting=supporting)


def line(rng: Random, schema: dict[str, Table]) -> bytes:
    """Return a line without a line feed."""
    record = _record(rng, _payload(rng, schema))
    if rng.random() < 0.03:
        record = _add_member(rng, record)
    return _corrupt(rng, record) if rng.random() < 0.05 else record


def lines(rng: Random, schema: dict[str, Table], count: int) -> list[bytes]:
    """Return lines: all regular, almost all regular, or random."""
    regular_share = rng.choice((0.0, 0.95, 1.0))
    generated = (
        _regular_line(rng, schema) if rng.random() < regular_share else line(rng, schema)
        for _ in range(count)
    )
    return [part for text in generated for part in text.split(b"\n")]


def _regular_line(rng: Random, schema: dict[str, Table]) -> bytes:
    """Return a line of one event whose properties have the types of their columns."""
    table = rng.choice(list(schema.values()))
    properties = {
        column.inbound: _typed_value(rng, column.transformer)
        for column in table.columns
        if rng.random() < 0.9
    }
    payload = json.dumps({"event": table.name, "properties": properties}, ensure_ascii=False)
    record = {
        "receivedAt": rng.choice(_TIMES[:3]),
        "clientIp": rng.choice(ADDRESSES[:2]),
        "uuid": "e4bb-52af",
        "data": base64.b64encode(payload.encode("utf-8", "replace")).decode(),
        "userAgent": "curl/7",
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _typed_value(rng: Random, transformer: str) -> Any:
    """Return a value of the type that the transformer expects."""
    spec = TRANSFORMERS.spec(transformer)
    examples = [json.loads(example) for example in spec.examples]
    texts = ("", "text", "bob", "10.1.0.2", "caf\u00e9", "\ufffd", "\x7f")
    makers: dict[FieldType, Callable[[], Any]] = {
        FieldType.INT32: lambda: rng.randrange(-(2**31), 2**31),
        FieldType.INT64: lambda: rng.randrange(-(2**63), 2**63),
        FieldType.FLOAT: lambda: rng.choice((0.0, -0.0, 1e22, 5e-324, 100.0, 0.125, rng.random())),
        FieldType.BOOL: lambda: rng.random() < 0.5,
        FieldType.TIME: lambda: 1_509_706_800 + rng.randrange(10**6) / 1000,
        FieldType.TEXT: lambda: rng.choice(
            (*texts, *(example for example in examples if isinstance(example, str)))
        ),
    }
    return makers.get(_field_type(spec), lambda: rng.choice(examples))()


def _field_type(spec: TransformerSpec) -> FieldType:
    """Return how the fast path decodes a property of the type that the transformer expects."""
    if isinstance(spec.codegen, ValueCodegen):
        return spec.codegen.field
    return FieldType.TEXT if spec.codegen else FieldType.ANY


def _add_member(rng: Random, record: bytes) -> bytes:
    """Return the record with another member, whose name may be a duplicate."""
    name = rng.choice(("receivedAt", "clientIp", "uuid", "data", "edgeType"))
    value = rng.choice(("no time", "no address", *_TIMES, *ADDRESSES))
    member = json.dumps({name: value})[1:-1].encode()
    members = record[1:-1]
    return b"{%b}" % b",".join(rng.sample([member, members], 2))


def _record(rng: Random, payload: bytes) -> bytes:
    record: dict[str, Any] = {
        "receivedAt": _TIMES[2] if rng.random() < 0.8 else rng.choice(_TIMES),
        "clientIp": rng.choice(ADDRESSES),
        "xForwardedFor": "10.0.0.1",
        "uuid": "e4bb-52af",
        "data": _encode(rng, payload),
        "userAgent": rng.choice(("", "curl/7", "Mozilla/5.0 (X11)", 'odd "agent"', "caf\u00e9")),
        "recordversion": 4,
        "edgeType": "external",
    }
    if rng.random() < 0.15:
        _change_member(rng, record)
    return _dump(rng, record)


def _change_member(rng: Random, record: dict[str, Any]) -> None:
    key = rng.choice(list(record))
    match rng.randrange(5):
        case 0:
            del record[key]
        case 1:
            record[key] = rng.choice((None, "", "text", 4, 4.5, True, [], {}, -1, 2**40, "1.2.3.4"))
        case 2:
            record[key.upper()] = record.pop(key)
        case 3:
            record[rng.choice((key.title(), "extra"))] = rng.choice(("", 1, None, "YQ=="))
        case 4:
            record["clientIp"] = rng.choice(
                ("1.2.3.04", "::ffff:10.1.0.1", "1.2.3", "1.2.3.4%eth0")
            )


def _encode(rng: Random, payload: bytes) -> str:  # noqa: PLR0911 - one per encoding
    encoded = base64.b64encode(payload).decode()
    if rng.random() < 0.9:
        return encoded
    match rng.randrange(6):
        case 0:
            return base64.urlsafe_b64encode(payload).decode()
        case 1:
            return encoded.replace("=", "%3D").replace("+", "%2B")
        case 2:
            return encoded.replace("+", " ")
        case 3:
            return encoded[:8] + rng.choice(("\n", "\r\n", "%0A", " ")) + encoded[8:]
        case 4:
            return encoded.rstrip("=")
        case _:
            return encoded[: rng.randrange(len(encoded) + 1)] + rng.choice(
                ("", "=", "-", "%", "\u00e9")
            )


def _payload(rng: Random, schema: dict[str, Table]) -> bytes:
    payload = _valid_payload(rng, schema)
    return _corrupt(rng, payload) if rng.random() < 0.05 else payload


def _valid_payload(rng: Random, schema: dict[str, Table]) -> bytes:
    if rng.random() < 0.15:
        events = [_event(rng, schema) for _ in range(rng.randint(0, 4))]
        return b"[" + b",".join(events) + rng.choice((b"]", b"]", b"]", b",null]", b"] "))
    event = _event(rng, schema)
    return rng.choice((b"", b"", b"", b"", b" ", b"\xef\xbb\xbf", b"\n")) + event


def _event(rng: Random, schema: dict[str, Table]) -> bytes:
    name: Any = (
        rng.choice(list(schema)) if rng.random() < 0.85 else rng.choice((*NAMES, "", None, 5))
    )
    table = schema.get(name) if isinstance(name, str) else None
    event: list[tuple[str, bytes]] = [
        ("event", _dump(rng, name)),
        ("properties", _properties(rng, table)),
    ]
    if rng.random() < 0.1:
        match rng.randrange(5):
            case 0:
                event.pop(rng.randrange(2))
            case 1:
                event.append(
                    rng.choice((("uuid", b'"x"'), ("event", b'"play"'), ("EVENT", b'"x"')))
                )
            case 2:
                event.append(("propertie\u017f", rng.choice((b"{}", b"null", b"5"))))
            case 3:
                event[1] = ("properties", rng.choice((b"null", b"[]", b'"x"', b"7", b"{}", b"tru")))
            case 4:
                event.reverse()
    return _object(rng, event)


def _properties(rng: Random, table: Table | None) -> bytes:
    columns = [(column.inbound, column.transformer) for column in table.columns] if table else []
    columns += [
        (support, "varchar")
        for column in (table.columns if table else ())
        for support in column.supporting
    ]
    any_share = rng.choice((0.0, 0.0, 0.1, 0.5))
    members = []
    for name, transformer in columns:
        if rng.random() < 0.85 and (name not in ("time", "ip", "user_agent") or rng.random() < 0.2):
            value = (
                _any_value(rng) if rng.random() < any_share else _accepted_value(rng, transformer)
            )
            members.append((name, value))
    members += [(rng.choice(PROPERTIES), _any_value(rng)) for _ in range(rng.choice((0, 0, 1, 3)))]
    if rng.random() < 0.3:
        rng.shuffle(members)
    return _object(rng, members)


def _accepted_value(rng: Random, transformer: str) -> bytes:
    """Return a value that the transformer accepts."""
    spec = TRANSFORMERS.spec(transformer)
    if rng.random() < 0.2:
        return rng.choice(spec.examples).encode()
    makers: dict[FieldType, Callable[[], Any]] = {
        FieldType.INT32: lambda: rng.randrange(-(2**31), 2**31),
        FieldType.INT64: lambda: rng.randrange(-(2**63), 2**63),
        FieldType.FLOAT: lambda: rng.choice(
            (rng.random(), rng.randrange(100), rng.gauss(0, 1e6), 1.0)
        ),
        FieldType.BOOL: lambda: rng.random() < 0.5,
        FieldType.TIME: lambda: rng.randrange(10**9, 2 * 10**9) + rng.choice((0, rng.random())),
        FieldType.TEXT: lambda: rng.choice(("bob", "text", "10.1.0.1", "caf\u00e9", "10.1.0.2")),
    }
    make = makers.get(_field_type(spec))
    if make is None:
        return rng.choice(spec.examples).encode()
    return json.dumps(make(), ensure_ascii=rng.random() < 0.5).encode()


def _any_value(rng: Random) -> bytes:
    match rng.randrange(8):
        case 0 | 1 | 2:
            return _dump(rng, rng.choice(_TEXTS))
        case 3 | 4:
            return rng.choice(_NUMBERS).encode()
        case 5:
            return rng.choice((b"null", b"true", b"false"))
        case 6:
            return rng.choice((b"[]", b'{"a":[1,{"b":null}]}', b'[1, "x"]', b"[[[[]]]]"))
        case _:
            return rng.choice(
                (b'"\\ud83d"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\\/"', b'"\\u0000"', b'"\x7f"')
            )


def _object(rng: Random, members: list[tuple[str, bytes]]) -> bytes:
    space = rng.choice((b"", b"", b"", b" ", b"\n"))
    pairs = [_dump(rng, name) + space + b":" + space + value for name, value in members]
    return b"{" + (space + b"," + space).join(pairs) + b"}"


def _dump(rng: Random, value: Any) -> bytes:
    """Encode as JSON, sometimes with unnecessary escapes."""
    compact = (",", ":") if rng.random() < 0.9 else (", ", ": ")
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=compact)
    if rng.random() < 0.03:
        text = text.replace("/", "\\/").replace("a", "\\u0061").replace("e", "\\u0065")
    return text.encode("utf-8", "surrogatepass")


def _corrupt(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([rng.choice(b'"\\{}[],:\xff\x00\r 0')]) + data[at:]
        case 2:
            return data[:at] + data[at + 1 :]
        case _:
            return data + rng.choice((b"{}", data, b"\r", b" ", b"\x00"))
