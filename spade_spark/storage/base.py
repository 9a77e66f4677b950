"""A small protocol for object storage, on S3 or in a directory.

Executors receive only URLs and settings, and open the store themselves.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from spade_spark.errors import InputError
from spade_spark.settings import S3Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing.

    Attributes:
        key: The key below the store's URL, never starting with a slash.
        size: Bytes.
        etag: The ETag without quotes; it changes whenever the bytes change.
        last_modified: Time of the last change, UTC.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class VersionedObject:
    """The state of a small object when it was read.

    Attributes:
        data: The bytes.
        etag: The ETag, for :meth:`Store.replace`.
        read_at: Time of the read by the store's clock, UTC.
    """

    data: bytes
    etag: str
    read_at: datetime


class Store(Protocol):
    """Objects below one URL."""

    url: str
    """``s3://bucket/prefix/`` or a directory's path, ending in a slash."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """List the objects whose key begins with ``prefix``, in byte order of the keys.

        Raises:
            ObjectNotFoundError: The bucket or the directory does not exist.
        """

    def open(self, key: str, etag: str = "", size: int = 0) -> BinaryIO:
        """Open an object as a stream, which the caller closes.

        Args:
            key: The object's key.
            etag: The expected ETag, if known.
            size: The expected size in bytes, if known. A shorter response does not count as the
                end of the object.

        Raises:
            ObjectNotFoundError: The object does not exist.
            ObjectChangedError: The object does not have the expected ETag.
        """

    def read(self, key: str) -> bytes:
        """Read a small object.

        Raises:
            ObjectNotFoundError: The object does not exist.
        """

    def read_versioned(self, key: str) -> VersionedObject:
        """Read a small object together with the ETag for a conditional replace.

        Raises:
            ObjectNotFoundError: The object does not exist.
        """

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a small object atomically.

        Returns:
            False if ``if_absent`` is set and the object exists; it is not modified.
        """

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Replace a small object atomically if it still has the given ETag.

        Of several concurrent replaces of the same version, exactly one succeeds. Do not combine
        this with :meth:`write` for the same object.

        Returns:
            False if the object has another ETag or no longer exists; it is not modified.
        """

    def upload(self, key: str, path: Path) -> str:
        """Write an object from a local file atomically.

        Returns:
            The ETag; empty in a directory, where a copy of the file has another one.
        """

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""


class TeeReader(io.RawIOBase):
    """A stream that passes all bytes read to a callback."""

    def __init__(self, stream: BinaryIO, callback: Callable[[bytes], object]) -> None:
        super().__init__()
        self._stream, self._callback = stream, callback

    def readable(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See :class:`io.RawIOBase`."""
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._callback(data)
        return len(data)

    def close(self) -> None:
        """Close the stream too."""
        self._stream.close()
        super().close()


def open_store(url: str, s3: S3Settings) -> Store:
    """Open the store at ``url``: ``s3://bucket/prefix/`` or the path of a directory.

    Raises:
        InputError: The URL is not valid.
    """
    if url.startswith("s3://"):
        # Imported here because boto3 is slow to import and many commands do not need it.
        from spade_spark.storage.s3 import S3Store  # noqa: PLC0415 - see above

        return S3Store(url, s3)
    if not url or ("://" in url and not url.startswith("file://")):
        raise InputError(f"{url!r} is not a valid store: use s3://bucket/prefix/ or a directory")
    from spade_spark.storage.local import DirectoryStore  # noqa: PLC0415 - as above

    return DirectoryStore(url)


def split_url(url: str) -> tuple[str, str]:
    """Split an object's URL into the URL of its store and its key."""
    head, slash, key = url.rpartition("/")
    return (head + slash or "./"), key
