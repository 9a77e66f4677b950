"""Reads archives of the edge's stream as the lines of the corresponding edge log.

A *glob* is a record of the stream: the byte 0x01, then raw DEFLATE (RFC 1951, no zlib header) of a
JSON array of edge records. An archive object has one of two forms, which its first byte tells; both
may be compressed with gzip:

- Concatenated globs. Line feeds may separate them; none are required, as a DEFLATE stream marks its
  own end.
- JSON lines ``{"Data": "<base64>", …}``, as the API of the stream returns its records. Each line
  has one glob.

Producers resend a glob when they get no reply. As in the live processor, a glob is a repeat if its
first record has the ``uuid`` of an earlier glob's first record. If the earlier one was corrupt,
only the records that were not read from it are used. Globs without a ``uuid`` are never repeats.
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
    GzipPieces,
    chunks,
    corrupt_object,
    inflate,
)
from spade_spark.sources.json_array_stream import ArraySplitter, JsonArrayError

VERSION: Final = b"\x01"
"""The first byte of a glob."""

_GZIP: Final = b"\x1f"
_LINE_FEED: Final = b"\n"
_ALL_RECORDS: Final = sys.maxsize
_MAX_DECODE_BYTES: Final = 1024 * 1024
"""Inflated size up to which a glob is decoded at once: the limit of Kinesis for compressed ones."""

_BATCH_RECORDS: Final = 256
"""Records per batch: about a chunk."""


class GlobDeduplicator:
    """The globs of a partition that were read, by the ``uuid`` of their first record.

    Args:
        max_globs: The number of latest globs to remember: repeats follow soon.
    """

    def __init__(self, max_globs: int = 100_000) -> None:
        self._max_globs = max_globs
        self._records_read: dict[bytes, int] = {}

    def records_read(self, uuid: str) -> int:
        """Return how many records of the glob were read before."""
        return self._records_read.get(_digest(uuid), 0) if uuid else 0

    def add(self, uuid: str, records: int) -> None:
        """Remember how many records of the glob have been read."""
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
    """A glob whose end cannot be found; the message is the problem."""


class GlobReader:
    """The records in the globs of one object, one per line, read once.

    Iteration yields chunks of complete lines, each terminated by a line feed. Records are not
    changed, except that line feeds between members become tabs. Memory use is a few MB plus the
    longest record; for JSON lines, plus the longest line.

    Args:
        stream: The object, from its start.
        name: The URL or key of the object, for error messages.
        deduplicator: The globs read before; those of this object are added.
        chunk_bytes: The minimum size of a chunk.

    Attributes:
        bytes_inflated: Bytes of JSON inflated so far.
        globs: Globs started so far.
        repeated_globs: How many of them were repeats.
        repeated: Records of repeats that were dropped.
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
        self._stored = ByteSource.of(stream)
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
        return self._stored.bytes_read

    def __iter__(self) -> Iterator[bytes]:
        """Yield chunks of complete lines.

        Raises:
            CorruptObjectError: The object is empty, or a glob is corrupt; raised after all
                readable records.
        """
        return chunks(self._lines(), self._chunk_bytes)

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
        source = self._stored
        if not source.more():
            raise _CorruptGlobError("it is empty")
        if source.peek() == _GZIP:
            pieces = iter(GzipPieces(source, self._name, self._chunk_bytes))
            source = ByteSource(partial(next, pieces, b""))
        if source.peek() == b"{":
            yield from self._read_json_lines(chunks(source, self._chunk_bytes))
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
                raise _CorruptGlobError("its Data is empty")
            yield from self._read_globs(ByteSource.of(io.BytesIO(glob)))
        except msgspec.MsgspecError as error:
            self._add_problem(f"line {number}: no Data with a glob in base64 ({error})")
        except _CorruptGlobError as error:
            self._add_problem(f"line {number}: {error}")

    def _read_globs(self, source: ByteSource) -> Iterator[bytes]:
        """Yield the records of concatenated globs."""
        while True:
            _skip_line_feeds(source)
            if not source.more():
                return
            at = source.position
            if source.take(1) != VERSION:
                raise _CorruptGlobError(f"no glob at byte {at}: it is not 0x01")
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
        uuid, read_before, number = "", 0, 0
        try:
            for records in self._record_batches(pieces):
                if not number:
                    uuid = _uuid(records[0])
                    read_before = self._deduplicator.records_read(uuid)
                    self.repeated_globs += bool(read_before)
                known = min(max(read_before - number, 0), len(records))
                self.repeated += known
                number += len(records)
                if known < len(records):
                    yield b"\n".join(records[known:]) + _LINE_FEED
            number = _ALL_RECORDS
        finally:
            self._deduplicator.add(uuid, number)

    def _record_batches(self, pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
        """Yield the records of one glob in batches, without line feeds.

        Valid JSON of the usual size is decoded at once, in an eighth of the time that splitting it
        takes.
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
            if read_error:  # no later glob can be read
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
        source.give_back(source.feed().lstrip(_LINE_FEED))


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
