"""GeoIP databases of a realistic size and depth, for realistic costs of a lookup."""

from __future__ import annotations

import random
from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

_NETWORKS = 8_000
_LANGUAGES = ("de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN")
_CITIES = [
    "Springfield",
    "Riverside",
    "Fairview",
    "Moscow",
    "Tokyo",
    "Zurich",
    "Leeds",
    "São Paulo",
]
_RNG = "places"


def _addresses() -> list[str]:
    rng = random.Random(_RNG)
    return [
        f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        for _ in range(10_000)
    ]


ADDRESSES = _addresses()
"""The addresses of the clients in the benchmark data."""


def write_databases(directory: Path) -> None:
    """Write ``city.mmdb`` and ``asn.mmdb`` with the /24 network of four in five addresses."""
    rng = random.Random(_RNG)
    city = MMDBWriter(6, "GeoIP2-City", languages=list(_LANGUAGES), ipv4_compatible=True)
    asn = MMDBWriter(6, "GeoLite2-ASN", languages=["en"], ipv4_compatible=True)
    for number, address in enumerate(ADDRESSES[:_NETWORKS]):
        network = IPSet([address.rsplit(".", 1)[0] + ".0/24"])
        city.insert_network(network, _city(rng, number))
        asn.insert_network(
            network,
            {
                "autonomous_system_number": 64_496 + number % 2000,
                "autonomous_system_organization": f"Example Networks {number % 2000}, Inc.",
            },
        )
    city.to_db_file(str(directory / "city.mmdb"))
    asn.to_db_file(str(directory / "asn.mmdb"))


def _city(rng: random.Random, number: int) -> dict[str, object]:
    name = f"{rng.choice(_CITIES)} {number % 500}"
    return {
        "city": {"geoname_id": number, "names": dict.fromkeys(_LANGUAGES, name)},
        "continent": {"code": "EU", "names": dict.fromkeys(_LANGUAGES, "Europe")},
        "country": {"iso_code": rng.choice(["US", "DE", "BR", "JP"]), "names": {"en": "Country"}},
        "location": {"latitude": number / 1000, "longitude": number / 999, "time_zone": "Etc/UTC"},
        "postal": {"code": f"{number:05}"},
        "subdivisions": [{"iso_code": rng.choice(["CA", "BE", "SP"]), "names": {"en": "Region"}}],
    }
