"""Decodes chunks of lines that are formatted exactly as the edge writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from stringzilla import count

FALLBACK_ERRORS: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
)
"""Errors after which the reference path decodes the line."""

BACKSLASH: Final = ord("\\")
"""An int, because searching for ``b"\\\\"`` takes five times as long."""

_TIME: Final = b'"receivedAt"'
_ADDRESS: Final = b'"clientIp"'
_BETWEEN_RECORDS: Final = b"}\n{"


class RawEdgeRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An edge record as the edge writes it. The reference path decodes any other format."""

    at: str = msgspec.field(name="receivedAt")
    ip: str = msgspec.field(name="clientIp")
    forwarded: str = msgspec.field(name="xForwardedFor", default="")
    uuid: str = ""
    data: bytes = b""
    agent: str = msgspec.field(name="userAgent", default="")
    version: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = msgspec.field(
        name="recordversion", default=0
    )
    edge_type: Literal["external", "internal", ""] = msgspec.field(name="edgeType", default="")


class RawEdgeRecordReader:
    """Decodes the lines of a chunk, all at once if possible."""

    def __init__(self) -> None:
        self._read_line = msgspec.json.Decoder(RawEdgeRecord).decode
        self._read_lines = msgspec.json.Decoder(RawEdgeRecord).decode_lines

    def read(self, chunk: bytes) -> Sequence[RawEdgeRecord | None]:
        """Return a record for each line; None if the reference path must decode the line."""
        if not chunk:
            return []
        if BACKSLASH not in chunk:
            try:
                records = self._read_lines(chunk)
            except FALLBACK_ERRORS:
                pass
            else:
                if _has_one_record_per_line(len(records), chunk):
                    return records
        return [self._read_one(line) for line in chunk.removesuffix(b"\n").split(b"\n")]

    def _read_one(self, line: bytes) -> RawEdgeRecord | None:
        if BACKSLASH in line:  # a time must not contain an escape
            return None
        if line.count(_ADDRESS) > 1 or line.count(_TIME) > 1:
            return None
        try:
            return self._read_line(line)
        except FALLBACK_ERRORS:
            return None


def _has_one_record_per_line(records: int, chunk: bytes) -> bool:
    """Whether each line is exactly one record, with exactly one time and one address.

    Unlike the reference path, msgspec accepts two records on a line, a record on two lines, and
    repeated members without validating all of them. Records contain no objects, and each has a time
    and an address. If every line feed is between the braces of two records, then each line has one
    record or more. If all counts also equal the number of records, each line has one and no time or
    address is repeated.
    """
    counts = (
        count(chunk, b"\n") + (not chunk.endswith(b"\n")),
        count(chunk, _BETWEEN_RECORDS) + 1,
        count(chunk, _TIME),
        count(chunk, _ADDRESS),
    )
    return chunk.startswith(b"{") and counts == (records,) * len(counts)
