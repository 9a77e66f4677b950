"""Store objects in a local or mounted directory."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from spade_spark.errors import InputError, ObjectChangedError, ObjectNotFoundError
from spade_spark.storage.base import StoredObject, VersionedObject

_PART = ".part-"


class DirectoryStore:
    """Objects below a directory; slashes in keys are folders."""

    def __init__(self, url: str) -> None:
        self._root = Path(url.removeprefix("file://")).absolute()
        self.url = f"{self._root}/"

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See :class:`~spade_spark.storage.base.Store`."""
        if not self._root.is_dir():
            raise ObjectNotFoundError(f"directory {self._root} does not exist")
        folder = prefix.rpartition("/")[0]
        files = (path for path in self._path(folder).rglob("*") if path.is_file())
        objects = [self._stored(path) for path in files if not path.name.startswith(_PART)]
        matching = (entry for entry in objects if entry.key.startswith(prefix))
        yield from sorted(matching, key=lambda entry: entry.key.encode())

    def open(self, key: str, etag: str = "", size: int = 0) -> BinaryIO:  # noqa: ARG002 - part of the protocol
        """See :class:`~spade_spark.storage.base.Store`."""
        path = self._path(key)
        try:
            stream = path.open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise ObjectNotFoundError(f"{path} does not exist") from None
        if etag and self._stored(path).etag != etag:
            stream.close()
            raise ObjectChangedError(f"{path} has changed since the plan was created")
        return stream

    def read(self, key: str) -> bytes:
        """See :class:`~spade_spark.storage.base.Store`."""
        with self.open(key) as stream:
            return stream.read()

    def read_versioned(self, key: str) -> VersionedObject:
        """See :class:`~spade_spark.storage.base.Store`."""
        with self.open(key) as stream:
            # The ETag of the open file; the path may already point to another file.
            etag = _etag(os.fstat(stream.fileno()))
            return VersionedObject(stream.read(), etag, datetime.now(timezone.utc))

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """See :class:`~spade_spark.storage.base.Store`."""
        part = self._temporary_path(key)
        part.write_bytes(data)
        if not if_absent:
            part.replace(self._path(key))
            return True
        try:
            os.link(part, self._path(key))  # unlike a rename, a link never replaces a file
        except FileExistsError:
            return False
        else:
            return True
        finally:
            part.unlink()

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """See :class:`~spade_spark.storage.base.Store`."""
        path, part = self._path(key), self._temporary_path(key)
        try:
            part.write_bytes(data)
            with _exclusive(part.parent):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    return False
                if _etag(status) != etag:
                    return False
                # The ETag is unique because the time is later than that of the replaced file.
                later = max(part.stat().st_mtime_ns, status.st_mtime_ns + 1)
                os.utime(part, ns=(later, later))
                part.replace(path)
                return True
        finally:
            part.unlink(missing_ok=True)

    def upload(self, key: str, path: Path) -> str:
        """See :class:`~spade_spark.storage.base.Store`."""
        part = self._temporary_path(key)
        try:
            os.link(path, part)  # cheap, and safe because the file is not written to after this
        except OSError:
            shutil.copyfile(path, part)
        part.replace(self._path(key))
        return ""

    def delete(self, key: str) -> None:
        """See :class:`~spade_spark.storage.base.Store`."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if ".." in key.split("/"):
            raise InputError(f"{key!r} is outside the directory {self._root}")
        return self._root / key

    def _temporary_path(self, key: str) -> Path:
        """Return a new path next to the object."""
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{_PART}{uuid.uuid4().hex}"

    def _stored(self, path: Path) -> StoredObject:
        status = path.stat()
        return StoredObject(
            path.relative_to(self._root).as_posix(),
            status.st_size,
            _etag(status),
            datetime.fromtimestamp(status.st_mtime, timezone.utc),
        )


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock the folder against other threads and processes; the lock ends with the process.

    The lock is on a file that is open for writing, because NFS cannot lock anything else. The file
    is never deleted, and never listed.
    """
    handle = os.open(folder / f"{_PART}lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
