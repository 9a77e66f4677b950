"""A gzip object to whole lines, chunk by chunk.

128 KiB of inflated lines at a time measured best (bench/README.md): less costs calls, more costs
the processor's cache. Memory is bounded by that, and by the longest line.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from spade_spark.errors import CorruptObjectError

CHUNK_BYTES = 128 * 1024


class ObjectLines:
    """The lines of one gzip object (RFC 1952, any number of members), read once.

    Iterating yields chunks of whole lines; every chunk ends in a line feed, except that the last
    line of the object may lack one. Lines are split at line feeds alone.

    Args:
        stream: The object's bytes, from its beginning.
        name: What errors call the object: its URL or key.
        chunk_bytes: Inflated bytes from which a chunk is handed out.
    """

    def __init__(self, stream: BinaryIO, name: str, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._source = ByteSource.of(stream)
        self._pieces = GzipPieces(self._source, name, chunk_bytes)
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
        """Chunks of whole lines.

        Raises:
            CorruptObjectError: The object is empty, no gzip file, cut off, or its checksum or
                length
                does not fit; after the whole lines before the damage.
        """
        return chunks(self._pieces, self._chunk_bytes)


def chunks(pieces: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Whole lines of at least ``chunk_bytes`` together, from pieces that are cut anywhere.

    Raises:
        CorruptObjectError: As ``pieces`` does; after the whole lines before it.
    """
    pending: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            pending.append(piece)
            size += len(piece)
            cut = piece.rfind(b"\n") + 1 if size >= chunk_bytes else 0
            del piece  # so that its memory is used again at once, while the processor has it cached
            if cut:
                yield _whole_lines(pending, cut)
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


def _whole_lines(pending: list[bytes], cut: int) -> bytes:
    """Takes out the pieces up to ``cut`` in the last of them."""
    last = pending.pop()
    lines = b"".join((*pending, memoryview(last)[:cut]))
    pending[:] = [last[cut:]]
    return lines


_FEED_BYTES = 32 * 1024
"""Compressed bytes a step: what isal inflated in the very step in which it finds DEFLATE data
damaged is lost, so a step is kept small."""

_MAGIC = b"\x1f\x8b\x08"
_HEADER = struct.Struct("<3sBIBB")
_TRAILER = struct.Struct("<II")
_HAS_CRC, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16

DeflateError = isal_zlib.error
"""What :func:`inflate` raises where the data are damaged."""


class ByteSource:
    """Bytes in the order in which they come, with what was read too far given back.

    Args:
        read: Gives the next bytes, however many; none at the end.

    Attributes:
        bytes_read: Bytes read so far.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._next = read
        self._ahead = b""
        self.bytes_read = 0

    @classmethod
    def of(cls, stream: BinaryIO) -> ByteSource:
        """The bytes of a stream."""
        return cls(partial(stream.read, _FEED_BYTES))

    def __iter__(self) -> Iterator[bytes]:
        """All bytes that are left."""
        while self.more():
            yield self.feed()

    @property
    def position(self) -> int:
        """How many bytes were taken for good."""
        return self.bytes_read - len(self._ahead)

    def more(self) -> bool:
        """Whether any byte is left."""
        if not self._ahead:
            self._ahead = self._read()
        return bool(self._ahead)

    def peek(self) -> bytes:
        """The next byte, which is not taken; empty where there is none."""
        return self._ahead[:1] if self.more() else b""

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
        """Puts bytes that were fed before those that are left."""
        self._ahead = data + self._ahead

    def _read(self) -> bytes:
        read = self._next()
        self.bytes_read += len(read)
        return read


def inflate(source: ByteSource, piece_bytes: int) -> Iterator[bytes]:
    """What the raw DEFLATE stream (RFC 1951) holds that begins here; the source is left behind it.

    A piece may be empty. None is kept here while the caller has it: memory that is used again is
    in the processor's cache.

    Args:
        source: The compressed bytes.
        piece_bytes: The most that a piece has.

    Raises:
        EOFError: It is cut off.
        DeflateError: It is damaged.
    """
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    while not inflater.eof:
        yield inflater.decompress(source.feed() if inflater.needs_input else b"", piece_bytes)
    source.give_back(inflater.unused_data)


class GzipPieces:
    """One gzip object (RFC 1952, any number of members) inflated, read once.

    Args:
        source: The object's bytes, from its beginning.
        name: What errors call the object: its URL or key.
        piece_bytes: The most that a piece has.

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
        """The pieces, each member checked at its end.

        Raises:
            CorruptObjectError: The object is empty, no gzip file, cut off, or its checksum or
                length
                does not fit; after what was inflated before the damage.
        """
        try:
            if not self._source.more():
                raise self._damaged("it is empty (0 bytes), not even a gzip header")
            while self._source.more():
                self._skip_header()
                yield from self._member()
        except EOFError:
            raise self._damaged("it is cut off: the gzip data end too early") from None
        except DeflateError as error:  # type: ignore[misc] # its stub declares an instance
            raise self._damaged(f"its DEFLATE data are damaged ({error})") from None

    def _skip_header(self) -> None:
        source = self._source
        at = source.position
        magic, flags, *_ = _HEADER.unpack(source.take(_HEADER.size))
        if magic != _MAGIC:
            what = "garbage after its gzip data" if at else "no gzip file"
            hint = " (a glob? see input.form)" if magic.startswith(b"\x01") and not at else ""
            raise self._damaged(f"{what}: byte {at} should begin a gzip header{hint}")
        if flags & _HAS_EXTRA:
            source.take(int.from_bytes(source.take(2), "little"))
        for flag in (_HAS_NAME, _HAS_COMMENT):
            while flags & flag and source.take(1) != b"\0":
                pass
        if flags & _HAS_CRC:
            source.take(2)

    def _member(self) -> Iterator[bytes]:
        """One member's data, after its header."""
        before, self._crc = self.bytes_inflated, 0
        yield from map(self._counted, inflate(self._source, self._piece_bytes))
        length = (self.bytes_inflated - before) & 0xFFFFFFFF
        if _TRAILER.unpack(self._source.take(_TRAILER.size)) != (self._crc, length):
            raise self._damaged("the checksum or the length after its data does not fit them")

    def _counted(self, piece: bytes) -> bytes:
        self._crc = isal_zlib.crc32(piece, self._crc)
        self.bytes_inflated += len(piece)
        return piece

    def _damaged(self, how: str) -> CorruptObjectError:
        return damaged(self._name, how, self._source.bytes_read, self.bytes_inflated)


def damaged(name: str, how: str, read: int, inflated: int) -> CorruptObjectError:
    """The error that says of the object ``name`` how it is damaged, and how far it was read."""
    return CorruptObjectError(
        f"{name} is damaged: {how}; compressed bytes read: {read}, inflated: {inflated}. "
        "Restore the object, or move it out of the edge logs"
    )
