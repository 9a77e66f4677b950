"""Files that lookup settings name: a path on every worker, or ``s3://`` through a node's cache."""

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
    """The whole of a small file.

    Raises:
        SettingsError: It is missing or cannot be read; names ``setting``.
        TransientError: S3 does not answer.
    """
    with _blaming(setting, url):
        folder, key = split_url(url)
        return open_store(folder, s3).read(key)


@contextmanager
def local_file(setting: str, url: str, s3: S3Settings) -> Iterator[Path]:
    """The path of a large file, to be opened inside the ``with``.

    A file on S3 is fetched once per node, whatever the number of worker processes, and again when
    it has changed there. It may be replaced after the ``with``: what has it open or mapped by then
    keeps what it has.

    Raises:
        SettingsError: It is missing or cannot be kept here; names ``setting``.
        TransientError: S3 does not answer.
    """
    with _blaming(setting, url):
        if not url.startswith("s3://"):
            yield Path(url.removeprefix("file://"))
            return
        prefix = hashlib.sha256(f"{s3.endpoint_url}\n{url}".encode()).hexdigest()[:32]
        folder = _private_folder()
        with _locked(folder / f"{prefix}.lock"):
            yield _fetch(url, s3, folder, prefix)


def _fetch(url: str, s3: S3Settings, folder: Path, prefix: str) -> Path:
    """The copy of the object as it is now; copies of what it was before are removed."""
    holder, key = split_url(url)
    store = open_store(holder, s3)
    # In byte order a key comes before all that it begins.
    found = next(store.list(key), None)
    if found is None or found.key != key:
        raise ObjectNotFoundError(f"{url} is not there")
    version = hashlib.sha256(found.etag.encode()).hexdigest()[:32]
    path = folder / f"{prefix}-{version}"
    if not (path.exists() and path.stat().st_size == found.size):
        _download(store, found, path)
    for other in folder.glob(f"{prefix}-*"):
        if other != path:
            other.unlink()
    return path


def _download(store: Store, found: StoredObject, path: Path) -> None:
    """Whole or not at all; the caller holds the lock, so a part left over is nobody's."""
    part = path.with_name(path.name + ".part")
    with store.open(found.key, found.etag) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    part.replace(path)


def _private_folder() -> Path:
    """A directory below the temporary one that only this user can write to and read.

    Its name can be guessed, so one that another user has laid out is refused.
    """
    folder = Path(tempfile.gettempdir(), f"spade-spark-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not ours or status.st_mode & 0o077:
        raise PermissionError(
            f"{folder} is not a directory of this user alone; remove it, or set TMPDIR"
        )
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one thread of one process at a time; the kernel lets go of it with the process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _blaming(setting: str, url: str) -> Iterator[None]:
    """Failures as the setting's; a URL of another kind may hold a password and is not shown."""
    if "://" in url and not url.startswith(("s3://", "file://")):
        raise SettingsError(f"{setting} must be a path or s3://bucket/key, no other URL")
    try:
        yield
    except InputError as error:
        raise SettingsError(
            f"{setting}: {url} cannot be read ({error}): put it there, or set {setting} right"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{setting}: {url} cannot be read ({error.strerror or error}): a path must be right on "
            "every worker; s3://bucket/key is fetched by each"
        ) from None
