"""The settings file of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_TEXT = """\
# Settings of the running sandbox. Each start overwrites this file.
# conf/production.example.toml shows every setting.

[blueprint]
schemas = {schemas}
streams = {streams}

[input]
edge = {edge}
# The logs are from a past day, but were written to S3 just now. The time of an object is therefore
# the one in its name, not its last modification. A copied or restored bucket needs this, too.
time_source = "key"

[output]
base = {base}

[warehouse]
# A Unix socket that only you can open, without a password. In production, use the environment
# variable SPADE_RSURL.
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
    """The locations of a sandbox's services and files.

    Attributes:
        schemas: URL of the Blueprint schemas.
        streams: URL of the stream configuration.
        edge: URL of the edge logs.
        base: URL of the output.
        warehouse: The warehouse's URL.
        city: Path of the city database.
        asn: Path of the ASN database.
        users: URL of the users service.
        endpoint: URL of the S3 server, which also serves Kinesis.
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
        """Return the text of the settings file."""
        return _TEXT.format(
            **{name: _toml_string(str(value)) for name, value in vars(self).items()}
        )


def _toml_string(text: str) -> str:
    """Quote a TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
