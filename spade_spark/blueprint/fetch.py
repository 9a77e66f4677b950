"""Fetches files that Blueprint publishes: from S3, over HTTP or from a path."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Final

import urllib3

from spade_spark.errors import InputError, ObjectNotFoundError, SettingsError, TransientError
from spade_spark.retry import RetryPolicy
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store

_GZIP: Final = b"\x1f\x8b"
_RETRIES: Final = RetryPolicy(max_attempts=4, max_seconds=45, initial_wait=0.4, max_wait=5)
_TIMEOUT: Final = urllib3.Timeout(connect=5, read=30)  # seconds
_REDIRECTS_ONLY: Final = urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=3)
_SERVER_ERROR: Final = 500
_OK: Final = 200


def fetch(source: str, s3: S3Settings) -> bytes:
    """Read ``source`` and decompress it if it is gzip data.

    Args:
        source: ``s3://bucket/key``, an ``http(s)://`` URL, or a path.
        s3: The S3 settings.

    Raises:
        SettingsError: The file is missing or cannot be read.
        ObjectNotFoundError: The S3 object does not exist.
        InputError: The server rejects the request, or the gzip data is corrupt.
        TransientError: The server failed or did not respond on all attempts.
    """
    return _inflate(_read(source, s3), source)


def redact_url(source: str) -> str:
    """Return ``source`` for messages: an HTTP URL without its password and query."""
    if not source.startswith(("http://", "https://")):
        return source
    return urllib3.util.parse_url(source)._replace(auth=None, query=None, fragment=None).url


def _read(source: str, s3: S3Settings) -> bytes:
    if source.startswith("s3://"):
        prefix, _, key = source.rpartition("/")
        try:
            return open_store(f"{prefix}/", s3).read(key)
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"{error}; check [blueprint] in the settings") from None
    if source.startswith(("http://", "https://")):
        return _RETRIES.call(lambda: _get(source))
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"the file {source} does not exist: check [blueprint] in the settings"
        ) from None
    except OSError as error:
        raise SettingsError(f"cannot read {source}: {error.strerror}") from None


def _get(url: str) -> bytes:
    """Return the body of an HTTP response; messages never contain the query or the password."""
    name = redact_url(url)
    try:
        response = urllib3.request("GET", url, timeout=_TIMEOUT, retries=_REDIRECTS_ONLY)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(
            f"{name} does not respond ({type(error).__name__}); retry later"
        ) from None
    if response.status >= _SERVER_ERROR:
        raise TransientError(f"{name} returned status {response.status}; retry later")
    if response.status != _OK:
        raise InputError(
            f"{name} returned status {response.status}: check [blueprint] in the settings"
        )
    return response.data


def _inflate(data: bytes, source: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"the gzip data of {redact_url(source)} is corrupt ({error}): publish it again"
        ) from None
