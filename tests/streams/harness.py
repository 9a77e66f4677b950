"""Stream configurations as Blueprint publishes them, and decoding of globs."""

from __future__ import annotations

import base64
import json
import zlib

from spade_spark.streams.config import Stream


def spade_config(name="views", kind="stream", **more):
    """A valid ``SpadeConfig``."""
    return {
        "StreamName": name,
        "StreamType": kind,
        "MaxAttemptsPerRecord": 3,
        "RetryDelay": "0s",
        "Events": {"login": {"Fields": ["login", "n"]}},
        "Globber": {"MaxSize": 990000, "MaxAge": "1s"},
        "Batcher": {"MaxSize": 990000, "MaxEntries": 500, "MaxAge": "1s"},
        **more,
    }


def entry(config, version=1, **more):
    """One entry of the published list."""
    return {"AWSAccount": 0, "Version": version, "SpadeConfig": config, "Dropped": False, **more}


def published(*configs):
    """The published list."""
    return json.dumps([entry(config) for config in configs]).encode()


def stream(**more):
    """A validated stream."""
    return Stream.model_validate(spade_config(**more))


def unglob(data):
    """Decode a glob as a consumer does."""
    assert data[:1] == b"\x01"
    return json.loads(zlib.decompress(data[1:], wbits=-15))


def unpack(record):
    """Decode the entries of a compressed record."""
    return unglob(base64.b64decode(record["Data"]))
