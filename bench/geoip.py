"""Compare a lookup by geoip2's models with one by its records (``python -m bench.geoip``).

No cache is involved. The databases are those of :mod:`bench.geoip_data`, and both ways must return
the same :class:`~spade_spark.lookups.base.GeoLocation`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import geoip2.database
from geoip2.errors import AddressNotFoundError

from bench.geoip_data import ADDRESSES, write_databases
from spade_spark.lookups.base import GeoLocation
from spade_spark.lookups.geoip import open_geoip
from spade_spark.settings import GeoipSettings, S3Settings

ROUNDS = 9

Lookup = Callable[[str], GeoLocation]


def main() -> None:
    """Print the median CPU time per address for both ways."""
    with tempfile.TemporaryDirectory() as directory:
        write_databases(Path(directory))
        settings = GeoipSettings(city=f"{directory}/city.mmdb", asn=f"{directory}/asn.mmdb")
        lookups = {
            "geoip2's models": _models(settings),
            "records": open_geoip(settings, S3Settings()).locate,
        }
        locations = [[lookup(address) for address in ADDRESSES] for lookup in lookups.values()]
        assert locations[0] == locations[1], "the lookups differ"
        times: dict[str, list[float]] = {name: [] for name in lookups}
        for _ in range(ROUNDS):
            for name, lookup in lookups.items():
                times[name].append(_microseconds(lookup))
    for name, measured in times.items():
        print(f"{name}: {statistics.median(measured):.1f} us per address")


def _models(settings: GeoipSettings) -> Lookup:
    """Return the lookup by ``city()`` and ``asn()``."""
    cities = geoip2.database.Reader(settings.city, mode=geoip2.database.MODE_MMAP_EXT)
    systems = geoip2.database.Reader(settings.asn, mode=geoip2.database.MODE_MMAP_EXT)

    def locate(address: str) -> GeoLocation:
        try:
            city, system = cities.city(address), systems.asn(address)
        except AddressNotFoundError:
            return GeoLocation()
        number = f"AS{system.autonomous_system_number}"
        return GeoLocation(
            city.city.name or "",
            city.country.iso_code or "",
            (city.subdivisions[0].iso_code or "") if city.subdivisions else "",
            f"{number} {system.autonomous_system_organization}",
        )

    return locate


def _microseconds(lookup: Lookup) -> float:
    start = time.process_time()
    for address in ADDRESSES:
        lookup(address)
    return (time.process_time() - start) / len(ADDRESSES) * 1e6


if __name__ == "__main__":
    main()
