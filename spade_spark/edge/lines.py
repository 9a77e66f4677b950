"""A gzip object to whole lines, chunk by chunk.

The hot path begins here, so it is isal that inflates (twice as fast as zlib), in raw DEFLATE: the
header and the trailer of a gzip member (RFC 1952) are read here. isal's own reading of them throws
away what it has inflated when a checksum is wrong, and lines are to be had before the damage.

128 KiB of inflated lines at a time measured best (bench/README.md): less costs calls, more costs
the processor's cache. Memory is bounded by that, and by the longest line.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from spade_spark.errors import DamagedObject

CHUNK_BYTES = 128 * 1024
_FEED_BYTES = 32 * 1024
"""Compressed bytes a step: what isal inflated in the very step in which it finds DEFLATE data
damaged is lost, so a step is kept small."""

_MAGIC = b"\x1f\x8b\x08"
_HEADER = struct.Struct("<3sBIBB")
_TRAILER = struct.Struct("<II")
_HAS_CRC, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16


class ObjectLines:
    """The lines of one gzip object (RFC 1952, any number of members), read once.

    Iterating yields chunks of whole lines; every chunk ends in a line feed, except that the last
    line of the object may lack one. Lines are split at line feeds alone.

    Args:
        stream: The object's bytes, from its beginning.
        name: What errors call the object: its URL or key.
        chunk_bytes: Inflated bytes from which a chunk is handed out.

    Attributes:
        bytes_in: Compressed bytes read so far.
        bytes_inflated: Bytes inflated so far.
    """

    def __init__(self, stream: BinaryIO, name: str, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.bytes_inflated = 0
        self._source = _Source(stream)
        self._name = name
        self._chunk_bytes = chunk_bytes

    @property
    def bytes_in(self) -> int:
        """Compressed bytes read so far."""
        return self._source.bytes_read

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of whole lines.

        Raises:
            DamagedObject: The object is empty, no gzip file, cut off, or its checksum or length
                does not fit; after the whole lines before the damage.
        """
        pending: list[bytes | memoryview] = []
        size = 0
        try:
            for piece in self._pieces():
                size += len(piece)
                cut = piece.rfind(b"\n") + 1 if size >= self._chunk_bytes else 0
                if not cut:
                    pending.append(piece)
                    continue
                view = memoryview(piece)
                yield b"".join((*pending, view[:cut]))
                pending = [view[cut:]]
                size = len(piece) - cut
        except DamagedObject:
            lines = b"".join(pending)
            lines = lines[: lines.rfind(b"\n") + 1]
            if lines:
                yield lines
            raise
        last = b"".join(pending)
        if last:
            yield last

    def _pieces(self) -> Iterator[bytes]:
        """The object inflated, in pieces of bounded size, each member checked at its end."""
        try:
            if not self._source.more():
                raise self._damaged("it is empty (0 bytes), not even a gzip header")
            while self._source.more():
                self._skip_header()
                yield from self._member()
        except EOFError:
            raise self._damaged("it is cut off: the gzip data end too early") from None
        except isal_zlib.error as error:  # type: ignore[misc] # its stub declares an instance
            raise self._damaged(f"its DEFLATE data are damaged ({error})") from None

    def _skip_header(self) -> None:
        source = self._source
        at = source.position
        magic, flags, *_ = _HEADER.unpack(source.take(_HEADER.size))
        if magic != _MAGIC:
            what = "garbage after its gzip data" if at else "no gzip file"
            raise self._damaged(f"{what}: byte {at} should begin a gzip header")
        if flags & _HAS_EXTRA:
            source.take(int.from_bytes(source.take(2), "little"))
        for flag in (_HAS_NAME, _HAS_COMMENT):
            while flags & flag and source.take(1) != b"\0":
                pass
        if flags & _HAS_CRC:
            source.take(2)

    def _member(self) -> Iterator[bytes]:
        """One member's data, after its header."""
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        limit = self._chunk_bytes
        crc = length = 0
        while not inflater.eof:
            fed = self._source.feed() if inflater.needs_input else b""
            piece = inflater.decompress(fed, limit)
            if piece:
                crc = isal_zlib.crc32(piece, crc)
                length += len(piece)
                self.bytes_inflated += len(piece)
                yield piece
        self._source.give_back(inflater.unused_data)
        if _TRAILER.unpack(self._source.take(_TRAILER.size)) != (crc, length & 0xFFFFFFFF):
            raise self._damaged("the checksum or the length after its data does not fit them")

    def _damaged(self, how: str) -> DamagedObject:
        return DamagedObject(
            f"{self._name} is damaged: {how}; compressed bytes read: {self._source.bytes_read}, "
            f"inflated: {self.bytes_inflated}. Restore the object, or move it out of the edge logs"
        )


class _Source:
    """The compressed bytes, with what was read too far given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""
        self.bytes_read = 0

    @property
    def position(self) -> int:
        """How many bytes were taken for good."""
        return self.bytes_read - len(self._ahead)

    def more(self) -> bool:
        """Whether any byte is left."""
        if not self._ahead:
            self._ahead = self._read()
        return bool(self._ahead)

    def feed(self) -> bytes:
        """The next bytes, however many; EOFError where there are none."""
        if not self.more():
            raise EOFError
        fed, self._ahead = self._ahead, b""
        return fed

    def take(self, count: int) -> bytes:
        """Exactly so many bytes; EOFError where there are fewer."""
        while len(self._ahead) < count:
            read = self._read()
            if not read:
                raise EOFError
            self._ahead += read
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def give_back(self, data: bytes) -> None:
        self._ahead = data + self._ahead

    def _read(self) -> bytes:
        read = self._stream.read(_FEED_BYTES)
        self.bytes_read += len(read)
        return read
