"""The sample's GeoIP data and users.

All addresses are from the ranges reserved for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple

from mmdb_writer import MMDBWriter
from netaddr import IPSet


class City(NamedTuple):
    """The city of an address; name and region are empty if only the country is known."""

    name: str
    region: str
    country: str


class AutonomousSystem(NamedTuple):
    """An autonomous system, with a number reserved for documentation (RFC 5398)."""

    number: int
    organization: str


CITIES = (
    City("San Francisco", "CA", "US"),
    City("Los Angeles", "CA", "US"),
    City("Portland", "OR", "US"),
    City("Seattle", "WA", "US"),
    City("Austin", "TX", "US"),
    City("New York", "NY", "US"),
    City("Toronto", "ON", "CA"),
    City("Montréal", "QC", "CA"),
    City("São Paulo", "SP", "BR"),
    City("Bogotá", "DC", "CO"),
    City("Berlin", "BE", "DE"),
    City("München", "BY", "DE"),
    City("Zürich", "ZH", "CH"),
    City("Kraków", "12", "PL"),
    City("Reykjavík", "1", "IS"),
    City("İzmir", "35", "TR"),
    City("Tokyo", "13", "JP"),
    City("Seoul", "11", "KR"),
    City("Hà Nội", "HN", "VN"),
    City("", "", "NZ"),
)

SYSTEMS = (
    AutonomousSystem(64496, "Example Cable"),
    AutonomousSystem(64497, 'Beispiel "Funk" GmbH'),
    AutonomousSystem(64498, "Exemplo Móvel S.A."),
    AutonomousSystem(65550, "Example Satellite"),
)

_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    *IPv4Network("192.0.2.0/24").subnets(new_prefix=28),
    *IPv4Network("198.51.100.0/24").subnets(new_prefix=28),
    *(IPv6Network((0x20010DB8 << 96 | number << 64, 64)) for number in range(8)),
)
_UNKNOWN = ip_network("203.0.113.0/24")
"""Addresses that are not in the databases."""


@dataclass(frozen=True)
class SampleData:
    """Addresses, users and channels that sample events are made of.

    Attributes:
        addresses: Client IP addresses; one in twenty is not in the GeoIP databases.
        users: User ids by login, as the users service returns them.
        logins: The keys of ``users``.
        unknown_logins: Logins that the users service does not know.
        channels: The channels for video and chat.
    """

    addresses: tuple[str, ...]
    users: dict[str, int]
    logins: tuple[str, ...]
    unknown_logins: tuple[str, ...]
    channels: tuple[str, ...]


def make_sample_data(seed: int, users: int = 600) -> SampleData:
    """Generate sample data; equal seeds give equal data."""
    rng = random.Random(seed)  # noqa: S311 - sample data
    known = [str(network[rng.randrange(1, 16)]) for network in _NETWORKS for _ in range(12)]
    unknown = [str(_UNKNOWN[host]) for host in range(1, 1 + len(known) // 20)]
    ids = rng.sample(range(10_000, 90_000_000), users)
    id_by_login = {_login(rng, number): user_id for number, user_id in enumerate(ids)}
    return SampleData(
        addresses=tuple(known + unknown),
        users=id_by_login,
        logins=tuple(id_by_login),
        unknown_logins=tuple(f"bot{number:04d}" for number in range(12)),
        channels=tuple(rng.sample(sorted(id_by_login), 60)),
    )


def _login(rng: random.Random, number: int) -> str:
    syllables = ("ka", "ri", "no", "mel", "tor", "vi", "zen", "lo", "shu", "bar")
    return "".join(rng.choices(syllables, k=3)) + (f"_{number}" if number % 3 else str(number))


def write_city_database(path: Path) -> None:
    """Write a small GeoIP2-City database of the sample's addresses."""
    writer = MMDBWriter(6, "GeoIP2-City", ["en"], ipv4_compatible=True)
    for number, network in enumerate(_NETWORKS):
        writer.insert_network(IPSet([str(network)]), _city_record(CITIES[number % len(CITIES)]))
    writer.to_db_file(str(path))


def write_asn_database(path: Path) -> None:
    """Write a small GeoLite2-ASN database of the sample's addresses."""
    writer = MMDBWriter(6, "GeoLite2-ASN", ["en"], ipv4_compatible=True)
    for number, network in enumerate(_NETWORKS):
        system = SYSTEMS[number % len(SYSTEMS)]
        record = {
            "autonomous_system_number": system.number,
            "autonomous_system_organization": system.organization,
        }
        writer.insert_network(IPSet([str(network)]), record)
    writer.to_db_file(str(path))


def _city_record(city: City) -> dict[str, object]:
    record: dict[str, object] = {"country": {"iso_code": city.country}}
    if city.name:
        record["city"] = {"names": {"en": city.name}}
    if city.region:
        record["subdivisions"] = [{"iso_code": city.region}]
    return record
