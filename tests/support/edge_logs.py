"""Edge logs for tests: records, log objects, and Blueprint schemas."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime, timezone


def record(event, properties, at="2017-11-03T18:00:00Z", **fields):
    """An edge record of one event, without a line feed."""
    payload = json.dumps({"event": event, "properties": properties})
    return envelope(payload, at, **fields)


def envelope(payload, at="2017-11-03T18:00:00Z", **fields):
    """An edge record with this payload."""
    data = payload if isinstance(payload, bytes) else payload.encode()
    line = {
        "receivedAt": at,
        "clientIp": "10.1.0.1",
        "xForwardedFor": "",
        "uuid": "u-1",
        "data": base64.b64encode(data).decode(),
        "userAgent": "",
        "recordversion": 4,
        "edgeType": "internal",
        **fields,
    }
    return json.dumps(line, separators=(",", ":")).encode()


def log(lines):
    """A log object with these lines."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


def key(closed="2017-11-03T18:30:00", node="node", group="group"):
    """The key of an object that was closed at ``closed`` (UTC)."""
    time = datetime.fromisoformat(closed).replace(tzinfo=timezone.utc)
    return f"{time:%Y%m%d}/{group}/{int(time.timestamp())}.{node}.c0ffee.log.gz"


def column(inbound, transformer, outbound=None, options="", supporting=""):
    """A column as Blueprint publishes it."""
    return {
        "InboundName": inbound,
        "OutboundName": outbound or inbound,
        "Transformer": transformer,
        "ColumnCreationOptions": options,
        "SupportingColumns": supporting,
    }


def table(name, *columns, version=1):
    """A table as Blueprint publishes it."""
    return {"EventName": name, "Version": version, "Columns": list(columns)}


def schemas(*tables):
    """A list of tables as Blueprint publishes it."""
    return json.dumps(list(tables)).encode()


LOGIN = table(
    "login",
    column("time", "f@timestamp@unix"),
    column("login", "varchar", options="(20)"),
    column("n", "int"),
    version=3,
)
CHAT = table("chat", column("time", "f@timestamp@unix"), column("text", "varchar"), version=1)
