"""The sample is deterministic and has the cases of real logs."""

import re
from collections import Counter
from datetime import datetime, timezone

import geoip2.database
import pytest
from isal import igzip

from spade_spark.blueprint.schema import read_tables
from spade_spark.lookups.base import Lookups
from spade_spark.lookups.static import StaticGeo, StaticUserIds
from spade_spark.sandbox.sample_geo_users import (
    CITIES,
    make_sample_data,
    write_asn_database,
    write_city_database,
)
from spade_spark.sandbox.sample_logs import edge_objects
from spade_spark.sandbox.sample_schemas import MISTAKES, TABLES, published, with_mistakes
from spade_spark.sandbox.sandbox import EVENTS, LOG_WINDOW, WRONG_WINDOW
from spade_spark.settings import InputSettings
from spade_spark.sources.listing import list_window
from spade_spark.storage.local import DirectoryStore
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.reference import ReferenceTransform
from spade_spark.transform.transformers.registry import is_transformer

KEY = re.compile(r"(\d{8})/[a-z-]+/(\d{10})\.i-[0-9a-f]+\.[0-9a-f]{16}\.log\.gz")


def _objects(events=6000, seed=1):
    data = make_sample_data(seed)
    return data, list(edge_objects(data, seed, LOG_WINDOW.start, LOG_WINDOW.end, events))


@pytest.fixture(scope="module")
def sample():
    return _objects()


@pytest.fixture(scope="module")
def results(sample):
    """The reference transform's result for every line; None for an undecodable one."""
    data, objects = sample
    lookups = Lookups(StaticGeo({}), StaticUserIds(data.users))
    transform = ReferenceTransform({table.name: table for table in TABLES}, lookups)
    lines = [line for log in objects for line in igzip.decompress(log.data).splitlines()]
    return [transform.line(line) for line in lines]


def test_equal_seeds_give_equal_bytes(sample):
    assert _objects() == sample


def test_different_seeds_give_different_bytes(sample):
    assert _objects(seed=2) != sample


def test_the_sample_has_enough_objects_and_events(sample):
    _, objects = sample
    assert len(objects) >= 48
    assert sum(log.events for log in objects) == pytest.approx(6000, rel=0.05)
    assert EVENTS >= 200_000


def test_keys_contain_the_day_and_second_when_the_object_was_closed(sample):
    _, objects = sample
    days = set()
    for log in objects:
        match = KEY.fullmatch(log.key)
        assert match, log.key
        closed = datetime.fromtimestamp(int(match[2]), timezone.utc)
        assert closed.strftime("%Y%m%d") == match[1]
        days.add(match[1])
    assert len(days) == 2


def test_events_were_received_before_their_object_was_closed(sample):
    _, objects = sample
    received = re.compile(rb'"receivedAt":"([^"]+)Z"')
    for log in objects:
        match = KEY.fullmatch(log.key)
        assert match
        closed = datetime.fromtimestamp(int(match[2]), timezone.utc).isoformat().encode()
        assert max(received.findall(igzip.decompress(log.data))) < closed


def test_the_window_is_in_the_middle_of_the_logs(sample, tmp_path):
    _, objects = sample
    edge = DirectoryStore(str(tmp_path))
    for log in objects:
        edge.write(log.key, log.data)
    read = {
        source.key
        for source in list_window(edge, WRONG_WINDOW, InputSettings(time_source="key")).sources
    }
    keys = [log.key for log in objects]
    assert read < set(keys)
    assert not {keys[0], keys[-1]} & read


def test_every_outcome_of_real_logs_occurs(results):
    outcomes = Counter(result.outcome for line in results for result in line or ())
    assert outcomes.keys() >= {
        Outcome.SUCCESS,
        Outcome.SKIPPED_COLUMNS,
        Outcome.UNTRACKED,
        Outcome.MALFORMED,
    }
    assert outcomes[Outcome.FAILED] == 0
    assert None in results


def test_records_with_several_events_occur(results):
    assert max(len(line) for line in results if line) > 2


def test_non_ascii_text_reaches_the_rows(results):
    assert any(result.row and not result.row.isascii() for line in results for result in line or ())


def test_every_transformer_is_used():
    used = {column.transformer for table in TABLES for column in table.columns}
    layouts = {name for name in used if name.startswith("f@timestamp@2006")}
    assert layouts
    assert used - layouts == {
        *("int", "bigint", "float", "varchar", "bool", "userIDWithMapping"),
        *("f@timestamp@unix", "f@timestamp@unix-utc"),
        *("ipCity", "ipCountry", "ipRegion", "ipAsn", "ipAsnInteger"),
    }


@pytest.mark.parametrize("tables", [TABLES, with_mistakes(TABLES)])
def test_the_published_schemas_can_be_read_back(tables):
    catalog = read_tables(published(tables), is_transformer)
    assert catalog.skipped == ()
    assert published(catalog.tables.values()) == published(tables)


def test_each_mistake_changes_columns_but_neither_their_names_nor_their_order():
    wrong_tables = {table.name: table for table in with_mistakes(TABLES)}
    mistakes = {mistake.table: mistake.columns for mistake in MISTAKES}
    for table in TABLES:
        wrong = wrong_tables[table.name]
        assert [c.outbound for c in wrong.columns] == [c.outbound for c in table.columns]
        changed = {c for c in wrong.columns if c not in table.columns}
        assert changed == set(mistakes.get(table.name, ()))
        assert wrong.version == table.version - (table.name in mistakes)


def test_most_addresses_are_in_the_geoip_databases(tmp_path):
    write_city_database(tmp_path / "city.mmdb")
    write_asn_database(tmp_path / "asn.mmdb")
    names = set()
    unknown = 0
    addresses = make_sample_data(1).addresses
    with (
        geoip2.database.Reader(tmp_path / "city.mmdb") as city,
        geoip2.database.Reader(tmp_path / "asn.mmdb") as asn,
    ):
        for address in addresses:
            try:
                location = city.city(address)
            except geoip2.errors.AddressNotFoundError:
                unknown += 1
                continue
            names.add(location.city.name or "")
            assert asn.asn(address).autonomous_system_number
    assert names == {city.name for city in CITIES}
    assert 0 < unknown < len(addresses) / 10
