"""COPY ... FROM 's3://...': strict parsing, and reading from S3 with the named credentials."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.redshift import judge
from tests.support.redshift.documented import COPY_CONFLICTS, COPY_OPTIONS, NOT_FROM_S3
from tests.support.redshift.refused import Refused
from tests.support.redshift.sql import stored_name
from tests.support.redshift.values import LoadError, Options, TargetColumn, convert, split_records

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|[(),.])")
_FLAGS = {
    "removequotes", "escape", "gzip", "truncatecolumns", "roundec", "fillrecord", "emptyasnull",
    "trimblanks", "manifest", "noload",
}  # fmt: skip
_MAX_ERRORS = 20


@dataclass(frozen=True)
class S3Access:
    """The S3 server, and the credentials that may read from it.

    Attributes:
        endpoint_url: The S3 server.
        region: The region that its buckets are in.
        keys: The secret key and session token of each access key.
        roles: A regular expression of the buckets that each role may read, by the role's ARN.
    """

    endpoint_url: str
    region: str
    keys: Mapping[str, tuple[str, str]]
    roles: Mapping[str, str]

    @cached_property
    def client(self) -> Any:
        """The cluster's own client, which may read everything; ``Source`` checks permissions."""
        return boto3.session.Session(aws_access_key_id="any", aws_secret_access_key="any").client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
        )


@dataclass(frozen=True)
class Copy:
    """A parsed COPY."""

    table: str
    columns: tuple[str, ...]
    url: str
    options: Options
    role: str = ""
    key: str = ""
    secret: str = ""
    token: str = ""


@dataclass(frozen=True)
class BadRow:
    """A load error and its position."""

    file: str
    line: int
    raw: str
    error: LoadError


def is_copy(sql: str) -> bool:
    return bool(re.match(r"COPY\b.*\bFROM\s+'s3://", sql, re.IGNORECASE | re.DOTALL))


def parse(sql: str) -> Copy:
    """Parse the statement.

    Raises:
        Refused: It has a word or option that this server or Redshift does not know.
    """
    tokens = _tokens(sql)
    _expect(tokens, "copy")
    table = next(tokens)
    token = next(tokens)
    while token == ".":
        table += "." + next(tokens)
        token = next(tokens)
    columns: list[str] = []
    if token == "(":
        while token != ")":
            columns.append(stored_name(next(tokens).strip('"').replace('""', '"')))
            token = next(tokens)
        token = next(tokens)
    if token.lower() != "from":
        raise Refused(f'syntax error at or near "{token}"', "42601")
    copy = Copy(stored_name(table), tuple(columns), _string(next(tokens)), Options())
    words = list(tokens)
    _check_combination({word.lower() for word in words})
    tokens = iter(words)
    for token in tokens:
        copy = _option(copy, token.lower(), tokens)
    if not (copy.role or copy.key):
        raise Refused("CREDENTIALS argument is required but not supplied", "XX000")
    judge.check(sql)
    return copy


def _option(copy: Copy, word: str, tokens: Iterator[str]) -> Copy:
    options = copy.options
    if word in _FLAGS:
        if getattr(options, word):
            raise Refused(f"conflicting or redundant options: {word}", "42601")
        flag: dict[str, Any] = {word: True}
        return replace(copy, options=replace(options, **flag))
    if word == "delimiter":
        text = _string(next(tokens)).replace("\\t", "\t")
        return replace(copy, options=replace(options, delimiter=text.encode()))
    if word == "acceptinvchars":
        return replace(
            copy, options=replace(options, acceptinvchars=_string(next(tokens)).encode())
        )
    if word in ("compupdate", "statupdate"):
        if next(tokens).lower() not in ("on", "off"):
            raise Refused(f"{word} takes ON or OFF", "42601")
        return copy
    if word == "region":
        return replace(copy, options=replace(options, region=_string(next(tokens))))
    names = {
        "iam_role": "role", "access_key_id": "key", "secret_access_key": "secret",
        "session_token": "token",
    }  # fmt: skip
    if word in names:
        value: dict[str, Any] = {names[word]: _string(next(tokens))}
        return replace(copy, **value)
    if word in COPY_OPTIONS:
        raise Refused(f"this server does not implement {word.upper()}")
    raise Refused(f'syntax error at or near "{word}"', "42601")


def _check_combination(words: set[str]) -> None:
    """Check that the options can be combined."""
    for option, others in COPY_CONFLICTS:
        conflicts = sorted(others & words)
        if option in words and conflicts:
            raise Refused(f"{conflicts[0].upper()} is not supported with {option.upper()}", "42601")
    for option in sorted(NOT_FROM_S3 & words):
        raise Refused(f"{option.upper()} is not supported for COPY from S3", "42601")
    if "quote" in words and "csv" not in words:
        raise Refused("QUOTE is only supported with CSV", "42601")


class Source:
    """The files of one COPY.

    Its methods raise Refused, with Redshift's message, if S3 rejects a request.
    """

    def __init__(self, copy: Copy, access: S3Access) -> None:
        self._copy = copy
        self._access = access
        self._check_credentials()

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the URL and the decompressed bytes of each file."""
        if not self._copy.options.manifest:
            raise Refused(
                "this server loads only from manifests, since a prefix can match other files"
            )
        for entry in self._entries():
            try:
                data = self._object(entry["url"])
            except Refused:
                if entry.get("mandatory", False):
                    raise
                continue
            length = entry.get("meta", {}).get("content_length", len(data))
            if length != len(data):
                raise Refused(
                    f"The content_length of {entry['url']} in the manifest is {length}, but the "
                    f"file has {len(data)} bytes",
                    "XX000",
                )
            yield entry["url"], self._inflated(entry["url"], data)

    def _entries(self) -> list[dict[str, Any]]:
        try:
            manifest = json.loads(self._object(self._copy.url))
            entries: list[dict[str, Any]] = manifest["entries"]
        except (ValueError, KeyError, TypeError):
            raise Refused(f"Invalid manifest file - {self._copy.url}", "XX000") from None
        if not entries:
            raise Refused(
                f"The manifest file contains invalid data: no entries - {self._copy.url}", "XX000"
            )
        return entries

    def _inflated(self, url: str, data: bytes) -> bytes:
        if not self._copy.options.gzip:
            return data
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise Refused(f"Failed to decompress {url}: invalid gzip data", "XX000") from None

    def _object(self, url: str) -> bytes:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        role = self._copy.role
        if role and not re.match(self._access.roles[role], bucket):
            raise _s3_refusal("Access Denied", 403, "AccessDenied")
        try:
            body: bytes = self._access.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            details = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise _s3_refusal(details["Message"], status, details["Code"]) from None
        return body

    def _check_credentials(self) -> None:
        copy, access = self._copy, self._access
        if copy.role:
            if copy.role not in access.roles:
                raise Refused(
                    "User arn:aws:redshift:us-west-2:123456789012:dbuser:cluster/loader is not "
                    f"authorized to assume IAM Role {copy.role}",
                    "XX000",
                )
        elif copy.key not in access.keys:
            raise _s3_refusal(
                f"The AWS Access Key Id you provided ({copy.key}) does not exist in our records.",
                403,
                "InvalidAccessKeyId",
            )
        elif access.keys[copy.key] != (copy.secret, copy.token):
            raise _s3_refusal(
                "The request signature we calculated does not match the signature you provided.",
                403,
                "SignatureDoesNotMatch",
            )
        if copy.options.region and copy.options.region != access.region:
            raise _s3_refusal(
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint.",
                301,
                "PermanentRedirect",
            )


def converted(
    source: Source, columns: list[TargetColumn], options: Options
) -> tuple[list[list[str | None]], list[BadRow]]:
    """Return all rows of all files, and the first rejected rows."""
    rows: list[list[str | None]] = []
    bad: list[BadRow] = []
    for url, data in source.files():
        for line, record in enumerate(split_records(data, options), start=1):
            try:
                rows.append(convert(record, columns, options))
            except LoadError as error:
                bad.append(BadRow(url, line, record.decode("utf-8", "replace"), error))
            if len(bad) == _MAX_ERRORS:
                return rows, bad
    return rows, bad


def copy_text(rows: list[list[str | None]]) -> bytes:
    """Return the rows in the text format of PostgreSQL's COPY."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    lines = (
        "\t".join("\\N" if value is None else value.translate(escapes) for value in row)
        for row in rows
    )
    return "".join(line + "\n" for line in lines).encode()


def _s3_refusal(message: str, status: int, code: str) -> Refused:
    return Refused(
        f"S3ServiceException:{message},Status {status},Error {code},Rid 0A1B2C3D,CanRetry 1",
        "XX000",
    )


def _tokens(sql: str) -> Iterator[str]:
    position, sql = 0, sql.strip()
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            raise Refused(f'syntax error at or near "{sql[position : position + 20]}"', "42601")
        yield match[1]
        position = match.end()


def _expect(tokens: Iterator[str], word: str) -> None:
    if next(tokens).lower() != word:
        raise Refused("syntax error", "42601")


def _string(token: str) -> str:
    if not token.startswith("'"):
        raise Refused(f'syntax error at or near "{token}"', "42601")
    return token[1:-1].replace("''", "'")
