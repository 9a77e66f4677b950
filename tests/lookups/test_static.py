from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from spade_spark.errors import SettingsError
from spade_spark.lookups.base import GeoLocation, LookupStats
from spade_spark.lookups.factory import open_lookups, worker_lookups
from spade_spark.settings import GeoipSettings, LookupSettings, S3Settings, UsersSettings

S3 = S3Settings()


def settings(geo: str = "", users: str = "") -> LookupSettings:
    return LookupSettings(geoip=GeoipSettings(table=geo), users=UsersSettings(table=users))


def test_a_missing_member_and_a_missing_address_are_empty(tmp_path: Path) -> None:
    table = tmp_path / "geo.json"
    table.write_text(
        '{"10.1.0.1": {"City": "Zürich", "Asn": "AS559"}, "no address": {"Region": "ZH"}}'
    )
    geo = open_lookups(settings(geo=str(table)), S3).geo
    assert geo.locate("10.1.0.1") == GeoLocation(city="Zürich", asn="AS559")
    assert geo.locate("no address") == GeoLocation(region="ZH")
    assert geo.locate("010.1.0.1") == GeoLocation()


def test_logins_match_exactly(tmp_path: Path) -> None:
    table = tmp_path / "logins.json"
    table.write_text(json.dumps({"zoë": 900, "Case": 1, "zero": 0, "most": 2**63 - 1}))
    lookups = open_lookups(settings(users=str(table)), S3)
    user_ids = [
        lookups.user_ids.user_id(login) for login in ("zoë", "Case", "case", "zero", "most")
    ]
    assert user_ids == [900, 1, None, 0, 2**63 - 1]
    assert lookups.stats() == LookupStats()


def test_a_table_can_be_on_s3(bucket: Any, s3: S3Settings) -> None:
    bucket.put_object(Key="deep/logins.json", Body=b'{"bob": 5}')
    lookups = open_lookups(settings(users="s3://lookups/deep/logins.json"), s3)
    assert lookups.user_ids.user_id("bob") == 5


def test_without_configuration_lookups_find_nothing() -> None:
    lookups = open_lookups(LookupSettings(), S3)
    assert lookups.geo.locate("8.8.8.8") == GeoLocation()
    assert lookups.user_ids.user_id("bob") is None


def test_a_table_takes_precedence_over_databases_and_services(tmp_path: Path) -> None:
    table = tmp_path / "geo.json"
    table.write_text('{"8.8.8.8": {"City": "x"}}')
    both = LookupSettings(geoip=GeoipSettings(city="missing.mmdb", table=str(table)))
    assert open_lookups(both, S3).geo.locate("8.8.8.8").city == "x"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        '{"10.1.0.1": 5}',
        '{"10.1.0.1": {"City": 5}}',
        '{"10.1.0.1": {"City": null}}',
        '{"10.1.0.1": {"city": "another case"}}',
        '{"10.1.0.1": {}',
    ],
)
def test_a_geo_table_of_the_wrong_format_is_an_error(tmp_path: Path, content: str) -> None:
    table = tmp_path / "geo.json"
    table.write_text(content)
    with pytest.raises(SettingsError, match=r"geoip\.table: .*geo\.json has the wrong format"):
        open_lookups(settings(geo=str(table)), S3)


@pytest.mark.parametrize("user_id", ["1.0", '"5"', "null", "true", str(2**63), str(-(2**63) - 1)])
def test_an_id_that_is_not_a_64_bit_integer_is_an_error(tmp_path: Path, user_id: str) -> None:
    table = tmp_path / "logins.json"
    table.write_text(f'{{"bob": {user_id}}}')
    with pytest.raises(SettingsError, match=r"lookups\.users\.table: .*has the wrong format"):
        open_lookups(settings(users=str(table)), S3)


def test_a_missing_table_is_an_error_with_its_path(
    tmp_path: Path, bucket: Any, s3: S3Settings
) -> None:
    with pytest.raises(SettingsError, match=r"lookups\.users\.table: .*nowhere\.json"):
        open_lookups(settings(users=str(tmp_path / "nowhere.json")), S3)
    with pytest.raises(
        SettingsError, match=r"lookups\.geoip\.table: cannot read s3://lookups/nowhere\.json"
    ):
        open_lookups(settings(geo="s3://lookups/nowhere.json"), s3)


def test_another_url_scheme_is_an_error_that_does_not_show_the_password() -> None:
    with pytest.raises(SettingsError, match="must be a path or s3://") as caught:
        open_lookups(settings(geo="https://me:hush@host/geo.json"), S3)
    assert "hush" not in str(caught.value)


def test_a_worker_opens_its_lookups_once_per_settings(tmp_path: Path) -> None:
    table = tmp_path / "logins.json"
    table.write_text('{"bob": 5}')
    first = worker_lookups(settings(users=str(table)), S3)
    # A task has a copy of the settings of the driver.
    copy = pickle.loads(pickle.dumps(settings(users=str(table))))
    assert worker_lookups(copy, S3) is first
    assert worker_lookups(LookupSettings(), S3) is not first


def test_stats_can_be_added_and_subtracted() -> None:
    before = LookupStats(asked=3, memory_hits=1, service_asked=2, service_misses=1)
    added = LookupStats(asked=4, memory_hits=1, memcached_hits=1, service_asked=2)
    assert (before + added) - before == added
    assert added.service_hits == 2
