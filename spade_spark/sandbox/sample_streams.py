"""The sample's streams and their Blueprint configuration."""

from __future__ import annotations

from typing import Any

import boto3
import msgspec

from spade_spark.settings import S3Settings

VIEWERS = "viewers"
"""A compressed stream with the logins of known users and all fields of ``minute_watched``."""
CHAT = "chat"
"""A stream with one record for each chat message of a subscriber."""

_SUBSCRIBERS = [{"Field": "subscriber", "Values": ["true"], "Operator": "in_set"}]

_EVENTS: dict[str, dict[str, Any]] = {
    VIEWERS: {
        "login": {"Fields": ["time", "user_id", "platform"], "Filter": "isUserIDSet"},
        "minute_watched": {"AllFields": True},
    },
    CHAT: {
        "chat_message": {
            "Fields": ["sent_at", "channel", "body"],
            "FieldRenames": {"body": "text"},
            "Filter": "isOneOf",
            "FilterParameters": _SUBSCRIBERS,
        }
    },
}


def published() -> bytes:
    """Encode the streams' configuration: a JSON list."""
    return msgspec.json.encode([_entry(name) for name in _EVENTS])


def create_streams(s3: S3Settings) -> None:
    """Create the streams on the sandbox's S3 server, which also serves Kinesis."""
    kinesis = boto3.Session().client("kinesis", endpoint_url=s3.endpoint_url, region_name=s3.region)
    for name in _EVENTS:
        kinesis.create_stream(StreamName=name, ShardCount=1)


def _entry(name: str) -> dict[str, Any]:
    config = {
        "StreamName": name,
        "StreamType": "stream",
        "Compress": name == VIEWERS,
        "MaxAttemptsPerRecord": 10,
        "RetryDelay": "1s",
        "Events": _EVENTS[name],
        "Globber": {"MaxSize": 990_000, "MaxAge": "1s"},
        "Batcher": {"MaxSize": 990_000, "MaxEntries": 500, "MaxAge": "1s"},
    }
    return {"AWSAccount": 123456789012, "Version": 1, "Dropped": False, "SpadeConfig": config}
