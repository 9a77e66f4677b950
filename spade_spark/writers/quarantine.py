"""The quarantine: records that could not be converted to rows, as JSON lines.

It contains malformed records, and events whose conversion failed with an internal error. Each JSON
line has the raw edge line, its origin and the error. ``replay --from-quarantine TAG`` retries them.
"""

from __future__ import annotations

import base64

import msgspec

from spade_spark.errors import InputError
from spade_spark.transform.output import QuarantinedLine


class Quarantined(msgspec.Struct, frozen=True, omit_defaults=True):
    """One quarantined record.

    Attributes:
        reason: ``malformed`` or ``failed``.
        error: The error message.
        object: The key of the edge object.
        line: The line number in the object, from 1.
        uuid: The id of the event; for a malformed record, the id of the record or ``error``.
        event: The name of the failed event; other events of the record are not retried.
        raw: The edge line, if it is valid UTF-8.
        raw_base64: The edge line in base64, if it is not valid UTF-8.
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
        """The bytes of the edge line, without a line terminator."""
        return base64.b64decode(self.raw_base64) if self.raw_base64 else self.raw.encode()


def encode(quarantined: QuarantinedLine, source: str, line: int) -> bytes:
    """Encode one record as a JSON line with a line terminator.

    Args:
        quarantined: The record from the transform.
        source: The key of the edge object.
        line: The line number in the object, from 1.
    """
    try:
        raw, raw_base64 = quarantined.line.decode(), ""
    except UnicodeDecodeError:
        raw, raw_base64 = "", base64.b64encode(quarantined.line).decode()
    record = Quarantined(
        reason=quarantined.outcome.value,
        error=quarantined.error,
        object=source,
        line=line,
        uuid=quarantined.uuid,
        event=quarantined.event,
        raw=raw,
        raw_base64=raw_base64,
    )
    return msgspec.json.encode(record) + b"\n"


def decode(line: bytes, name: str) -> Quarantined:
    """Decode one line of the object ``name``.

    Raises:
        InputError: The object is not a quarantine file.
    """
    try:
        return msgspec.json.decode(line, type=Quarantined)
    except msgspec.MsgspecError as error:
        raise InputError(f"{name} is not a quarantine file of spade-spark: {error}") from None
