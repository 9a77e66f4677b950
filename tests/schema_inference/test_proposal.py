"""From what was seen of an event to a table that takes it."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.blueprint.schema import Table, as_published, read_tables
from spade_spark.gocompat.json import Number, read
from spade_spark.lookups.base import Lookups
from spade_spark.schema_inference.naming import column_name, is_event_name
from spade_spark.schema_inference.profile import (
    MAX_EVENTS,
    MAX_NAME,
    MAX_PROPERTIES,
    MAX_PROPERTIES_IN_ALL,
    EventProfile,
    Profile,
)
from spade_spark.schema_inference.proposal import MAX_COLUMNS, propose
from spade_spark.transform.transformers.registry import TRANSFORMERS, is_transformer
from tests.fuzz.make import FixedGeo, FixedLogins

LOOKUPS = Lookups(FixedGeo(), FixedLogins())


def suggestion(*events, name="play"):
    """What is proposed for events of these properties, JSON texts or what makes them."""
    seen = EventProfile()
    for event in events:
        seen.add(event if isinstance(event, str) else json.dumps(event))
    return propose(name, seen)


def column_of(values):
    """The transformer and options for a property of these values, and the notes."""
    (found,) = suggestion(*(f'{{"x": {value}}}' for value in values)).properties
    return found.column and f"{found.column.transformer}{found.column.options}", found.notes


@pytest.mark.parametrize(
    ("values", "column"),
    [
        (["1", "-5", "2147483647"], "int"),
        (["1", "2147483648"], "bigint"),
        (["-9223372036854775808"], "bigint"),
        (["1", "2.5"], "float"),
        (["1", "1e3"], "float"),
        (["5", "9223372036854775808"], "float"),
        (["true", "false"], "bool"),
        (["true", "0", "1"], "bool"),
        (["0", "1"], "int"),
        (['"a"', '"bb"'], "varchar(16)"),
        ([f'"{"x" * 30}"'], "varchar(64)"),
        ([f'"{"é" * 30}"'], "varchar(128)"),
        (['""'], "varchar(16)"),
        (["1", '"2"'], "int"),
        (["1.5", '"2.5e1"'], "float"),
        (["null", "7"], "int"),
    ],
)
def test_a_column_takes_all_values_of_its_property(values, column):
    assert column_of(values) == (column, ())


@pytest.mark.parametrize(
    ("values", "column", "note"),
    [
        (["1", "2", '"x"'], "int", "mixed types (2 int, 1 text): 1 of 3 left empty"),
        (['"x"', '"y"', "3"], "varchar(16)", "1 of 3 left empty"),
        (["true", "2"], "bool", "1 of 2 left empty"),
        (["1", "[]"], "int", "mixed types (1 int, 1 list or object)"),
        (['"1"', '"22"'], "varchar(16)", "all are integers as text"),
        (['"10.1.0.1"', '"::1"'], "varchar(16)", "all are addresses"),
        ([f'"{"x" * 70_000}"'], "varchar(65535)", "texts of up to 70,000 bytes would be cut"),
        (["[1]", '{"a": 1}'], None, "no transformer takes a list, an object or null"),
        (["null"], None, "no transformer takes a list, an object or null"),
        (["1e400"], None, "no transformer takes"),
    ],
)
def test_what_is_odd_is_noted(values, column, note):
    found, notes = column_of(values)
    assert found == column
    assert any(note in each for each in notes)


def test_every_event_has_its_time_and_the_place_of_its_address():
    columns = [(c.inbound, c.outbound, c.transformer) for c in suggestion({}).table.columns]
    assert columns == [
        ("time", "time", "f@timestamp@unix"),
        ("ip", "ip", "varchar"),
        ("ip", "city", "ipCity"),
        ("ip", "region", "ipRegion"),
        ("ip", "country", "ipCountry"),
        ("ip", "asn", "ipAsn"),
        ("ip", "asn_id", "ipAsnInteger"),
    ]


@pytest.mark.parametrize(
    ("time", "transformer"),
    [(1509706800.5, "f@timestamp@unix"), (1509706800500, "bigint"), ("10:00", "varchar")],
)
def test_a_time_of_the_client_becomes_client_time(time, transformer):
    (found,) = suggestion({"time": time}).properties
    assert (found.column.inbound, found.column.outbound) == ("client_time", "client_time")
    assert found.column.transformer == transformer


def test_of_time_and_client_time_there_is_one_column():
    found = suggestion({"time": 1509706800, "client_time": 5})
    assert [c.outbound for c in found.table.columns].count("client_time") == 1
    assert len(found.table.columns) == 8


def test_an_address_that_a_client_sends_needs_no_second_column():
    (found,) = suggestion({"ip": "10.1.0.1"}).properties
    assert found.column.outbound == "ip"
    assert len(suggestion({"ip": "10.1.0.1"}).table.columns) == 7


def test_a_property_that_is_rare_is_noted_with_how_rare_it_is():
    found = suggestion(*[{"n": 1}] * 200, {"n": 1, "odd": 2})
    notes = {each.name: each.notes for each in found.properties}
    assert notes == {"n": (), "odd": ("rare: in 1 of 201 events",)}


def test_properties_come_with_the_most_frequent_first():
    found = suggestion({"b": 1, "a": 1, "c": None}, {"b": 1})
    assert [each.name for each in found.properties] == ["b", "a", "c"]


def test_a_table_has_no_more_columns_than_blueprint_takes():
    found = suggestion({f"p{n:03}": n for n in range(350)})
    assert len(found.table.columns) == MAX_COLUMNS
    assert found.properties[-1].column is None
    assert "at most 299 columns" in found.properties[-1].notes[-1]


def test_events_without_properties_and_names_that_blueprint_refuses_are_noted():
    found = suggestion("null", {"a": 1}, name="a b")
    assert len(found.notes) == 2
    assert "Blueprint refuses this name" in found.notes[0]
    assert "no properties, and so no row: 1 of 2 events" in found.notes[1]


@pytest.mark.parametrize(
    ("inbound", "outbound"),
    [
        ("login", "login"),
        ("Camel Case-2", "camel_case_2"),
        ("1st", "_1st"),
        ("date", "_date"),
        ("", "_"),
        ("é", "_"),
        ("city", "city_2"),
        ("City", "city_2"),
        ("x" * 200, "x" * 127),
    ],
)
def test_a_column_has_a_name_that_it_can_have(inbound, outbound):
    assert column_name(inbound, {"city"}) == outbound


@given(st.lists(st.text(max_size=140), max_size=10))
def test_names_of_columns_never_meet(inbounds):
    names: list[str] = []
    for inbound in inbounds:
        names.append(column_name(inbound, names))
    assert len(set(names)) == len(names)
    assert all(is_event_name(name) and name == name.lower() for name in names)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.sampled_from(["10.1.0.1", "::1", "42", "1e3", "nan", [1], {"a": 1}])
)
names = st.sampled_from(["time", "client_time", "ip", "city", "City", "date", "a", "A", "é", "1"])


@given(st.lists(st.dictionaries(names | st.text(max_size=5), scalars, max_size=5), max_size=6))
def test_blueprints_reader_takes_what_is_proposed_and_its_columns_take_what_was_seen(events):
    found = suggestion(*events)
    reading = read_tables(json.dumps([as_published(found.table)]).encode(), is_transformer)
    assert reading.tables == {"play": found.table}
    outbounds = [column.outbound for column in found.table.columns]
    assert len({name.lower() for name in outbounds}) == len(outbounds)
    for each in found.properties:
        if each.column is None or each.name in {"time", "client_time"} or each.notes:
            continue
        convert = TRANSFORMERS.converter(each.column, LOOKUPS)
        for event in events:
            value = read(json.dumps(event.get(each.name)))
            if isinstance(value, str | bool | Number):
                convert(value, ())  # and does not fail


def test_names_that_clients_invent_are_bounded_in_number():
    seen = Profile()
    for number in range(MAX_EVENTS + 5):
        seen.add(f"event-{number}", "{}")
    seen.add("x" * (MAX_NAME + 1), "{}")
    assert (len(seen.events), seen.further, seen.read) == (MAX_EVENTS, 6, MAX_EVENTS + 6)


def test_properties_that_clients_invent_are_bounded_in_number():
    one = EventProfile()
    one.add(json.dumps({f"p{n}": n for n in range(MAX_PROPERTIES + 7)}))
    assert (len(one.properties), one.further) == (MAX_PROPERTIES, 7)


def test_memory_is_bounded_with_many_names():
    seen = Profile()
    tracemalloc.start()
    try:
        for number in range(110):
            names = {f"a property {n} of {number}": n for n in range(MAX_PROPERTIES)}
            seen.add(f"event-{number}", json.dumps(names))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    kept = sum(len(event.properties) for event in seen.events.values())
    assert kept == MAX_PROPERTIES_IN_ALL


def test_a_table_is_a_first_version():
    assert suggestion({"a": 1}).table == Table("play", 0, suggestion({"a": 1}).table.columns)
