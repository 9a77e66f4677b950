"""Fetches what Blueprint publishes, from wherever a setting says that it lies."""

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
_SERVER_FAULT: Final = 500
_OK: Final = 200


def fetch(source: str, s3: S3Settings) -> bytes:
    """The bytes at ``source``, with gzip undone where they are compressed.

    Args:
        source: ``s3://bucket/key``, an ``http(s)://`` URL, or a path.
        s3: The S3 API to talk to.

    Raises:
        SettingsError: No source is given, there is no such file, or it cannot be read.
        ObjectNotFoundError: There is no such object on S3.
        InputError: The server refuses, or the gzip is damaged.
        TransientError: The server does not answer, or fails, several times over.
    """
    return _inflate(_read(source, s3), source)


def redact_url(source: str) -> str:
    """``source`` as messages name it: of a URL, neither password nor query."""
    if not source.startswith(("http://", "https://")):
        return source
    return urllib3.util.parse_url(source)._replace(auth=None, query=None, fragment=None).url


def _read(source: str, s3: S3Settings) -> bytes:
    if not source:
        raise SettingsError(
            "there is no list of tables: set blueprint.schemas to an s3:// or http(s):// URL or "
            "a path"
        )
    if source.startswith("s3://"):
        prefix, _, key = source.rpartition("/")
        try:
            return open_store(f"{prefix}/", s3).read(key)
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"{error}; see [blueprint] in the settings") from None
    if source.startswith(("http://", "https://")):
        return _RETRIES.call(lambda: _get(source))
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise SettingsError(f"there is no file {source}: see [blueprint] in the settings") from None
    except OSError as error:
        raise SettingsError(f"{source} cannot be read: {error.strerror}") from None


def _get(url: str) -> bytes:
    """The body at an HTTP URL; its query and password are never shown."""
    name = redact_url(url)
    try:
        response = urllib3.request("GET", url, timeout=_TIMEOUT, retries=_REDIRECTS_ONLY)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(
            f"{name} does not answer ({type(error).__name__}); try later"
        ) from None
    if response.status >= _SERVER_FAULT:
        raise TransientError(f"{name} answers with status {response.status}; try later")
    if response.status != _OK:
        raise InputError(
            f"{name} answers with status {response.status}: see [blueprint] in the settings"
        )
    return response.data


def _inflate(data: bytes, source: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"the gzip of {redact_url(source)} is damaged ({error}): publish it anew"
        ) from None
