"""How records are stored: as JSON, with equal bytes for equal records."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from spade_spark.errors import InputError

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """A record as JSON, the same bytes for equal records."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1)


def digest(record: object) -> str:
    """SHA-256 (hex) of the record's JSON."""
    return hashlib.sha256(encode(record)).hexdigest()


def decode(data: bytes, kind: type[Record], name: str) -> Record:
    """A record of ``kind`` from its JSON.

    Raises:
        InputError: The object ``name`` is not such a record.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{name} is no {kind.__name__.strip('_').lower()} of this program: {error}"
        ) from None
