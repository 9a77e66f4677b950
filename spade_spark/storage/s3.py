"""Store objects on S3 or an S3-compatible service."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
import urllib3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from spade_spark.errors import InputError, ObjectChangedError, ObjectNotFoundError, TransientError
from spade_spark.settings import S3Settings
from spade_spark.storage.aws import new_session
from spade_spark.storage.base import StoredObject, VersionedObject

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchBucket", "NoSuchKey"}
_CHANGED = {"412", "PreconditionFailed"}
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
# InvalidRange follows a checksum error at the end of a body, when the read is resumed there.
_TRANSIENT = {"SlowDown", "RequestTimeout", "ThrottlingException", "InvalidRange"}
_SERVER_ERROR = 500
_MAX_RESUMES = 8
_CONNECTION_ERRORS = (BotoCoreError, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class S3Store:
    """Objects below ``s3://bucket/prefix/``.

    The client is created on first use and is never pickled; executors receive only the URL.
    """

    def __init__(self, url: str, settings: S3Settings) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError(f"{url} has no bucket: use s3://bucket/prefix/")
        self._bucket = bucket
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        self._settings = settings
        self.url = f"s3://{bucket}/{self._prefix}"

    @cached_property
    def _client(self) -> S3Client:
        return boto3.session.Session(botocore_session=new_session()).client(
            "s3",
            region_name=self._settings.region,
            endpoint_url=self._settings.endpoint_url or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 6},
                connect_timeout=5,
                read_timeout=20,
                # Stores other than AWS have no virtual hosts for buckets.
                s3={"addressing_style": "path"} if self._settings.endpoint_url else {},
            ),
        )

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See :class:`~spade_spark.storage.base.Store`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(f"{self.url}{prefix}"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", []):
                    yield StoredObject(
                        entry["Key"].removeprefix(self._prefix),
                        entry["Size"],
                        entry["ETag"].strip('"'),
                        entry["LastModified"],
                    )

    def open(self, key: str, etag: str = "", size: int = 0) -> BinaryIO:
        """See :class:`~spade_spark.storage.base.Store`."""
        return io.BufferedReader(_ResumingBody(self, key, etag, size), 256 * 1024)

    def read(self, key: str) -> bytes:
        """See :class:`~spade_spark.storage.base.Store`."""
        with self.open(key) as stream:
            return stream.read()

    def read_versioned(self, key: str) -> VersionedObject:
        """See :class:`~spade_spark.storage.base.Store`."""
        for _ in range(_MAX_RESUMES):
            with _translated(self.url + key):
                response = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            try:
                with response["Body"] as body:
                    data = body.read()
            except _CONNECTION_ERRORS as error:
                reason = type(error).__name__
                continue  # read from the start, because the object may have changed
            date = response["ResponseMetadata"]["HTTPHeaders"]["date"]
            return VersionedObject(data, response["ETag"].strip('"'), parsedate_to_datetime(date))
        raise TransientError(
            f"{self.url}{key}: the connection broke {_MAX_RESUMES} times while reading "
            f"({reason}); run the same command again"
        )

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """See :class:`~spade_spark.storage.base.Store`."""
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        return self._put(key, data, condition)

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """See :class:`~spade_spark.storage.base.Store`."""
        try:
            return self._put(key, data, {"IfMatch": f'"{etag}"'})
        except ObjectNotFoundError:
            return False

    def _put(self, key: str, data: bytes, condition: dict[str, Any]) -> bool:
        """Write an object; return False if the condition does not hold."""
        with _translated(self.url + key):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + key, Body=data, **condition
                )
            except ClientError as error:
                if condition and _code(error) in _TAKEN:
                    # Our own earlier attempt may have succeeded with its response lost.
                    return self._holds(key, data)
                raise
        return True

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key) == data
        except ObjectNotFoundError:  # the conflicting object does not exist yet, or no longer
            return False

    def upload(self, key: str, path: Path) -> str:
        """See :class:`~spade_spark.storage.base.Store`."""
        # One part at a time, so that memory holds only one part.
        config = TransferConfig(use_threads=False, multipart_chunksize=16 * 1024 * 1024)
        with _translated(self.url + key):
            self._client.upload_file(str(path), self._bucket, self._prefix + key, Config=config)
            # upload_file does not return the ETag.
            response = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        return response["ETag"].strip('"')

    def delete(self, key: str) -> None:
        """See :class:`~spade_spark.storage.base.Store`."""
        with _translated(self.url + key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def body(self, key: str, etag: str, offset: int) -> tuple[Any, str]:
        """Open the object's body at ``offset``; return it with the ETag."""
        conditions: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        if offset:
            conditions["Range"] = f"bytes={offset}-"
        with _translated(self.url + key):
            response = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + key, **conditions
            )
        return response["Body"], response["ETag"].strip('"')


class _ResumingBody(io.RawIOBase):
    """A body that resumes a broken download at the current offset of the same object.

    It also resumes if the body ends before the object's ``size``, even if the response looks
    complete.
    """

    def __init__(self, store: S3Store, key: str, etag: str, size: int) -> None:
        super().__init__()
        self._store, self._key, self._size = store, key, size
        self._offset = 0
        self._resumes = 0
        self._body, self._etag = store.body(key, etag, 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while True:
            try:
                data = self._body.read(len(view))
            except _CONNECTION_ERRORS as error:
                self._resume(type(error).__name__)
                continue
            if not data and view and self._offset < self._size:
                self._resume("the body is too short")
                continue
            view[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def _resume(self, reason: str) -> None:
        self._resumes += 1
        if self._resumes > _MAX_RESUMES:
            raise TransientError(
                f"{self._store.url}{self._key}: the connection broke {self._resumes} times while "
                f"reading ({reason}); run the same command again"
            ) from None
        self._body.close()
        self._body, _ = self._store.body(self._key, self._etag, self._offset)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate the client's errors to those of this package, which name the object."""
    try:
        yield
    except ClientError as error:
        raise _translate(name, error) from None
    except S3UploadFailedError as error:  # boto3 wraps the original error
        if not isinstance(error.__context__, ClientError):
            raise
        raise _translate(name, error.__context__) from None
    except (HTTPClientError, NotConnected) as error:
        raise TransientError(
            f"{name}: S3 does not respond ({type(error).__name__}); check s3.endpoint_url and the "
            "network, then run the same command again"
        ) from None
    except BotoCoreError as error:
        raise InputError(
            f"{name}: {error}; check the credentials, s3.region and s3.endpoint_url"
        ) from None


def _translate(name: str, error: ClientError) -> Exception:
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        bucket = name.removeprefix("s3://").partition("/")[0]
        return ObjectNotFoundError(
            f"bucket {bucket} does not exist ({name}): check its name and region"
        )
    if code in _MISSING:
        return ObjectNotFoundError(f"{name} does not exist")
    if code in _CHANGED:
        return ObjectChangedError(f"{name} has changed since the plan was created")
    if status >= _SERVER_ERROR or code in _TRANSIENT:
        return TransientError(f"{name}: S3 returned {status} {code}; run the same command again")
    return InputError(
        f"{name}: S3 refused the request ({status} {code}): check the permissions of the "
        "credentials"
    )
