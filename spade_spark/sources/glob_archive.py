"""An archive of the edge's stream to the lines that a deglobbed log would have.

A *glob* is what the edge puts on its stream: the byte 0x01, then raw DEFLATE (RFC 1951, no zlib
header) of a JSON array of edge records. An object of an archive has one of these forms, told apart
by its first byte; each may be compressed by gzip as a whole:

- globs, one behind the other: DEFLATE itself says where it ends, and so nothing stands between
  them, or line feeds where whoever archived them put one behind each record of the stream;
- JSON lines ``{"Data": "<base64>", …}``, as the stream's own API shows its records; a glob each.

Producers send a glob again whose answer was lost: one that begins with the same record's ``uuid``
as one before is such a repeat, as it was for the processor of the stream. One without a ``uuid``
is not. Of a repeat of a glob that was damaged the records count that were not read the first time.
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
    damaged,
    inflate,
)
from spade_spark.sources.json_array_stream import ArraySplitter, JsonArrayError

VERSION: Final = b"\x01"
"""The first byte of a glob."""

_GZIP: Final = b"\x1f"
_LINE_FEED: Final = b"\n"
_WHOLE: Final = sys.maxsize
_AT_ONCE: Final = 1024 * 1024
"""Inflated bytes of a glob that is read at once; Kinesis takes no more of a compressed one."""

_SOME: Final = 256
"""Records that are handed on at a time: about a chunk."""


class GlobDeduplicator:
    """The globs of a partition that were read, by their first record's ``uuid``.

    Args:
        most: How many are known: the latest ones, since repeats follow soon.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._read: dict[bytes, int] = {}

    def read(self, uuid: str) -> int:
        """How many records of such a glob were read already."""
        return self._read.get(_digest(uuid), 0) if uuid else 0

    def note(self, uuid: str, records: int) -> None:
        """Says how many records of such a glob were read by now."""
        if not uuid:
            return
        key = _digest(uuid)
        before = self._read.pop(key, 0)
        self._read[key] = max(before, records)
        if len(self._read) > self._most:
            del self._read[next(iter(self._read))]


class _ArchiveRecord(msgspec.Struct):
    """A record of the stream; what else stands in it is not looked at."""

    data: bytes = msgspec.field(name="Data")


class _CorruptGlobError(Exception):
    """A glob that cannot be inflated to its end, and what is wrong with it."""


class GlobReader:
    """The records of the globs of one object, a line each, read once.

    Iterating yields chunks of whole lines, each ended by a line feed. A record is spelt as it was,
    but for line feeds between its members, which become tabs. Memory is bounded by some MB and by
    the longest record, in the form of JSON lines by the longest line too.

    Args:
        stream: The object's bytes, from its beginning.
        name: What errors call the object: its URL or key.
        repeats: The globs that were read before; those of this object are added.
        chunk_bytes: Bytes from which a chunk is handed out.

    Attributes:
        bytes_inflated: Bytes of JSON inflated so far.
        globs: Globs begun so far.
        repeated_globs: Those of them that were repeats.
        repeated: Records of those that were dropped.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        repeats: GlobDeduplicator,
        *,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.bytes_inflated = self.globs = self.repeated_globs = self.repeated = 0
        self._stored = ByteSource.of(stream)
        self._name = name
        self._repeats = repeats
        self._chunk_bytes = chunk_bytes
        self._decode = msgspec.json.Decoder(_ArchiveRecord).decode
        self._decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._first_broken = ""
        self._broken = 0

    @property
    def bytes_in(self) -> int:
        """Compressed bytes read so far."""
        return self._stored.bytes_read

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of whole lines.

        Raises:
            CorruptObjectError: The object is empty, or some of it is no whole glob; after all
                records
                that can be read.
        """
        return chunks(self._lines(), self._chunk_bytes)

    def _lines(self) -> Iterator[bytes]:
        """Whole lines, some at a time."""
        try:
            yield from self._of_object()
        except _CorruptGlobError as broken:
            self._note(str(broken))
        if self._broken:
            raise damaged(self._name, self._account(), self.bytes_in, self.bytes_inflated)

    def _of_object(self) -> Iterator[bytes]:
        source = self._stored
        if not source.more():
            raise _CorruptGlobError("it is empty (0 bytes)")
        if source.peek() == _GZIP:
            pieces = iter(GzipPieces(source, self._name, self._chunk_bytes))
            source = ByteSource(partial(next, pieces, b""))
        if source.peek() == b"{":
            yield from self._of_lines(chunks(source, self._chunk_bytes))
        else:
            yield from self._of_globs(source)

    def _of_lines(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """The records of JSON lines, of which each has a glob of its own to be damaged."""
        number = 0
        for text in texts:
            for line in text.removesuffix(_LINE_FEED).split(_LINE_FEED):
                number += 1
                if line.strip():
                    yield from self._of_line(line, number)

    def _of_line(self, line: bytes, number: int) -> Iterator[bytes]:
        try:
            glob = self._decode(line).data
            if not glob:
                raise _CorruptGlobError("its Data is empty")
            yield from self._of_globs(ByteSource.of(io.BytesIO(glob)))
        except msgspec.MsgspecError as error:
            self._note(f"line {number} has no glob in base64 as its Data ({error})")
        except _CorruptGlobError as broken:
            self._note(f"line {number}: {broken}")

    def _of_globs(self, source: ByteSource) -> Iterator[bytes]:
        """The records of globs that stand one behind the other."""
        while True:
            _skip_line_feeds(source)
            if not source.more():
                return
            at = source.position
            if source.take(1) != VERSION:
                raise _CorruptGlobError(f"byte {at} should begin a glob, and is not 0x01")
            self.globs += 1
            yield from self._of_glob(inflate(source, self._chunk_bytes), at)

    def _of_glob(self, pieces: Iterator[bytes], at: int) -> Iterator[bytes]:
        """The records of one glob, which are not those of a repeat."""
        try:
            yield from self._of_array(self._counted(pieces))
        except JsonArrayError as error:
            self._note(f"the glob at byte {at} is damaged: {error}")
            for _ in self._counted(pieces):  # what follows it can still be read
                pass
        except EOFError:
            raise _CorruptGlobError(f"the glob at byte {at} is cut off") from None
        except DeflateError as error:  # type: ignore[misc] # its stub declares an instance
            raise _CorruptGlobError(
                f"the glob at byte {at} has damaged DEFLATE data ({error})"
            ) from None

    def _of_array(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The records of one array that were not read before."""
        uuid, read_before, number = "", 0, 0
        try:
            for records in self._elements(pieces):
                if not number:
                    uuid = _uuid(records[0])
                    read_before = self._repeats.read(uuid)
                    self.repeated_globs += bool(read_before)
                known = min(max(read_before - number, 0), len(records))
                self.repeated += known
                number += len(records)
                if known < len(records):
                    yield b"\n".join(records[known:]) + _LINE_FEED
            number = _WHOLE
        finally:
            self._repeats.note(uuid, number)

    def _elements(self, pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
        """The records of one glob, some at a time, without line feeds in them.

        A glob that is as large as the edge makes them, and JSON, is read at once, which takes an
        eighth of the time of splitting it.
        """
        begun: list[bytes] = []
        size = 0
        broken: Exception | None = None
        try:
            for piece in pieces:
                begun.append(piece)
                size += len(piece)
                if size > _AT_ONCE:
                    break
            else:
                records = self._decode_array(b"".join(begun))
                for at in range(0, len(records), _SOME):
                    yield [_one_line(bytes(record)) for record in records[at : at + _SOME]]
                return
        except (EOFError, DeflateError, CorruptObjectError) as damage:  # type: ignore[misc] # as below
            broken, pieces = damage, _raising(damage)
        except (msgspec.MsgspecError, RecursionError):
            pass
        array = ArraySplitter()
        try:
            for piece in chain(begun, pieces):
                for record in array.feed(piece):
                    yield [_one_line(record)]
            array.finish()
        except JsonArrayError:
            if broken:  # and then nothing behind the glob can be read
                raise broken from None
            raise

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes_inflated += len(piece)
            yield piece

    def _note(self, broken: str) -> None:
        self._first_broken = self._first_broken or broken
        self._broken += 1

    def _account(self) -> str:
        more = f", and {self._broken - 1} more like it" if self._broken > 1 else ""
        return self._first_broken + more


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
    """The ``uuid`` of a glob's first record; empty where it has none, or is no record."""
    try:
        return read_record(record).uuid
    except UndecodableLineError:
        return ""
