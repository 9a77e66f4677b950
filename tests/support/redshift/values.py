"""Parsing of rows and values, character by character, as COPY's documentation describes it.

This is independent of the product's implementation, so each can reveal errors in the other.
https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

_MAX_ROW_BYTES = 4 << 20  # https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html
_RANGES = {"smallint": 15, "integer": 31, "bigint": 63}
_INTEGER_NAMES = {"smallint": "Short", "integer": "Integer", "bigint": "Long"}
_BOOLEANS = {"t": "t", "true": "t", "y": "t", "yes": "t", "1": "t"} | {
    "f": "f", "false": "f", "n": "f", "no": "f", "0": "f"
}  # fmt: skip


@dataclass(frozen=True)
class LoadError(Exception):
    """An error that is recorded in stl_load_errors."""

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
    """The options of a COPY that this server supports."""

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
    """Split a file into records; with ESCAPE, an escaped newline does not end a record."""
    records, record, position = [], bytearray(), 0
    while position < len(data):
        byte = data[position : position + 1]
        if byte == b"\\" and options.escape:
            record += data[position : position + 2]
            position += 2
            continue
        if byte == b"\n":
            records.append(bytes(record))
            record.clear()
        else:
            record += byte
        position += 1
    if record:
        records.append(bytes(record))
    return records


def split_fields(record: bytes, options: Options) -> list[tuple[bytes, bool]]:
    """Return the record's fields, unescaped and unquoted, each with whether it is the null string.

    Raises:
        LoadError: A quote is not closed.
    """
    fields, position = [], 0
    while True:
        field, is_null, position = _field(record, position, options)
        fields.append((field, is_null))
        if position >= len(record):
            return fields
        position += 1  # the delimiter
        if position == len(record):
            fields.append((b"", False))
            return fields


def _field(record: bytes, start: int, options: Options) -> tuple[bytes, bool, int]:
    quote = record[start : start + 1]
    if options.removequotes and quote in (b'"', b"'"):
        return (*_quoted(record, start + 1, quote, options),)
    field, position = bytearray(), start
    while position < len(record) and record[position : position + 1] != options.delimiter:
        if options.escape and record[position : position + 1] == b"\\":
            position += 1
        field += record[position : position + 1]
        position += 1
    return bytes(field), record[start:position] in (b"\\N", b"\\\\N"), position


def _quoted(
    record: bytes, position: int, quote: bytes, options: Options
) -> tuple[bytes, bool, int]:
    field = bytearray()
    while position < len(record):
        byte = record[position : position + 1]
        if options.escape and byte == b"\\":
            field += record[position + 1 : position + 2]
            position += 2
            continue
        if byte == quote and record[position + 1 : position + 2] in (b"", options.delimiter):
            return bytes(field), False, position + 1
        field += byte
        position += 1
    raise LoadError(1212, "Invalid quote formatting", value=record.decode("utf-8", "replace"))


def convert(record: bytes, columns: list[TargetColumn], options: Options) -> list[str | None]:
    """Convert the record to values for PostgreSQL; None is NULL.

    Raises:
        LoadError: A value does not fit its column.
    """
    if len(record) > _MAX_ROW_BYTES:
        raise LoadError(1216, "Input line is not valid")
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
    # CHAR has only single-byte characters, and ACCEPTINVCHARS does not apply to it:
    # https://docs.aws.amazon.com/redshift/latest/dg/multi-byte-character-load-errors.html
    if column.type.startswith("character(") and not raw.isascii():
        raise LoadError(
            1220,
            "Multibyte character not supported for CHAR (Hint: Try using VARCHAR)",
            column.name,
            column.type,
            raw.decode("utf-8", "replace"),
        )
    text, position = "", 0
    while position < len(raw):
        for length in (1, 2, 3, 4):
            try:
                text += raw[position : position + length].decode()
            except UnicodeDecodeError:
                continue
            position += length
            break
        else:
            if not options.acceptinvchars:
                raise LoadError(1220, "Multibyte character not supported", column.name)
            text += options.acceptinvchars.decode()
            position += 1
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
        position = match.end()
        raise ValueError(
            1207,
            f"Invalid digit, Value '{text[position : position + 1]}', Pos {position}, "
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
