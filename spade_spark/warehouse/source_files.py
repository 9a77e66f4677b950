"""The stored files of a table, checked against the run's manifest."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import igzip

from spade_spark.errors import ObjectChangedError, ObjectNotFoundError, SpadeError
from spade_spark.runs.load_results import TableFiles
from spade_spark.runs.manifest import copy_manifest
from spade_spark.runs.paths import copy_manifest_of_load
from spade_spark.settings import S3Settings
from spade_spark.storage.base import Store, StoredObject, TeeReader, open_store, split_url
from spade_spark.warehouse.redshift_copy_format import BLOCK_BYTES, blocks


class SourceFiles:
    """One table's files, with one store for each location."""

    def __init__(self, files: TableFiles, s3: S3Settings) -> None:
        self._files = files
        self._by_url = {file.url: file for file in files.files}
        prefixes = {split_url(file.url)[0] for file in files.files}
        self._stores = {prefix: open_store(prefix, s3) for prefix in prefixes}

    def check_sizes(self) -> dict[str, StoredObject]:
        """Check that each file exists and has the size in the manifest.

        Returns:
            The objects by URL. A listing has a thousand of them.

        Raises:
            ObjectNotFoundError: A file is missing.
            ObjectChangedError: The size of a file differs.
        """
        listed = {
            prefix + stored.key: stored
            for prefix, store in self._stores.items()
            for stored in store.list()
        }
        table = self._files.table
        for file in self._files.files:
            stored = listed.get(file.url)
            if stored is None:
                raise ObjectNotFoundError(
                    f"{table} was not modified: {file.url} is in the run's manifest but does not "
                    "exist; run the transform again under a new run tag"
                )
            if stored.size != file.size:
                raise ObjectChangedError(
                    f"{table} was not modified: {file.url} has {stored.size} bytes, but the run's "
                    f"manifest lists {file.size}; run the transform again under a new run tag"
                )
        return {url: listed[url] for url in self._by_url}

    def check_contents(self) -> dict[str, StoredObject]:
        """Check each file against the manifest: the ETag, or the SHA-256 if the ETag differs.

        The ETag also differs if S3 has encrypted or copied the object again, and a run of an
        earlier version has no ETags.

        Returns:
            The objects by URL.

        Raises:
            ObjectNotFoundError: A file is missing.
            ObjectChangedError: A file is not the one that the transform wrote.
        """
        objects = self.check_sizes()
        for url, stored in objects.items():
            if stored.etag != self._by_url[url].etag:
                self._check_hash(url, stored.etag)
        return objects

    def check_unchanged(self, objects: dict[str, StoredObject]) -> None:
        """Check that the files are still these objects, with their ETags and times.

        A file that was replaced and then put back has the same ETag, but another time.

        Raises:
            ObjectNotFoundError: A file is missing.
            ObjectChangedError: A file was replaced.
        """
        for url, stored in self.check_sizes().items():
            if stored != objects[url]:
                raise self._changed(url)

    @contextmanager
    def open_rows(self, url: str) -> Iterator[Iterator[bytes]]:
        """Open a file as blocks of rows. After the last block, its SHA-256 is checked.

        The iterator raises:
            ObjectChangedError: The file is not the one that the transform wrote.
        """
        digest = hashlib.sha256()
        with self._open(url) as raw, closing(TeeReader(raw, digest.update)) as tee:
            yield self._checked_blocks(url, tee, digest)

    def _checked_blocks(self, url: str, tee: TeeReader, digest: hashlib._Hash) -> Iterator[bytes]:
        with decompressed(cast("BinaryIO", tee)) as rows:
            yield from blocks(rows)
        while tee.read(BLOCK_BYTES):  # bytes after the last gzip member
            pass
        if digest.hexdigest() != self._by_url[url].sha256:
            raise self._changed(url)

    def _check_hash(self, url: str, etag: str) -> None:
        digest = hashlib.sha256()
        with self._open(url, etag) as raw:
            while data := raw.read(BLOCK_BYTES):
                digest.update(data)
        if digest.hexdigest() != self._by_url[url].sha256:
            raise self._changed(url)

    def _open(self, url: str, etag: str = "") -> BinaryIO:
        prefix, key = split_url(url)
        return self._stores[prefix].open(key, etag, self._by_url[url].size)

    def _changed(self, url: str) -> ObjectChangedError:
        return ObjectChangedError(
            f"{self._files.table} was not modified: {url} is not the file that the transform "
            "wrote; find out who replaced it, and run the transform again under a new run tag"
        )


@dataclass(frozen=True)
class CopyManifest:
    """The COPY manifest of one COPY.

    Attributes:
        table: The table's name.
        url: Its URL.
        store: Its store.
        data: Its bytes.
        stored: The object as it was listed after it was written.
    """

    table: str
    url: str
    store: Store
    data: bytes
    stored: StoredObject

    @classmethod
    def write(cls, files: TableFiles, s3: S3Settings) -> CopyManifest:
        """Write the files of the run's manifest under a name that nobody can know before."""
        url = copy_manifest_of_load(files.copy_manifest, uuid.uuid4().hex)
        prefix, key = split_url(url)
        store, data = open_store(prefix, s3), copy_manifest(files)
        store.write(key, data)
        return cls(files.table, url, store, data, next(iter(store.list(key))))

    def check_unchanged(self) -> None:
        """Check that the object has the bytes that were written, and was not put back.

        Raises:
            ObjectChangedError: It was replaced.
        """
        key = self.stored.key
        if self.store.read(key) != self.data or next(iter(self.store.list(key))) != self.stored:
            raise ObjectChangedError(
                f"{self.table} was not modified: {self.url} was replaced during the COPY; find "
                "out who replaced it, then run the same command again"
            )

    def delete(self) -> None:
        """Delete the object if the loader may; ``runs --prune`` deletes what is left."""
        with suppress(SpadeError):
            self.store.delete(self.stored.key)


def decompressed(raw: BinaryIO) -> BinaryIO:
    """Decompress a gzip stream."""
    # isal's type annotations are incomplete.
    return cast("BinaryIO", igzip.open(raw))  # type: ignore[no-untyped-call]


def read_problems(output: str, s3: S3Settings) -> list[str]:
    """Return what prevents this process from reading files below ``output`` on S3.

    A local directory is not checked: the run creates it.
    """
    if not output.startswith("s3://"):
        return []
    try:
        next(iter(open_store(output.rstrip("/") + "/", s3).list()), None)
    except SpadeError as error:
        return [f"cannot read the run's files below {output}: {error}"]
    return []
