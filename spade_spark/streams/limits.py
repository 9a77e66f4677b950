"""Limits of AWS for requests.

Kinesis Data Streams, PutRecords: 500 records of up to 1 MiB each including the partition key, 5 MiB
in total. Firehose, PutRecordBatch: 500 records of up to 1,000 KiB each, 4 MiB in total.
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB


@dataclass(frozen=True)
class Limits:
    """The limits of one service.

    Attributes:
        records: Maximum number of records in one request.
        request_bytes: Maximum bytes of all records in one request.
        record_bytes: Maximum bytes of one record, including its partition key.
    """

    records: int
    request_bytes: int
    record_bytes: int


STREAM: Final = "stream"
FIREHOSE: Final = "firehose"

LIMITS: Final = {
    STREAM: Limits(500, 5 * _MIB, _MIB),
    FIREHOSE: Limits(500, 4 * _MIB, 1000 * _KIB),
}
"""The limits by ``StreamType``."""
