"""Reads archives of the edge's stream as the lines of the corresponding edge log.

A *glob* is a record of the stream: the byte 0x01, then a JSON array of edge records as raw DEFLATE
(RFC 1951, no zlib header). An archive object has one of two forms, optionally gzip-compressed. Its
first byte determines the form:

- Concatenated globs, optionally separated by line feeds.
- JSON lines ``{"Data": "<base64 of a glob>", …}``, the format in which the stream's API returns
  records.

Producers resend a glob if they get no reply. As in the live processor, a glob is a repeat if its
first record has the same ``uuid`` as the first record of an earlier glob. If the earlier glob was
corrupt, the repeat adds the records that could not be read from it. Globs without a ``uuid`` are
never repeats.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO, Final

import msgspec

from spade_spark.errors import CorruptObjectError
from spade_spark.sources.edge_record import UndecodableLineError, read_record
from spade_spark.sources.gzip_lines import (
    CHUNK_BYTES,
    ByteSource,
    DeflateError,
    GzipInflater,
    corrupt_object,
    inflate,
    line_chunks,
)
from spade_spark.sources.json_array_stream import ArraySplitter, JsonArrayError

VERSION: Final = b"\x01"
"""The first byte of a glob."""

_GZIP: Final = b"\x1f"
_LINE_FEED: Final = b"\n"
_ALL_RECORDS: Final = sys.maxsize
_MAX_DECODE_BYTES: Final = 1024 * 1024
"""Maximum inflated size of a glob that is decoded at once: the size limit of a Kinesis record."""

_BATCH_RECORDS: Final = 256
"""Records per batch, which is about as large as a chunk."""


class GlobDeduplicator:
    """Remembers how many records of each glob were read, by the ``uuid`` of its first record.

    Args:
        max_globs: The number of most recent globs to remember: repeats follow soon.
    """

    def __init__(self, max_globs: int = 100_000) -> None:
        self._max_globs = max_globs
        self._records_read: dict[bytes, int] = {}

    def records_read(self, uuid: str) -> int:
        """Return how many records of the glob have been read."""
        return self._records_read.get(_digest(uuid), 0) if uuid else 0

    def add(self, uuid: str, records: int) -> None:
        """Record that the first ``records`` records of the glob have been read."""
        if not uuid:
            return
        key = _digest(uuid)
        before = self._records_read.pop(key, 0)
        self._records_read[key] = max(before, records)
        if len(self._records_read) > self._max_globs:
            del self._records_read[next(iter(self._records_read))]


class _ArchiveRecord(msgspec.Struct):
    """A record of the stream; other members are ignored."""

    data: bytes = msgspec.field(name="Data")


class _CorruptGlobError(Exception):
    """No more globs can be read from the object, or from the JSON line; the message says why."""


class GlobReader:
    """Reads the records in the globs of one object as lines, once.

    Iteration yields chunks of complete lines, each terminated by a line feed. Records are not
    changed, except that line feeds in them become tabs. Memory use is a few MB plus the longest
    record; for JSON lines, plus the longest line.

    Args:
        stream: The object, from its start.
        name: The URL or key of the object, for error messages.
        deduplicator: The globs read before; the reader adds those of this object.
        chunk_bytes: The minimum size of a chunk.

    Attributes:
        bytes_inflated: Bytes of JSON inflated so far.
        globs: Globs started so far.
        repeated_globs: How many of them were repeats.
        repeated: Records dropped because they were read before.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        deduplicator: GlobDeduplicator,
        *,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.bytes_inflated = self.globs = self.repeated_globs = self.repeated = 0
        self._source = ByteSource.from_stream(stream)
        self._name = name
        self._deduplicator = deduplicator
        self._chunk_bytes = chunk_bytes
        self._decode = msgspec.json.Decoder(_ArchiveRecord).decode
        self._decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._first_problem = ""
        self._problems = 0

    @property
    def bytes_in(self) -> int:
        """Compressed bytes read so far."""
        return self._source.bytes_read

    def __iter__(self) -> Iterator[bytes]:
        """Yield chunks of complete lines.

        Raises:
            CorruptObjectError: The object is empty, or a glob is corrupt; raised after all
                readable records.
        """
        return line_chunks(self._lines(), self._chunk_bytes)

    def _lines(self) -> Iterator[bytes]:
        """Yield complete lines, in batches."""
        try:
            yield from self._read_object()
        except _CorruptGlobError as error:
            self._add_problem(str(error))
        if self._problems:
            problem = self._first_problem
            if self._problems > 1:
                problem += f", and {self._problems - 1} more"
            raise corrupt_object(self._name, problem, self.bytes_in, self.bytes_inflated)

    def _read_object(self) -> Iterator[bytes]:
        source = self._source
        if not source.has_more():
            raise _CorruptGlobError("it is empty")
        if source.peek() == _GZIP:
            pieces = iter(GzipInflater(source, self._name, self._chunk_bytes))
            source = ByteSource(partial(next, pieces, b""))
        if source.peek() == b"{":
            yield from self._read_json_lines(line_chunks(source, self._chunk_bytes))
        else:
            yield from self._read_globs(source)

    def _read_json_lines(self, line_chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the records of JSON lines; a corrupt glob does not affect other lines."""
        number = 0
        for chunk in line_chunks:
            for line in chunk.removesuffix(_LINE_FEED).split(_LINE_FEED):
                number += 1
                if line.strip():
                    yield from self._read_json_line(line, number)

    def _read_json_line(self, line: bytes, number: int) -> Iterator[bytes]:
        try:
            glob = self._decode(line).data
            if not glob:
                raise _CorruptGlobError("Data is empty")
            yield from self._read_globs(ByteSource.from_stream(io.BytesIO(glob)))
        except msgspec.MsgspecError as error:
            self._add_problem(f"line {number}: it is not a JSON object with base64 Data ({error})")
        except _CorruptGlobError as error:
            self._add_problem(f"line {number}: {error}")

    def _read_globs(self, source: ByteSource) -> Iterator[bytes]:
        """Yield the records of concatenated globs."""
        while True:
            _skip_line_feeds(source)
            if not source.has_more():
                return
            at = source.position
            if source.read_exactly(1) != VERSION:
                raise _CorruptGlobError(f"no glob at byte {at}: the first byte is not 0x01")
            self.globs += 1
            yield from self._read_glob(inflate(source, self._chunk_bytes), at)

    def _read_glob(self, pieces: Iterator[bytes], at: int) -> Iterator[bytes]:
        """Yield the records of one glob, except those of a repeat."""
        try:
            yield from self._new_records(self._count_inflated(pieces))
        except JsonArrayError as error:
            self._add_problem(f"the glob at byte {at} is corrupt: {error}")
            for _ in self._count_inflated(pieces):  # the next glob can still be read
                pass
        except EOFError:
            raise _CorruptGlobError(f"the glob at byte {at} is truncated") from None
        except DeflateError as error:  # type: ignore[misc] # its stub declares an instance
            raise _CorruptGlobError(
                f"the glob at byte {at} has invalid DEFLATE data ({error})"
            ) from None

    def _new_records(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the records of one array that were not read before."""
        uuid, read_before, records_read = "", 0, 0
        try:
            for records in self._record_batches(pieces):
                if not records_read:
                    uuid = _uuid(records[0])
                    read_before = self._deduplicator.records_read(uuid)
                    self.repeated_globs += bool(read_before)
                repeated = min(max(read_before - records_read, 0), len(records))
                self.repeated += repeated
                records_read += len(records)
                if repeated < len(records):
                    yield b"\n".join(records[repeated:]) + _LINE_FEED
            records_read = _ALL_RECORDS
        finally:
            self._deduplicator.add(uuid, records_read)

    def _record_batches(self, pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
        """Yield the records of one glob in batches, without line feeds.

        Valid JSON of the usual size is decoded at once, which takes an eighth of the time of
        splitting it.
        """
        buffered: list[bytes] = []
        size = 0
        read_error: Exception | None = None
        try:
            for piece in pieces:
                buffered.append(piece)
                size += len(piece)
                if size > _MAX_DECODE_BYTES:
                    break
            else:
                records = self._decode_array(b"".join(buffered))
                for start in range(0, len(records), _BATCH_RECORDS):
                    batch = records[start : start + _BATCH_RECORDS]
                    yield [_one_line(bytes(record)) for record in batch]
                return
        except (EOFError, DeflateError, CorruptObjectError) as error:  # type: ignore[misc] # as above
            read_error, pieces = error, _raising(error)
        except (msgspec.MsgspecError, RecursionError):
            pass
        array = ArraySplitter()
        try:
            for piece in chain(buffered, pieces):
                for record in array.feed(piece):
                    yield [_one_line(record)]
            array.finish()
        except JsonArrayError:
            if read_error:  # it also prevents reading later globs
                raise read_error from None
            raise

    def _count_inflated(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes_inflated += len(piece)
            yield piece

    def _add_problem(self, problem: str) -> None:
        self._first_problem = self._first_problem or problem
        self._problems += 1


def _skip_line_feeds(source: ByteSource) -> None:
    while source.peek() == _LINE_FEED:
        source.unread(source.read().lstrip(_LINE_FEED))


def _digest(uuid: str) -> bytes:
    return hashlib.blake2b(uuid.encode(), digest_size=16).digest()


def _raising(error: Exception) -> Iterator[bytes]:
    yield from ()
    raise error


def _one_line(record: bytes) -> bytes:
    return record.replace(_LINE_FEED, b"\t")


def _uuid(record: bytes) -> str:
    """Return the ``uuid`` of a record; empty if it is missing or the record is invalid."""
    try:
        return read_record(record).uuid
    except UndecodableLineError:
        return ""
