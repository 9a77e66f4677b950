"""From a chunk of lines to edge records, as long as they are in the edge's own spelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from stringzilla import count

DOUBT: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
)
"""What decoding and generated code raise where they are not sure."""

BACKSLASH: Final = ord("\\")
"""Finding a byte by its number takes a fifth of the time of finding ``b"\\\\"``."""

_TIME: Final = b'"receivedAt"'
_ADDRESS: Final = b'"clientIp"'
_BETWEEN_RECORDS: Final = b"}\n{"


class RawEdgeRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An edge record as the edge writes it. Any other spelling is left to the exact path."""

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
    """Reads the lines of a chunk at once where it can."""

    def __init__(self) -> None:
        self._read_line = msgspec.json.Decoder(RawEdgeRecord).decode
        self._read_lines = msgspec.json.Decoder(RawEdgeRecord).decode_lines

    def read(self, chunk: bytes) -> Sequence[RawEdgeRecord | None]:
        """The records of the lines; None where a line is in another spelling, or none."""
        if not chunk:
            return []
        if BACKSLASH not in chunk:
            try:
                records = self._read_lines(chunk)
            except DOUBT:
                pass
            else:
                if _is_one_a_line(len(records), chunk):
                    return records
        return [self._read_one(line) for line in chunk.removesuffix(b"\n").split(b"\n")]

    def _read_one(self, line: bytes) -> RawEdgeRecord | None:
        if BACKSLASH in line:  # an escape must not stand in a time
            return None
        if line.count(_ADDRESS) > 1 or line.count(_TIME) > 1:
            return None
        try:
            return self._read_line(line)
        except DOUBT:
            return None


def _is_one_a_line(records: int, chunk: bytes) -> bool:
    """Whether each line is a record that has its time and its address once.

    msgspec takes two records on a line, one on two lines, and the last of a repeated member without
    a look at the others; the exact path does not. No record has an object inside, and all have a
    time and an address. If each line end stands between the braces of two records, then each line
    is one or more; with as many of everything as records, it is one, and nothing is repeated.
    """
    counts = (
        count(chunk, b"\n") + (not chunk.endswith(b"\n")),
        count(chunk, _BETWEEN_RECORDS) + 1,
        count(chunk, _TIME),
        count(chunk, _ADDRESS),
    )
    return chunk.startswith(b"{") and counts == (records,) * len(counts)
