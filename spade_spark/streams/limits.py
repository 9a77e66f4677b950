"""What the services take at once.

Kinesis Data Streams, PutRecords: 500 records of up to 1 MiB each, partition keys counted, 5 MiB in
all. Firehose, PutRecordBatch: 500 records of up to 1,000 KiB each, 4 MiB in all.
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
        records: Records in one request.
        request_bytes: Bytes of all records of a request.
        record_bytes: Bytes of one record.
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
"""By ``StreamType``."""
