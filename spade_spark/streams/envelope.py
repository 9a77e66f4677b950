"""The bytes that consumers of a stream read.

A record is JSON: ``{"UUID", "Version": 1, "Data", "CreatedAt"}``. ``Data`` is an object of a row's
fields, or the base64 of a *glob*: the byte 0x01, then raw DEFLATE (RFC 1951) of a JSON array of
``{"Name", "Fields"}``. A record for Firehose ends with a line feed. If Firehose
loads it into Redshift, the record is only the object of fields, without NUL characters, which
Redshift rejects.
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
"""The format version of records and globs."""
_COMPRESSION_LEVEL: Final = 1
_RAW_DEFLATE_WBITS: Final = -15
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S.%f"
_JSON: Final = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True)
class Payload:
    """The content of a record.

    Attributes:
        data: A glob, or the JSON object of a row's fields.
        first: The number of its first row.
        last: The number of its last row.
        rows: The number of its rows.
    """

    data: bytes
    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Record:
    """A record to send.

    Attributes:
        key: The UUID, which is also the partition key.
        data: The record's bytes.
        last: The number of its last row.
        rows: The number of its rows.
    """

    key: str
    data: bytes
    last: int
    rows: int


def row_payload(fields: Mapping[str, str], row: int) -> Payload:
    """Return the payload of one row."""
    return Payload(_JSON.encode(fields), row, row, 1)


def glob_entry(event: str, fields: Mapping[str, str], row: int) -> Payload:
    """Return one row as an entry of a glob."""
    return Payload(_JSON.encode({"Name": event, "Fields": fields}), row, row, 1)


def glob(entries: Sequence[Payload]) -> Payload:
    """Combine entries of :func:`glob_entry` into one payload."""
    compressor = isal_zlib.compressobj(_COMPRESSION_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE_WBITS)
    array = b"[%b]" % b",".join(entry.data for entry in entries)
    data = bytes([VERSION]) + compressor.compress(array) + compressor.flush()
    return Payload(data, entries[0].first, entries[-1].last, len(entries))


class Envelope:
    """Wraps payloads in records.

    The rows of a record determine its UUID. A record that is sent again has the same UUID, so that
    consumers can discard duplicates.

    Args:
        stream: The stream.
        name: A name that is unique for the run, partition and stream.
        now: Returns the current time in UTC.
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
        self._fields_only = stream.firehose_redshift_stream
        self._suffix = b"\n" if stream.stream_type == FIREHOSE else b""

    def record(self, payload: Payload) -> Record:
        """Wrap a payload in a record."""
        rows = f"{payload.first}-{payload.last}/{payload.rows}"
        key = str(uuid.uuid5(self._namespace, rows))
        data = _without_nul(payload.data) if self._fields_only else self._wrap(key, payload.data)
        return Record(key, data + self._suffix, payload.last, payload.rows)

    def _wrap(self, key: str, data: bytes) -> bytes:
        return msgspec.json.encode(
            {
                "UUID": key,
                "Version": VERSION,
                "Data": data if self._compressed else msgspec.Raw(data),
                "CreatedAt": _format_time(self._now()),
            }
        )


def _format_time(now: datetime) -> str:
    """Format as Go's ``2006-01-02 15:04:05.999``, with at most three fractional digits."""
    return now.strftime(_TIME_FORMAT)[:-3].rstrip("0").rstrip(".")


def _without_nul(data: bytes) -> bytes:
    fields = msgspec.json.decode(data, type=dict[str, str])
    return _JSON.encode({name: value.replace("\0", "") for name, value in fields.items()})
