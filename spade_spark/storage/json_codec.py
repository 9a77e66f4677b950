"""Encode records as JSON, with equal bytes for equal records."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from spade_spark.errors import InputError

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """Encode a record as JSON; equal records give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1)


def digest(record: object) -> str:
    """Return the SHA-256 (hex) of a record's JSON."""
    return hashlib.sha256(encode(record)).hexdigest()


def decode(data: bytes, record_type: type[Record], name: str, label: str) -> Record:
    """Decode a record from its JSON.

    Args:
        data: The JSON.
        record_type: The record's class.
        name: URL of the object, for the error message.
        label: What the object should be, for the error message: "plan", "manifest".

    Raises:
        InputError: The JSON is not a valid record of this type.
    """
    try:
        return msgspec.json.decode(data, type=record_type)
    except msgspec.MsgspecError as error:
        raise InputError(f"{name} is not a valid {label}: {error}") from None
