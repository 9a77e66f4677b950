"""The settings file that fits a sandbox, with the names of ``settings.md`` and comments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_TEXT = """\
# Settings for the sandbox that is running now; it wrote this file, and its next start writes it
# anew. conf/production.example.toml shows every setting.

[blueprint]
schemas = {schemas}
streams = {streams}

[input]
edge = {edge}
# The sandbox's logs are of a day in the past, but S3 has just been given them, so that the time of
# their last modification says nothing: as with a bucket that was copied or restored, the Unix
# seconds in the objects' names say which of them belong to a window.
time_source = "key"

[output]
base = {base}

[warehouse]
# A socket that you alone can open, and no password: so it may stand here. In production, use the
# environment variable SPADE_RSURL.
url = {warehouse}

[lookups.geoip]
city = {city}
asn = {asn}

[lookups.users]
url = {users}
timeout = "10s"        # a sandbox shares its machine with Spark
rate_per_second = 5000

[streams]
endpoint_url = {endpoint}

[s3]
endpoint_url = {endpoint}
region = "us-east-1"

[spark]
"spark.ui.enabled" = "false"
"""


@dataclass(frozen=True)
class SandboxEndpoints:
    """Where the parts of a sandbox are.

    Attributes:
        schemas: URL of the Blueprint schemas.
        streams: URL of the configuration of streams.
        edge: URL of the edge bucket.
        base: URL of the output bucket.
        warehouse: The warehouse's URL.
        city: Path of the city database.
        asn: Path of the database of autonomous systems.
        users: URL of the users service.
        endpoint: URL of the S3 server, which has Kinesis too.
    """

    schemas: str
    streams: str
    edge: str
    base: str
    warehouse: str
    city: Path
    asn: Path
    users: str
    endpoint: str

    def toml(self) -> str:
        """The settings file's text."""
        return _TEXT.format(**{name: _quoted(str(value)) for name, value in vars(self).items()})


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
