"""Locations from databases written with mmdb-writer and read with the real reader."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geoip2.database
import geoip2.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from spade_spark.errors import SettingsError
from spade_spark.lookups import files
from spade_spark.lookups.base import GeoLocation
from spade_spark.lookups.factory import open_lookups
from spade_spark.lookups.geoip import GeoIP, open_geoip
from spade_spark.settings import GeoipSettings, LookupSettings, S3Settings
from spade_spark.storage.base import Store, StoredObject

CITIES = {
    "10.1.0.0/16": {
        "city": {"names": {"en": "London", "ru": "Лондон"}},
        "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
        "registered_country": {"iso_code": "IE"},
        "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "LND"}],
    },
    "10.2.0.0/16": {"country": {"iso_code": "CN"}, "subdivisions": []},
    "10.3.0.0/16": {"city": {"names": {"de": "Zürich"}}, "registered_country": {"iso_code": "CH"}},
    "2001:db8::/32": {"city": {"names": {"en": "Six"}}, "country": {"iso_code": "NL"}},
}
SYSTEMS = {
    "10.1.0.0/16": {
        "autonomous_system_number": 64496,
        "autonomous_system_organization": "Ünïcode GmbH & Co",
    },
    "10.2.0.0/15": {"autonomous_system_number": 559},
    "2001:db8:1::/48": {"autonomous_system_organization": "Numberless"},
}
LONDON = GeoLocation("London", "GB", "ENG", "AS64496 Ünïcode GmbH & Co")


def write_database(
    path: Path, records: Mapping[str, Any], kind: str = "GeoLite2-City", ip_version: int = 6
) -> str:
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=kind)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> GeoipSettings:
    folder = tmp_path_factory.mktemp("databases")
    return GeoipSettings(
        city=write_database(folder / "City.mmdb", CITIES),
        asn=write_database(folder / "ASN.mmdb", SYSTEMS, "GeoLite2-ASN"),
    )


@pytest.fixture(scope="module")
def geo(databases: GeoipSettings) -> GeoIP:
    return open_geoip(databases, S3Settings())


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("10.1.2.3", LONDON),
        ("10.2.0.1", GeoLocation(country="CN", asn="AS559")),
        ("10.3.0.1", GeoLocation(asn="AS559")),
        ("2001:db8::1", GeoLocation(city="Six", country="NL")),
        ("2001:0DB8:0001:0000:0000:0000:0000:0001", GeoLocation(city="Six", country="NL")),
        ("11.0.0.1", GeoLocation()),
        ("2001:db9::1", GeoLocation()),
    ],
)
def test_unknown_fields_of_an_address_are_empty(
    geo: GeoIP, address: str, location: GeoLocation
) -> None:
    assert geo.locate(address) == location


def test_the_autonomous_system_is_looked_up_only_on_request(geo: GeoIP) -> None:
    assert geo.locate("10.1.2.3", asn=False) == LONDON._replace(asn="")


def test_an_ipv4_mapped_address_has_the_location_of_the_ipv4_address(geo: GeoIP) -> None:
    assert geo.locate("::ffff:10.1.2.3") == LONDON
    assert geo.locate("::FFFF:0a01:0203") == LONDON


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 10.1.2.3",
        "10.1.2.3\n",
        "10.1.2.3\0",
        "10.1.2",
        "167838211",
        "0x0a.1.2.3",
        "010.1.2.3",
        "10.1.2.3/32",
        "10.1.2.3:80",
        "[2001:db8::1]",
        "2001:db8::1%eth0",
        "localhost",
        "\uff11\uff10.1.2.3",
        "\ud800",
    ],
)
def test_an_invalid_address_has_no_location(geo: GeoIP, text: str) -> None:
    assert geo.locate(text) == GeoLocation()


@given(st.text(alphabet="0123456789abcdef.:%x ", max_size=20) | st.text())
def test_only_addresses_that_ipaddress_accepts_have_a_location(geo: GeoIP, text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert geo.locate(text) == GeoLocation()


@given(
    st.sampled_from([*CITIES, *SYSTEMS, "0.0.0.0/0", "::/0"]).map(ipaddress.ip_network),
    st.integers(0, 2**128 - 1),
)
def test_locations_equal_those_of_the_geoip2_models(
    databases: GeoipSettings, geo: GeoIP, network: Any, number: int
) -> None:
    address = str(network[number % network.num_addresses])
    with (
        geoip2.database.Reader(databases.city) as cities,
        geoip2.database.Reader(databases.asn) as systems,
    ):
        expected = GeoLocation()
        try:
            city = cities.city(address)
        except geoip2.errors.AddressNotFoundError:
            pass
        else:
            region = city.subdivisions[0].iso_code if city.subdivisions else ""
            expected = GeoLocation(city.city.name or "", city.country.iso_code or "", region or "")
        try:
            system = systems.asn(address)
        except geoip2.errors.AddressNotFoundError:
            pass
        else:
            number_text = f"AS{system.autonomous_system_number}"
            parts = (number_text, system.autonomous_system_organization)
            if system.autonomous_system_number is not None:
                expected = expected._replace(asn=" ".join(part for part in parts if part))
    assert geo.locate(address) == expected


def test_each_database_is_optional(databases: GeoipSettings) -> None:
    only_city = open_geoip(GeoipSettings(city=databases.city), S3Settings())
    only_asn = open_geoip(GeoipSettings(asn=databases.asn), S3Settings())
    assert only_city.locate("10.1.2.3") == LONDON._replace(asn="")
    assert only_asn.locate("10.1.2.3") == GeoLocation(asn=LONDON.asn)


def test_an_ipv4_database_has_no_ipv6_addresses(tmp_path: Path) -> None:
    cities = {network: record for network, record in CITIES.items() if ":" not in network}
    city = write_database(tmp_path / "v4.mmdb", cities, ip_version=4)
    geo = open_geoip(GeoipSettings(city=city), S3Settings())
    assert geo.locate("10.1.2.3").city == "London"
    assert geo.locate("::ffff:10.1.2.3").city == "London"
    assert geo.locate("2001:db8::1") == GeoLocation()


def test_a_missing_database_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lookups\.geoip\.city: .*cannot read .*none\.mmdb"):
        open_geoip(GeoipSettings(city=str(tmp_path / "none.mmdb")), S3Settings())


def test_a_file_that_is_not_a_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.mmdb"
    path.write_bytes(b"not a database")
    with pytest.raises(SettingsError, match=r"lookups\.geoip\.asn: .*bad\.mmdb is not a MaxMind"):
        open_geoip(GeoipSettings(asn=str(path)), S3Settings())


def test_a_corrupt_database_is_an_error_at_the_latest_when_it_is_read(
    databases: GeoipSettings, tmp_path: Path
) -> None:
    valid = Path(databases.city).read_bytes()
    metadata = valid.rindex(b"\xab\xcd\xefMaxMind.com")
    path = tmp_path / "corrupt.mmdb"
    # Keep the search tree and overwrite the records.
    tree = valid.index(b"\0" * 16)
    path.write_bytes(valid[: tree + 16] + b"\xff" * (metadata - tree - 16) + valid[metadata:])
    with pytest.raises(
        SettingsError,
        match=r"lookups\.geoip\.city: .*corrupt\.mmdb is not a MaxMind database, or is corrupt",
    ):
        open_geoip(GeoipSettings(city=str(path)), S3Settings()).locate("10.1.2.3")


def test_swapped_databases_are_an_error(databases: GeoipSettings) -> None:
    with pytest.raises(SettingsError, match=r"lookups\.geoip\.city: .*wrong database type"):
        open_geoip(GeoipSettings(city=databases.asn), S3Settings())
    with pytest.raises(SettingsError, match=r"lookups\.geoip\.asn: .*wrong database type"):
        open_geoip(GeoipSettings(asn=databases.city), S3Settings())


def test_records_of_the_wrong_structure_are_an_error(tmp_path: Path) -> None:
    city = write_database(tmp_path / "odd.mmdb", {"10.0.0.0/8": {"city": "London"}}, "Odd")
    geo = open_geoip(GeoipSettings(city=city), S3Settings())
    with pytest.raises(SettingsError, match=r"10\.1\.2\.3 is not from a City or ASN database"):
        geo.locate("10.1.2.3")


def cached(node: Path) -> list[Path]:
    """The databases in the cache of a node."""
    return [path for path in node.glob("spade-spark-*/*") if path.suffix != ".lock"]


def test_a_database_on_s3_is_downloaded_once_and_again_after_a_change(
    databases: GeoipSettings, bucket: Any, s3: S3Settings, temporary: Path
) -> None:
    bucket.upload_file(databases.city, "geo/City.mmdb")
    bucket.put_object(Key="geo/City.mmdb.old", Body=b"a key with the same prefix")
    settings = LookupSettings(geoip=GeoipSettings(city="s3://lookups/geo/City.mmdb"))
    before = open_lookups(settings, s3).geo
    assert before.locate("10.1.2.3").city == "London"
    (first,) = cached(temporary)
    downloaded = first.stat().st_mtime_ns

    open_lookups(settings, s3)
    assert [path.stat().st_mtime_ns for path in cached(temporary)] == [downloaded]

    changed = {"10.1.0.0/16": {"city": {"names": {"en": "Londinium"}}}}
    bucket.upload_file(write_database(temporary / "new.mmdb", changed), "geo/City.mmdb")
    assert open_lookups(settings, s3).geo.locate("10.1.2.3").city == "Londinium"
    assert len(cached(temporary)) == 1, "the old copy was not removed"
    assert before.locate("10.1.2.3").city == "London", "an open database must remain valid"


def test_a_truncated_copy_is_downloaded_again(
    databases: GeoipSettings, bucket: Any, s3: S3Settings, temporary: Path
) -> None:
    bucket.upload_file(databases.city, "City.mmdb")
    settings = GeoipSettings(city="s3://lookups/City.mmdb")
    open_geoip(settings, s3)
    (copy,) = cached(temporary)
    os.truncate(copy, 100)
    copy.with_name(copy.name + ".part").write_bytes(b"from a killed process")
    assert open_geoip(settings, s3).locate("10.1.2.3").city == "London"
    assert cached(temporary) == [copy]


def test_a_database_missing_on_s3_is_an_error_with_its_url(
    bucket: Any, s3: S3Settings, temporary: Path
) -> None:
    bucket.put_object(Key="City.mmdb.old", Body=b"a key with the same prefix")
    with pytest.raises(
        SettingsError, match=r"lookups\.geoip\.city: cannot read s3://lookups/City\.mmdb"
    ):
        open_geoip(GeoipSettings(city="s3://lookups/City.mmdb"), s3)


def test_a_cache_directory_of_another_user_is_an_error(
    databases: GeoipSettings, bucket: Any, s3: S3Settings, temporary: Path
) -> None:
    bucket.upload_file(databases.city, "City.mmdb")
    settings = GeoipSettings(city="s3://lookups/City.mmdb")
    open_geoip(settings, s3)
    (folder,) = temporary.glob("spade-spark-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match=r"remove it, or set TMPDIR\)$"):
        open_geoip(settings, s3)


def locate(url: str, s3: S3Settings, start: Any, results: Any) -> None:
    start.wait()
    results.put(open_geoip(GeoipSettings(city=url), s3).locate("10.1.2.3"))


def test_concurrent_processes_download_a_database_once(
    databases: GeoipSettings,
    bucket: Any,
    s3: S3Settings,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket.upload_file(databases.city, "City.mmdb")
    downloads = temporary / "downloads"
    download = files._download

    def counted(store: Store, stored: StoredObject, path: Path) -> None:
        with downloads.open("a") as log:
            log.write(f"{stored.key}\n")
        download(store, stored, path)

    monkeypatch.setattr(files, "_download", counted)
    # Forked, like Spark's Python workers, so they have the patched function.
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.SimpleQueue()
    arguments = ("s3://lookups/City.mmdb", s3, start, results)
    workers = [context.Process(target=locate, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [results.get() for _ in workers] == [LONDON._replace(asn="")] * 4
    assert downloads.read_text() == "City.mmdb\n"
