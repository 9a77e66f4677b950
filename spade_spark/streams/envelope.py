"""The bytes that consumers of a stream read.

A record is JSON: ``{"UUID", "Version": 1, "Data", "CreatedAt"}``. ``Data`` is an object of a row's
fields, or the base64 of a *glob*: the byte 0x01, then raw DEFLATE (RFC 1951) of a JSON array of
``{"Name", "Fields"}``. A record to a Firehose ends in a line feed; one to a Firehose that feeds
Redshift is nothing but its fields, without NUL characters, which Redshift does not take.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

import msgspec
from isal import isal_zlib

from spade_spark.streams.config import Stream
from spade_spark.streams.limits import FIREHOSE

VERSION: Final = 1
"""Of records and of globs."""
_FASTEST: Final = 1
_RAW_DEFLATE: Final = -15
_MICROS: Final = "%Y-%m-%d %H:%M:%S.%f"
_JSON: Final = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True)
class Payload:
    """What a record is about.

    Attributes:
        data: A glob, or the JSON object of a row's fields.
        first: The number of the first row in it.
        last: The number of the last.
        rows: How many there are.
    """

    data: bytes
    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Record:
    """What is sent.

    Attributes:
        key: The UUID, which is the partition key too.
        data: The record's bytes.
        last: The number of the last row in it.
        rows: How many rows are in it.
    """

    key: str
    data: bytes
    last: int
    rows: int


def row_payload(fields: Mapping[str, str], row: int) -> Payload:
    """The payload of one row."""
    return Payload(_JSON.encode(fields), row, row, 1)


def glob_entry(event: str, fields: Mapping[str, str], row: int) -> Payload:
    """One row as it stands in a glob."""
    return Payload(_JSON.encode({"Name": event, "Fields": fields}), row, row, 1)


def glob(entries: Sequence[Payload]) -> Payload:
    """The payload of several rows, which :func:`glob_entry` made."""
    compressor = isal_zlib.compressobj(_FASTEST, isal_zlib.DEFLATED, _RAW_DEFLATE)
    array = b"[%b]" % b",".join(entry.data for entry in entries)
    data = bytes([VERSION]) + compressor.compress(array) + compressor.flush()
    return Payload(data, entries[0].first, entries[-1].last, len(entries))


class Envelope:
    """Payloads to records.

    The UUID follows from which rows are in a record: sent again, after whatever went wrong, it has
    the same one, by which consumers can know it.

    Args:
        stream: The stream.
        name: What tells the rows' numbers from those of other runs, partitions and streams.
        now: The time, UTC.
    """

    def __init__(
        self,
        stream: Stream,
        name: str,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, name)
        self._now = now
        self._compressed = stream.compress
        self._bare = stream.firehose_redshift_stream
        self._end = b"\n" if stream.stream_type == FIREHOSE else b""

    def record(self, payload: Payload) -> Record:
        """The record of a payload."""
        rows = f"{payload.first}-{payload.last}/{payload.rows}"
        key = str(uuid.uuid5(self._namespace, rows))
        data = _without_nul(payload.data) if self._bare else self._wrapped(key, payload.data)
        return Record(key, data + self._end, payload.last, payload.rows)

    def _wrapped(self, key: str, data: bytes) -> bytes:
        return msgspec.json.encode(
            {
                "UUID": key,
                "Version": VERSION,
                "Data": data if self._compressed else msgspec.Raw(data),
                "CreatedAt": _created(self._now()),
            }
        )


def _created(now: datetime) -> str:
    """UTC, with up to three digits of the second: Go's ``2006-01-02 15:04:05.999``."""
    return now.strftime(_MICROS)[:-3].rstrip("0").rstrip(".")


def _without_nul(data: bytes) -> bytes:
    fields = msgspec.json.decode(data, type=dict[str, str])
    return _JSON.encode({name: value.replace("\0", "") for name, value in fields.items()})
