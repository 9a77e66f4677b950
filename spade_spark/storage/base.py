"""Where objects lie: one small protocol, on S3 or in a directory.

Only names and settings cross to executors; a store is opened where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from spade_spark.errors import InputError
from spade_spark.settings import S3Settings


@dataclass(frozen=True)
class StoredObject:
    """What a listing says of one object.

    Attributes:
        key: The key below the store's URL, never starting with a slash.
        size: Bytes.
        etag: Changes whenever the bytes do; without quotes.
        last_modified: An aware UTC time.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class Snapshot:
    """A small object as it was when it was read.

    Attributes:
        data: Its bytes.
        etag: What :meth:`Store.swap_window` takes.
        read_at: When it was read, by the store's own clock: an aware UTC time.
    """

    data: bytes
    etag: str
    read_at: datetime


class Store(Protocol):
    """Objects below one URL."""

    url: str
    """``s3://bucket/prefix/`` or a directory's path, ending in a slash."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose key begins with ``prefix``, in the keys' byte order.

        Raises:
            ObjectNotFoundError: The bucket or the directory itself is not there.
        """

    def open(self, key: str, etag: str = "", size: int = 0) -> BinaryIO:
        """The object's bytes as a stream, read as they arrive; the caller closes it.

        Args:
            key: The object's key.
            etag: What it must be, where that is known.
            size: Its bytes, where they are known: a body that ends before them is no end of the
                object, and not taken for one.

        Raises:
            ObjectNotFoundError: No such object.
            ObjectChangedError: ``etag`` is given and the object has another.
        """

    def read(self, key: str) -> bytes:
        """The whole of a small object.

        Raises:
            ObjectNotFoundError: No such object.
        """

    def snapshot(self, key: str) -> Snapshot:
        """The whole of a small object, with what a conditional replace of it needs.

        Raises:
            ObjectNotFoundError: No such object.
        """

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Writes a small object, whole or not at all.

        Returns:
            False where ``if_absent`` was asked and the key was there already, unchanged.
        """

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Writes over a small object where it is still the one of ``etag``, in one step.

        Of several that replace the same object at once, one does. Plain writes take no part in
        that: an object that is replaced must not be written in another way.

        Returns:
            False where the object is another one now, or gone; it is unchanged.
        """

    def upload(self, key: str, path: Path) -> None:
        """Writes an object from a local file, whole or not at all."""

    def delete(self, key: str) -> None:
        """Removes an object; a key that is not there is no error."""


def open_store(url: str, s3: S3Settings) -> Store:
    """The store at ``url``: ``s3://bucket/prefix/``, or a directory's path.

    Raises:
        InputError: A URL of another kind.
    """
    if url.startswith("s3://"):
        # Imported where it is needed: the client takes longer to import than a command to answer.
        from spade_spark.storage.s3 import S3Store  # noqa: PLC0415 - see above

        return S3Store(url, s3)
    if not url or ("://" in url and not url.startswith("file://")):
        raise InputError(f"{url!r} is no store: write s3://bucket/prefix/ or a directory")
    from spade_spark.storage.local import DirectoryStore  # noqa: PLC0415 - beside its twin

    return DirectoryStore(url)


def split_url(url: str) -> tuple[str, str]:
    """An object's URL as the URL of what holds it and the key: for files named in settings."""
    head, slash, key = url.rpartition("/")
    return (head + slash or "./"), key
