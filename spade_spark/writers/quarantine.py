"""What no row could be made of, kept so that it can be tried again: one JSON line a record.

Malformed records, and events that this program failed on. Each line has the raw edge line, where
it came from and what was wrong; ``replay --from-quarantine TAG`` reads them back.
"""

from __future__ import annotations

import base64

import msgspec

from spade_spark.errors import InputError
from spade_spark.transform.output_buffer import QuarantinedLine


class Quarantined(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record that is kept.

    Attributes:
        reason: ``malformed`` or ``failed``.
        error: What was wrong.
        object: Key of the edge object that it came from.
        line: Its line there, from 1.
        uuid: The event's id; for a malformed record the record's, or ``error``.
        event: The event's name, where one event failed; the record's others are not tried again.
        raw: The edge line, where it is UTF-8.
        raw_base64: The edge line in base64, where it is not.
    """

    reason: str
    error: str
    object: str
    line: int
    uuid: str
    event: str = ""
    raw: str = ""
    raw_base64: str = ""

    @property
    def edge_line(self) -> bytes:
        """The edge line's bytes, without a line end."""
        return base64.b64decode(self.raw_base64) if self.raw_base64 else self.raw.encode()


def encode(kept: QuarantinedLine, source: str, line: int) -> bytes:
    """The JSON line (with its line end) of one record.

    Args:
        kept: What the transform kept.
        source: Key of the edge object that it came from.
        line: Its line there, from 1.
    """
    try:
        raw, raw_base64 = kept.line.decode(), ""
    except UnicodeDecodeError:
        raw, raw_base64 = "", base64.b64encode(kept.line).decode()
    record = Quarantined(
        kept.outcome.value, kept.error, source, line, kept.uuid, kept.event, raw, raw_base64
    )
    return msgspec.json.encode(record) + b"\n"


def decode(line: bytes, name: str) -> Quarantined:
    """One line back.

    Raises:
        InputError: The object ``name`` is no quarantine of this program.
    """
    try:
        return msgspec.json.decode(line, type=Quarantined)
    except msgspec.MsgspecError as error:
        raise InputError(f"{name} is no quarantine of this program: {error}") from None
