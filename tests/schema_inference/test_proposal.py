"""Proposals of tables from profiled events."""

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
    MAX_NAME_LENGTH,
    MAX_PROPERTIES,
    MAX_TOTAL_PROPERTIES,
    EventProfile,
    Profile,
)
from spade_spark.schema_inference.proposal import MAX_COLUMNS, propose
from spade_spark.transform.transformers.registry import TRANSFORMERS, is_transformer
from tests.fuzz.generators import FixedGeo, FixedUserIds

LOOKUPS = Lookups(FixedGeo(), FixedUserIds())


def suggestion(*events, name="play"):
    """Propose a table for events with these properties, given as JSON text or values."""
    profile = EventProfile()
    for event in events:
        profile.add(event if isinstance(event, str) else json.dumps(event))
    return propose(name, profile)


def column_of(values):
    """Propose a column for a property of these values: transformer with options, and notes."""
    (prop,) = suggestion(*(f'{{"x": {value}}}' for value in values)).properties
    return prop.column and f"{prop.column.transformer}{prop.column.options}", prop.notes


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
def test_a_column_accepts_all_values_of_its_property(values, column):
    assert column_of(values) == (column, ())


@pytest.mark.parametrize(
    ("values", "column", "note"),
    [
        (["1", "2", '"x"'], "int", "mixed types (2 int, 1 text): 1 of 3 would be empty"),
        (['"x"', '"y"', "3"], "varchar(16)", "1 of 3 would be empty"),
        (["true", "2"], "bool", "1 of 2 would be empty"),
        (["1", "[]"], "int", "mixed types (1 int, 1 list or object)"),
        (['"1"', '"22"'], "varchar(16)", "all are integers as text"),
        (['"10.1.0.1"', '"::1"'], "varchar(16)", "all are IP addresses"),
        (
            [f'"{"x" * 70_000}"'],
            "varchar(65535)",
            "strings of up to 70,000 bytes would be truncated",
        ),
        (["[1]", '{"a": 1}'], None, "no transformer accepts lists, objects or null"),
        (["null"], None, "no transformer accepts lists, objects or null"),
        (["1e400"], None, "no transformer accepts"),
    ],
)
def test_unusual_values_are_noted(values, column, note):
    proposed, notes = column_of(values)
    assert proposed == column
    assert any(note in text for text in notes)


def test_every_table_has_the_time_and_the_address_with_its_location():
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
def test_a_property_time_becomes_client_time(time, transformer):
    (prop,) = suggestion({"time": time}).properties
    assert (prop.column.inbound, prop.column.outbound) == ("client_time", "client_time")
    assert prop.column.transformer == transformer


def test_properties_time_and_client_time_share_one_column():
    proposal = suggestion({"time": 1509706800, "client_time": 5})
    assert [c.outbound for c in proposal.table.columns].count("client_time") == 1
    assert len(proposal.table.columns) == 8


def test_a_property_ip_gets_no_second_column():
    (prop,) = suggestion({"ip": "10.1.0.1"}).properties
    assert prop.column.outbound == "ip"
    assert len(suggestion({"ip": "10.1.0.1"}).table.columns) == 7


def test_a_rare_property_is_noted_with_its_frequency():
    proposal = suggestion(*[{"n": 1}] * 200, {"n": 1, "odd": 2})
    notes = {prop.name: prop.notes for prop in proposal.properties}
    assert notes == {"n": (), "odd": ("rare: in 1 of 201 events",)}


def test_the_most_frequent_properties_come_first():
    proposal = suggestion({"b": 1, "a": 1, "c": None}, {"b": 1})
    assert [prop.name for prop in proposal.properties] == ["b", "a", "c"]


def test_the_number_of_columns_is_limited():
    proposal = suggestion({f"p{n:03}": n for n in range(350)})
    assert len(proposal.table.columns) == MAX_COLUMNS
    assert proposal.properties[-1].column is None
    assert "at most 299 columns" in proposal.properties[-1].notes[-1]


def test_events_without_properties_and_invalid_names_are_noted():
    proposal = suggestion("null", {"a": 1}, name="a b")
    assert len(proposal.notes) == 2
    assert "invalid name in Blueprint" in proposal.notes[0]
    assert "1 of 2 events have no properties" in proposal.notes[1]


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
def test_a_property_name_becomes_a_valid_column_name(inbound, outbound):
    assert column_name(inbound, {"city"}) == outbound


@given(st.lists(st.text(max_size=140), max_size=10))
def test_column_names_are_unique(inbounds):
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
def test_blueprint_accepts_the_proposal_and_its_columns_accept_the_values(events):
    proposal = suggestion(*events)
    catalog = read_tables(json.dumps([as_published(proposal.table)]).encode(), is_transformer)
    assert catalog.tables == {"play": proposal.table}
    outbounds = [column.outbound for column in proposal.table.columns]
    assert len({name.lower() for name in outbounds}) == len(outbounds)
    for prop in proposal.properties:
        if prop.column is None or prop.name in {"time", "client_time"} or prop.notes:
            continue
        convert = TRANSFORMERS.converter(prop.column, LOOKUPS)
        for event in events:
            value = read(json.dumps(event.get(prop.name)))
            if isinstance(value, str | bool | Number):
                convert(value, ())  # raises an error if it does not accept the value


def test_the_number_of_event_names_is_limited():
    profile = Profile()
    for number in range(MAX_EVENTS + 5):
        profile.add(f"event-{number}", "{}")
    profile.add("x" * (MAX_NAME_LENGTH + 1), "{}")
    assert (len(profile.events), profile.not_profiled, profile.read) == (
        MAX_EVENTS,
        6,
        MAX_EVENTS + 6,
    )


def test_the_number_of_properties_is_limited():
    profile = EventProfile()
    profile.add(json.dumps({f"p{n}": n for n in range(MAX_PROPERTIES + 7)}))
    assert (len(profile.properties), profile.not_profiled) == (MAX_PROPERTIES, 7)


def test_memory_is_limited_with_many_names():
    profile = Profile()
    tracemalloc.start()
    try:
        for number in range(110):
            names = {f"a property {n} of {number}": n for n in range(MAX_PROPERTIES)}
            profile.add(f"event-{number}", json.dumps(names))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    profiled = sum(len(event.properties) for event in profile.events.values())
    assert profiled == MAX_TOTAL_PROPERTIES


def test_a_proposed_table_has_version_0():
    assert suggestion({"a": 1}).table == Table("play", 0, suggestion({"a": 1}).table.columns)
