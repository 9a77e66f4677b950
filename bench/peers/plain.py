"""A simple loop over the events with json, base64, gzip and geoip2.

It is only correct for the clean data: it handles no percent-encoding, escapes or other formats.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import geoip2.database
import geoip2.errors

from spade_spark.settings import load

PACIFIC = ZoneInfo("America/Los_Angeles")


def clock(zone: Any) -> Callable[[Any], str]:
    """Return the converter of Unix seconds to the wall clock of ``zone``."""

    def text(seconds: Any) -> str:
        return datetime.fromtimestamp(seconds, zone).isoformat(" ")[:23].removesuffix("+00:00")

    return text


def converters(conf: Path) -> dict[str, Callable[[Any], str]]:
    """Return the transformers of the benchmark tables."""
    settings = load(conf).lookups
    city = geoip2.database.Reader(settings.geoip.city)
    asn = geoip2.database.Reader(settings.geoip.asn)

    @lru_cache(30_000)
    def locate(address: str) -> tuple[str, str, str, str]:
        try:
            location, system = city.city(address), asn.asn(address)
        except geoip2.errors.AddressNotFoundError:
            return "", "", "", ""
        number = f"AS{system.autonomous_system_number}"
        return (
            location.city.name or "",
            location.country.iso_code or "",
            location.subdivisions[0].iso_code if location.subdivisions else "",
            f"{number} {system.autonomous_system_organization}",
        )

    return {
        "varchar": str,
        "int": str,
        "bigint": str,
        "float": repr,
        "bool": lambda value: str(value).lower(),
        "f@timestamp@unix": clock(PACIFIC),
        "f@timestamp@unix-utc": clock(timezone.utc),
        "ipCity": lambda address: locate(address)[0],
        "ipCountry": lambda address: locate(address)[1],
        "ipRegion": lambda address: locate(address)[2],
        "ipAsn": lambda address: locate(address)[3],
    }


def main(conf: Path, out: Path, objects: list[Path]) -> int:
    """Transform the objects and return the number of rows."""
    settings = load(conf)
    logins = json.loads(Path(settings.lookups.users.table).read_bytes())
    tables = {
        table["EventName"]: table["Columns"]
        for table in json.loads(Path(settings.blueprint.schemas).read_bytes())
    }
    convert = converters(conf)
    files: dict[str, Any] = {}
    rows = 0
    for path in objects:
        with gzip.open(path) as lines:
            for line in lines:
                record = json.loads(line)
                event = json.loads(base64.b64decode(record["data"]))
                columns = tables.get(event["event"])
                if columns is None:
                    continue
                properties = event["properties"]
                if "time" in properties:
                    properties["client_time"] = properties["time"]
                received = datetime.fromisoformat(record["receivedAt"][:19] + "+00:00")
                properties["time"] = int(received.timestamp())
                properties.setdefault("ip", record["clientIp"])
                properties.setdefault("user_agent", record["userAgent"])
                values = []
                for column in columns:
                    value = properties.get(column["InboundName"])
                    if column["Transformer"] == "userIDWithMapping":
                        value = str(value or logins.get(properties.get("login"), ""))
                    elif value is not None:
                        value = convert[column["Transformer"]](value)
                    values.append(json.dumps(value or "", ensure_ascii=False))
                name = event["event"]
                if name not in files:
                    files[name] = gzip.open(  # noqa: SIM115 - closed below
                        out / f"{name}.gz", "wt", compresslevel=6
                    )
                files[name].write("\t".join(values) + "\n")
                rows += 1
    for file in files.values():
        file.close()
    return rows


if __name__ == "__main__":
    written = main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    print(written, time.process_time())
