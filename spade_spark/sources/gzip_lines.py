"""Reads a gzip object as chunks of complete lines.

Chunks of 128 KiB of inflated data are the fastest (bench/README.md): smaller ones cost more calls,
larger ones exceed the CPU cache. The chunk size and the longest line limit memory use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from spade_spark.errors import CorruptObjectError

CHUNK_BYTES = 128 * 1024


class GzipLineReader:
    """Reads the lines of one gzip object (RFC 1952, any number of members), once.

    Iteration yields chunks of complete lines. Only line feeds separate lines. Each chunk ends with
    a line feed; the last one may lack it.

    Args:
        stream: The object, from its start.
        name: The URL or key of the object, for error messages.
        chunk_bytes: The minimum size of a chunk in inflated bytes.
    """

    def __init__(self, stream: BinaryIO, name: str, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._source = ByteSource.from_stream(stream)
        self._pieces = GzipInflater(self._source, name, chunk_bytes)
        self._chunk_bytes = chunk_bytes

    @property
    def bytes_in(self) -> int:
        """Compressed bytes read so far."""
        return self._source.bytes_read

    @property
    def bytes_inflated(self) -> int:
        """Bytes inflated so far."""
        return self._pieces.bytes_inflated

    def __iter__(self) -> Iterator[bytes]:
        """Yield chunks of complete lines.

        Raises:
            CorruptObjectError: The object is empty, not gzip, truncated, or fails its checksum;
                raised after the complete lines before the corruption.
        """
        return line_chunks(self._pieces, self._chunk_bytes)


def line_chunks(pieces: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Join pieces into chunks of complete lines, of at least ``chunk_bytes`` each.

    Raises:
        CorruptObjectError: ``pieces`` raised it; the complete lines before it are yielded first.
    """
    pending: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            pending.append(piece)
            size += len(piece)
            cut = piece.rfind(b"\n") + 1 if size >= chunk_bytes else 0
            del piece  # the next piece reuses its memory while it is in the CPU cache
            if cut:
                yield _take_lines(pending, cut)
                size = len(pending[0])
    except CorruptObjectError:
        lines = b"".join(pending)
        lines = lines[: lines.rfind(b"\n") + 1]
        if lines:
            yield lines
        raise
    last = b"".join(pending)
    if last:
        yield last


def _take_lines(pending: list[bytes], cut: int) -> bytes:
    """Remove and return the pieces up to index ``cut`` of the last one."""
    last = pending.pop()
    lines = b"".join((*pending, memoryview(last)[:cut]))
    pending[:] = [last[cut:]]
    return lines


_READ_BYTES = 32 * 1024
"""Compressed bytes per read. isal discards the output of a read with invalid data, so reads are
small."""

_MAGIC = b"\x1f\x8b\x08"
_HEADER = struct.Struct("<3sBIBB")
_TRAILER = struct.Struct("<II")
_HAS_CRC, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16

DeflateError = isal_zlib.error
"""Raised by :func:`inflate` for invalid data."""


class ByteSource:
    """A byte stream with pushback.

    Args:
        read: Returns the next bytes, or no bytes at the end.

    Attributes:
        bytes_read: Bytes read so far.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read_source = read
        self._buffer = b""
        self.bytes_read = 0

    @classmethod
    def from_stream(cls, stream: BinaryIO) -> ByteSource:
        """Read from a binary stream."""
        return cls(partial(stream.read, _READ_BYTES))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the remaining bytes."""
        while self.has_more():
            yield self.read()

    @property
    def position(self) -> int:
        """The number of bytes consumed."""
        return self.bytes_read - len(self._buffer)

    def has_more(self) -> bool:
        """Return whether any bytes remain."""
        if not self._buffer:
            self._buffer = self._read()
        return bool(self._buffer)

    def peek(self) -> bytes:
        """Return the next byte without consuming it; empty at the end."""
        return self._buffer[:1] if self.has_more() else b""

    def read(self) -> bytes:
        """Return the next bytes; raise EOFError at the end."""
        if not self.has_more():
            raise EOFError
        data, self._buffer = self._buffer, b""
        return data

    def read_exactly(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; raise EOFError if fewer remain."""
        while len(self._buffer) < count:
            data = self._read()
            if not data:
                raise EOFError
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def unread(self, data: bytes) -> None:
        """Push back bytes, to be read next."""
        self._buffer = data + self._buffer

    def _read(self) -> bytes:
        data = self._read_source()
        self.bytes_read += len(data)
        return data


def inflate(source: ByteSource, piece_bytes: int) -> Iterator[bytes]:
    """Inflate the raw DEFLATE stream (RFC 1951) at the position of ``source``; stop after it.

    Pieces may be empty. The generator keeps no reference to a piece, so the next piece can reuse
    its memory while it is in the CPU cache.

    Args:
        source: The compressed bytes.
        piece_bytes: The maximum size of a piece.

    Raises:
        EOFError: The stream is truncated.
        DeflateError: The stream is invalid.
    """
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    while not inflater.eof:
        yield inflater.decompress(source.read() if inflater.needs_input else b"", piece_bytes)
    source.unread(inflater.unused_data)


class GzipInflater:
    """Inflates one gzip object (RFC 1952, any number of members), once.

    Args:
        source: The object, from its start.
        name: The URL or key of the object, for error messages.
        piece_bytes: The maximum size of a piece.

    Attributes:
        bytes_inflated: Bytes inflated so far.
    """

    def __init__(self, source: ByteSource, name: str, piece_bytes: int) -> None:
        self.bytes_inflated = 0
        self._crc = 0
        self._source = source
        self._name = name
        self._piece_bytes = piece_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yield the inflated data in pieces.

        Raises:
            CorruptObjectError: The object is empty, not gzip, truncated, or fails its checksum;
                raised after the data before the corruption.
        """
        try:
            if not self._source.has_more():
                raise self._corrupt("it is empty")
            while self._source.has_more():
                self._skip_header()
                yield from self._inflate_member()
        except EOFError:
            raise self._corrupt("it is truncated") from None
        except DeflateError as error:  # type: ignore[misc] # its stub declares an instance
            raise self._corrupt(f"its DEFLATE data is invalid ({error})") from None

    def _skip_header(self) -> None:
        source = self._source
        at = source.position
        magic, flags, *_ = _HEADER.unpack(source.read_exactly(_HEADER.size))
        if magic != _MAGIC:
            problem = "it has other data after the gzip data" if at else "it is not a gzip file"
            may_be_globs = not at and magic.startswith(b"\x01")
            hint = ' (for globs, set input.form = "globs")' if may_be_globs else ""
            raise self._corrupt(f"{problem}: no gzip header at byte {at}{hint}")
        if flags & _HAS_EXTRA:
            source.read_exactly(int.from_bytes(source.read_exactly(2), "little"))
        for flag in (_HAS_NAME, _HAS_COMMENT):
            while flags & flag and source.read_exactly(1) != b"\0":
                pass
        if flags & _HAS_CRC:
            source.read_exactly(2)

    def _inflate_member(self) -> Iterator[bytes]:
        """Inflate one member, after its header, and verify its checksum and length."""
        before, self._crc = self.bytes_inflated, 0
        yield from map(self._add_to_checksum, inflate(self._source, self._piece_bytes))
        length = (self.bytes_inflated - before) & 0xFFFFFFFF
        if _TRAILER.unpack(self._source.read_exactly(_TRAILER.size)) != (self._crc, length):
            raise self._corrupt("its checksum or length does not match its data")

    def _add_to_checksum(self, piece: bytes) -> bytes:
        self._crc = isal_zlib.crc32(piece, self._crc)
        self.bytes_inflated += len(piece)
        return piece

    def _corrupt(self, problem: str) -> CorruptObjectError:
        return corrupt_object(self._name, problem, self._source.bytes_read, self.bytes_inflated)


def corrupt_object(name: str, problem: str, read: int, inflated: int) -> CorruptObjectError:
    """Return the error for the object ``name``, with how far it was read."""
    return CorruptObjectError(
        f"{name} is corrupt: {problem} ({read} compressed bytes read, {inflated} inflated). "
        "Restore the object, or move it out of the edge logs"
    )
