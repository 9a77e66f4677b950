"""Objects on S3, or on any store that speaks its API. The only file that imports its client."""

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
from spade_spark.storage.base import Snapshot, StoredObject

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchBucket", "NoSuchKey"}
_CHANGED = {"412", "PreconditionFailed"}
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
# Only what goes on from the end of a body that did not fit its checksum asks for such a range.
_PASSING = {"SlowDown", "RequestTimeout", "ThrottlingException", "InvalidRange"}
_SERVER_FAULT = 500
_RESUMES = 8
_CUT = (BotoCoreError, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class S3Store:
    """Objects below ``s3://bucket/prefix/``.

    The client is opened at the first use and never pickled: what crosses to an executor is a URL.
    """

    def __init__(self, url: str, settings: S3Settings) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError(f"{url} names no bucket: write s3://bucket/prefix/")
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
                # Other stores than AWS have no virtual hosts for buckets.
                s3={"addressing_style": "path"} if self._settings.endpoint_url else {},
            ),
        )

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See :class:`~spade_spark.store.Store`."""
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
        """See :class:`~spade_spark.store.Store`."""
        return io.BufferedReader(_ResumingBody(self, key, etag, size), 256 * 1024)

    def read(self, key: str) -> bytes:
        """See :class:`~spade_spark.store.Store`."""
        with self.open(key) as stream:
            return stream.read()

    def snapshot(self, key: str) -> Snapshot:
        """See :class:`~spade_spark.store.Store`."""
        for _ in range(_RESUMES):
            with _translated(self.url + key):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            try:
                with answer["Body"] as body:
                    data = body.read()
            except _CUT as error:
                cut = type(error).__name__
                continue  # anew and not from where it was cut: it may be another object by now
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            return Snapshot(data, answer["ETag"].strip('"'), parsedate_to_datetime(date))
        raise TransientError(
            f"{self.url}{key}: the connection broke {_RESUMES} times while reading ({cut}); run "
            "the same command again"
        )

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """See :class:`~spade_spark.store.Store`."""
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        return self._put(key, data, condition)

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """See :class:`~spade_spark.store.Store`."""
        try:
            return self._put(key, data, {"IfMatch": f'"{etag}"'})
        except ObjectNotFoundError:
            return False

    def _put(self, key: str, data: bytes, condition: dict[str, Any]) -> bool:
        """Writes an object; False where it does not meet the condition."""
        with _translated(self.url + key):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + key, Body=data, **condition
                )
            except ClientError as error:
                if condition and _code(error) in _TAKEN:
                    # The refusal may be of our own first try, whose answer was lost.
                    return self._holds(key, data)
                raise
        return True

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key) == data
        except ObjectNotFoundError:  # what was in the way is not there yet, or no longer
            return False

    def upload(self, key: str, path: Path) -> None:
        """See :class:`~spade_spark.store.Store`."""
        # One part at a time: what is held in memory is one part, whatever the file's size.
        config = TransferConfig(use_threads=False, multipart_chunksize=16 * 1024 * 1024)
        with _translated(self.url + key):
            self._client.upload_file(str(path), self._bucket, self._prefix + key, Config=config)

    def delete(self, key: str) -> None:
        """See :class:`~spade_spark.store.Store`."""
        with _translated(self.url + key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def body(self, key: str, etag: str, offset: int) -> tuple[Any, str]:
        """The object's body from ``offset`` on, and its ETag."""
        conditions: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        if offset:
            conditions["Range"] = f"bytes={offset}-"
        with _translated(self.url + key):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + key, **conditions
            )
        return answer["Body"], answer["ETag"].strip('"')


class _ResumingBody(io.RawIOBase):
    """A body that, when its connection is cut, goes on where it stopped, from the same object.

    So it does where the body ends before the object's ``size``, though its own length was that of
    its half: a cut object and a cut answer look the same from behind.
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
            except _CUT as error:
                self._resume(type(error).__name__)
                continue
            if not data and view and self._offset < self._size:
                self._resume("too short a body")
                continue
            view[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def _resume(self, reason: str) -> None:
        self._resumes += 1
        if self._resumes > _RESUMES:
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
    """The client's errors as this package's, naming the object."""
    try:
        yield
    except ClientError as error:
        raise _translate(name, error) from None
    except S3UploadFailedError as error:  # boto3's own, around what an upload was answered
        if not isinstance(error.__context__, ClientError):
            raise
        raise _translate(name, error.__context__) from None
    except (HTTPClientError, NotConnected) as error:
        raise TransientError(
            f"{name}: S3 does not answer ({type(error).__name__}); check s3.endpoint_url and the "
            "network, then run the same command again"
        ) from None
    except BotoCoreError as error:
        raise InputError(
            f"{name}: {error}; check the credentials and s3.region, s3.endpoint_url"
        ) from None


def _translate(name: str, error: ClientError) -> Exception:
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        bucket = name.removeprefix("s3://").partition("/")[0]
        return ObjectNotFoundError(
            f"there is no bucket {bucket} ({name}): check its name and region"
        )
    if code in _MISSING:
        return ObjectNotFoundError(f"{name} is not there")
    if code in _CHANGED:
        return ObjectChangedError(f"{name} has changed since it was planned")
    if status >= _SERVER_FAULT or code in _PASSING:
        return TransientError(f"{name}: S3 answered {status} {code}; run the same command again")
    return InputError(f"{name}: S3 refused it ({status} {code}): check the role's permissions")
