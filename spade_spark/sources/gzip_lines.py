"""A gzip object to whole lines, chunk by chunk.

128 KiB of inflated lines at a time measured best (bench/README.md): less costs calls, more costs
the processor's cache. Memory is bounded by that, and by the longest line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from spade_spark.errors import CorruptObjectError
from spade_spark.sources.gzip_members import ByteSource, GzipPieces

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
