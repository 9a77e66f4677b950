"""Files in lookup settings: paths on every executor, or ``s3://`` with a cache per node."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spade_spark.errors import InputError, ObjectNotFoundError, SettingsError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import Store, StoredObject, open_store, split_url


def read_file(setting: str, url: str, s3: S3Settings) -> bytes:
    """Read a small file.

    Raises:
        SettingsError: The file is missing or cannot be read.
        TransientError: S3 does not respond.
    """
    with _as_settings_error(setting, url):
        folder, key = split_url(url)
        return open_store(folder, s3).read(key)


@contextmanager
def local_file(setting: str, url: str, s3: S3Settings) -> Iterator[Path]:
    """Return the local path of a large file; open it inside the ``with`` block.

    A file on S3 is downloaded once per node, and again if it has changed. Another process may
    replace the path after the ``with`` block; open files and memory maps remain valid.

    Raises:
        SettingsError: The file is missing or cannot be stored locally.
        TransientError: S3 does not respond.
    """
    with _as_settings_error(setting, url):
        if not url.startswith("s3://"):
            yield Path(url.removeprefix("file://"))
            return
        prefix = hashlib.sha256(f"{s3.endpoint_url}\n{url}".encode()).hexdigest()[:32]
        folder = _private_folder()
        with _locked(folder / f"{prefix}.lock"):
            yield _cached_copy(url, s3, folder, prefix)


def _cached_copy(url: str, s3: S3Settings, folder: Path, prefix: str) -> Path:
    """Return a local copy of the current object; remove the copies of earlier versions."""
    parent, key = split_url(url)
    store = open_store(parent, s3)
    # Of all keys with the prefix ``key``, the key itself is listed first.
    stored = next(store.list(key), None)
    if stored is None or stored.key != key:
        raise ObjectNotFoundError(f"{url} does not exist")
    version = hashlib.sha256(stored.etag.encode()).hexdigest()[:32]
    path = folder / f"{prefix}-{version}"
    if not (path.exists() and path.stat().st_size == stored.size):
        _download(store, stored, path)
    for other in folder.glob(f"{prefix}-*"):
        if other != path:
            other.unlink()
    return path


def _download(store: Store, stored: StoredObject, path: Path) -> None:
    """Download atomically. The caller holds the lock, so no process uses a ``.part`` file."""
    part = path.with_name(path.name + ".part")
    with store.open(stored.key, stored.etag) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    part.replace(path)


def _private_folder() -> Path:
    """Return a subdirectory of the temporary directory that only this user can access.

    Its name is predictable, so a directory that another user created is rejected.
    """
    folder = Path(tempfile.gettempdir(), f"spade-spark-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not is_own or status.st_mode & 0o077:
        raise PermissionError(
            f"{folder} is not a private directory of this user; remove it, or set TMPDIR"
        )
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive file lock; the kernel releases it when the process ends."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _as_settings_error(setting: str, url: str) -> Iterator[None]:
    """Raise errors as SettingsError. Never show URLs of other schemes: they may have a password."""
    if "://" in url and not url.startswith(("s3://", "file://")):
        raise SettingsError(f"{setting} must be a path or s3://bucket/key, not another URL")
    try:
        yield
    except InputError as error:
        raise SettingsError(
            f"{setting}: cannot read {url} ({error}): create the file, or correct {setting}"
        ) from None
    except OSError as error:
        problem = f"{setting}: cannot read {url} ({error.strerror or error})"
        if not url.startswith("s3://"):
            problem += (
                ": a path must exist on every executor; use s3://bucket/key to let each executor "
                "download the file"
            )
        raise SettingsError(problem) from None
