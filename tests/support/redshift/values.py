"""Rows and values as COPY's documentation describes them, character by character.

Written apart from the product's own reading of the same options, so that each can show the other
wrong. https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

_RANGES = {"smallint": 15, "integer": 31, "bigint": 63}
_INTEGER_NAMES = {"smallint": "Short", "integer": "Integer", "bigint": "Long"}
_BOOLEANS = {"t": "t", "true": "t", "y": "t", "yes": "t", "1": "t"} | {
    "f": "f", "false": "f", "n": "f", "no": "f", "0": "f"
}  # fmt: skip


@dataclass(frozen=True)
class LoadError(Exception):
    """What stl_load_errors gets a row for."""

    code: int
    reason: str
    column: str = ""
    type: str = ""
    value: str = ""


@dataclass(frozen=True)
class TargetColumn:
    name: str
    type: str
    not_null: bool

    @property
    def size(self) -> int | None:
        match = re.search(r"\((\d+)\)", self.type)
        return int(match[1]) if match and self.type.startswith("character") else None


@dataclass(frozen=True)
class Options:
    """The options of one COPY, as far as this server has them."""

    delimiter: bytes = b"|"
    removequotes: bool = False
    escape: bool = False
    gzip: bool = False
    truncatecolumns: bool = False
    roundec: bool = False
    fillrecord: bool = False
    emptyasnull: bool = False
    acceptinvchars: bytes = b""
    trimblanks: bool = False
    manifest: bool = False
    noload: bool = False
    region: str = ""


def split_records(data: bytes, options: Options) -> list[bytes]:
    """The file's records; with ESCAPE, a line end after a backslash does not end one."""
    records, record, place = [], bytearray(), 0
    while place < len(data):
        byte = data[place : place + 1]
        if byte == b"\\" and options.escape:
            record += data[place : place + 2]
            place += 2
            continue
        if byte == b"\n":
            records.append(bytes(record))
            record.clear()
        else:
            record += byte
        place += 1
    if record:
        records.append(bytes(record))
    return records


def split_fields(record: bytes, options: Options) -> list[tuple[bytes, bool]]:
    """The record's fields, unescaped and unquoted, each with whether it is the null string.

    Raises:
        LoadError: A quote that is opened and not closed.
    """
    fields, place = [], 0
    while True:
        field, is_null, place = _field(record, place, options)
        fields.append((field, is_null))
        if place >= len(record):
            return fields
        place += 1  # the delimiter
        if place == len(record):
            fields.append((b"", False))
            return fields


def _field(record: bytes, start: int, options: Options) -> tuple[bytes, bool, int]:
    quote = record[start : start + 1]
    if options.removequotes and quote in (b'"', b"'"):
        return (*_quoted(record, start + 1, quote, options),)
    field, place = bytearray(), start
    while place < len(record) and record[place : place + 1] != options.delimiter:
        if options.escape and record[place : place + 1] == b"\\":
            place += 1
        field += record[place : place + 1]
        place += 1
    return bytes(field), record[start:place] in (b"\\N", b"\\\\N"), place


def _quoted(record: bytes, place: int, quote: bytes, options: Options) -> tuple[bytes, bool, int]:
    field = bytearray()
    while place < len(record):
        byte = record[place : place + 1]
        if options.escape and byte == b"\\":
            field += record[place + 1 : place + 2]
            place += 2
            continue
        if byte == quote and record[place + 1 : place + 2] in (b"", options.delimiter):
            return bytes(field), False, place + 1
        field += byte
        place += 1
    raise LoadError(1212, "Invalid quote formatting", value=record.decode("utf-8", "replace"))


def convert(record: bytes, columns: list[TargetColumn], options: Options) -> list[str | None]:
    """The record's values as PostgreSQL takes them; None is NULL.

    Raises:
        LoadError: One of them does not fit.
    """
    fields = split_fields(record, options)
    if len(fields) > len(columns):
        raise LoadError(1202, "Extra column(s) found")
    if len(fields) < len(columns) and not options.fillrecord:
        raise LoadError(1203, "Delimiter not found")
    values: list[str | None] = []
    for index, column in enumerate(columns):
        raw, is_null = fields[index] if index < len(fields) else (b"", False)
        value = None if is_null else _value(raw, column, options)
        if value is None and column.not_null:
            raise LoadError(1213, "Missing data for not-null field", column.name, column.type, "")
        values.append(value)
    return values


def _value(raw: bytes, column: TargetColumn, options: Options) -> str | None:
    text = _decoded(raw, column, options)
    if column.type.startswith("character"):
        return _character(text, column, options)
    if text == "":
        return None
    try:
        return _scalar(text, column.type, options)
    except (ValueError, ArithmeticError) as error:
        code, reason = error.args if len(error.args) == 2 else (1207, str(error))
        raise LoadError(code, reason, column.name, column.type, text) from None


def _decoded(raw: bytes, column: TargetColumn, options: Options) -> str:
    text, place = "", 0
    while place < len(raw):
        for length in (1, 2, 3, 4):
            try:
                text += raw[place : place + length].decode()
            except UnicodeDecodeError:
                continue
            place += length
            break
        else:
            if not options.acceptinvchars:
                raise LoadError(1220, "Multibyte character not supported", column.name)
            text += options.acceptinvchars.decode()
            place += 1
    return text


def _character(text: str, column: TargetColumn, options: Options) -> str | None:
    if text == "":
        return None if options.emptyasnull else ""
    if options.trimblanks and column.type.startswith("character varying"):
        text = text.rstrip(" ")
    if column.size is None or len(text.encode()) <= column.size:
        return text
    if not options.truncatecolumns:
        raise LoadError(1204, "String length exceeds DDL length", column.name, column.type, text)
    while len(text.encode()) > column.size:
        text = text[:-1]
    return text


def _scalar(text: str, type_: str, options: Options) -> str:
    if type_ in _RANGES:
        return _integer(text, type_)
    if type_.startswith("numeric"):
        return _numeric(text, type_, options)
    if type_ in ("real", "double precision"):
        return str(float(text))
    if type_ == "boolean":
        if text.lower() not in _BOOLEANS:
            raise ValueError(1210, "Unknown boolean format")
        return _BOOLEANS[text.lower()]
    if type_ == "date":
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d")  # noqa: DTZ007 - a date
    if type_.startswith("timestamp"):
        return _timestamp(text)
    raise ValueError(1224, f"type {type_} is not known to this server")


def _integer(text: str, type_: str) -> str:
    match = re.match(r"[+-]?\d*", text, re.ASCII)
    assert match is not None
    if match.end() < len(text) or not match[0].strip("+-"):
        place = match.end()
        raise ValueError(
            1207,
            f"Invalid digit, Value '{text[place : place + 1]}', Pos {place}, "
            f"Type: {_INTEGER_NAMES[type_]}",
        )
    if not -(2 ** _RANGES[type_]) <= int(text) < 2 ** _RANGES[type_]:
        raise ValueError(1216, f"Overflow, Type: {_INTEGER_NAMES[type_]}")
    return text


def _numeric(text: str, type_: str, options: Options) -> str:
    precision, scale = (int(size) for size in re.findall(r"\d+", type_))
    rounding = ROUND_HALF_UP if options.roundec else ROUND_DOWN
    value = Decimal(text).quantize(Decimal(1).scaleb(-scale), rounding)
    if abs(value) >= Decimal(10) ** (precision - scale):
        raise ValueError(1216, "Numeric data overflow (result precision)")
    return str(value)


def _timestamp(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?", text, re.ASCII):
        raise ValueError(1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]")
    try:
        return datetime.fromisoformat(text[:19]).isoformat(" ") + text[19:]
    except ValueError:
        raise ValueError(
            1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"
        ) from None
