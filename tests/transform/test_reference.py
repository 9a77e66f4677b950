"""The reference path: outcomes, server values, requested tables and failures."""

from __future__ import annotations

import base64
import json
from types import MappingProxyType

import pytest

from spade_spark.blueprint.schema import Column, Table
from spade_spark.errors import LookupUnavailableError
from spade_spark.lookups.base import Lookups
from spade_spark.lookups.static import StaticGeo, StaticUserIds
from spade_spark.sources.edge_record import EdgeRecord
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.reference import EventResult, ReferenceTransform

LOOKUPS = Lookups(StaticGeo({}), StaticUserIds({"ada": 1}))
RECORD = EdgeRecord(1_529_064_000, "192.0.2.1", "id", "", "agent", "external")


def columns(*names, transformer="varchar", supporting=("",)):
    return tuple(Column(name, name, transformer, supporting=supporting) for name in names)


def table(name, *table_columns):
    return Table(name, 3, table_columns)


TABLES = MappingProxyType(
    {
        "two": table("two", *columns("a", "b")),
        "served": table("served", *columns("time", transformer="bigint"),
                        *columns("client_time", transformer="float"), *columns("ip", "user_agent")),
        "people": table("people", *columns("id", transformer="userIDWithMapping",
                                           supporting=("login",))),
        "bare": table("bare"),
    }
)  # fmt: skip


def line(payload, **members):
    data = base64.b64encode(payload.encode()).decode()
    return json.dumps({"uuid": "id", "data": data, **members}).encode()


def event(name, properties):
    return f'{{"event":"{name}","properties":{properties}}}'


def results_of(transform, one_line):
    results = transform.line(one_line)
    assert results is not None
    return results


@pytest.fixture
def transform():
    return ReferenceTransform(TABLES, LOOKUPS)


def test_an_event_becomes_a_row_and_a_record(transform):
    results = results_of(transform, line(event("two", r'{"b":"\t","a":""}')))
    assert results == [
        EventResult("two", 3, '""\t"\\t"', {"b": "\t"}, "id", Outcome.SUCCESS),
    ]


def test_a_row_with_a_failed_conversion_has_an_empty_column_and_skipped_columns(transform):
    [result] = results_of(transform, line(event("two", '{"a":5,"b":"x"}')))
    assert result == EventResult("two", 3, '""\t"x"', {"b": "x"}, "id", Outcome.SKIPPED_COLUMNS)


def test_a_table_without_columns_has_empty_rows(transform):
    [result] = results_of(transform, line(event("bare", "{}")))
    assert (result.row, result.record, result.outcome) == ("", {}, Outcome.SUCCESS)


def test_a_line_that_is_not_a_record_has_no_results(transform):
    assert transform.line(b"[]") is None


@pytest.mark.parametrize(
    ("uuid", "reported"),
    [("id", "id"), ("", "error"), ("é" * 32, "é" * 32), ("é" * 33, "error")],
)
def test_a_malformed_record_counts_once(transform, uuid, reported):
    [result] = results_of(transform, line("[{},7]", uuid=uuid))
    assert result == EventResult(
        None, None, None, None, reported, Outcome.MALFORMED, "an event is not a JSON object"
    )


@pytest.mark.parametrize("payload", ["null", "{}", '{"properties":{}}', event("", "{}")])
def test_an_event_without_a_name_is_an_empty_request(transform, payload):
    assert results_of(transform, line(payload)) == [
        EventResult(None, None, None, None, "id", Outcome.EMPTY_REQUEST)
    ]


@pytest.mark.parametrize("properties", ["null", "[]", '"{}"', "5", "true"])
def test_properties_that_are_not_an_object_are_an_empty_request(transform, properties):
    [result] = results_of(transform, line(event("two", properties)))
    assert result == EventResult(None, None, None, None, "id", Outcome.EMPTY_REQUEST)


def test_an_event_without_a_table_is_untracked(transform):
    [result] = results_of(transform, line('{"event":"TWO"}'))
    row = '{"event":"TWO","properties":null}'
    assert result == EventResult("TWO", None, row, None, "id", Outcome.UNTRACKED)


def test_the_ids_of_several_events_are_numbered(transform):
    several = results_of(transform, line(f"[{event('bare', '{}')},null,{event('x', '1')}]"))
    assert [result.uuid for result in several] == ["id-0", "id-1", "id-2"]
    [one] = results_of(transform, line(f"[{event('bare', '{}')}]"))
    assert one.uuid == "id"


@pytest.mark.parametrize(
    ("properties", "values"),
    [
        ("{}", ["1529064000", "", "192.0.2.1", "agent"]),
        ('{"time":1.5}', ["1529064000", "1.5", "192.0.2.1", "agent"]),
        ('{"client_time":1.5}', ["1529064000", "1.5", "192.0.2.1", "agent"]),
        ('{"client_time":1.5,"time":2}', ["1529064000", "2", "192.0.2.1", "agent"]),
        ('{"client_time":1.5,"time":null}', ["1529064000", "", "192.0.2.1", "agent"]),
        ('{"ip":"x","user_agent":""}', ["1529064000", "", "x", ""]),
        ('{"ip":null,"user_agent":5}', ["1529064000", "", "", ""]),
        ('{"IP":"x","ip":"y","ip":"z"}', ["1529064000", "", "z", "agent"]),
    ],
)
def test_the_servers_time_wins_and_its_other_values_are_only_defaults(
    transform, properties, values
):
    [result] = transform.payload(event("served", properties).encode(), RECORD)
    assert result.row == "\t".join(f'"{value}"' for value in values)


def test_a_record_without_address_and_user_agent_adds_neither(transform):
    [result] = transform.payload(event("served", "{}").encode(), EdgeRecord())
    assert result.row == '"-62135596800"\t""\t""\t""'


def test_a_supporting_property_is_used_if_the_property_is_missing(transform):
    [result] = transform.payload(event("people", '{"login":"ada"}').encode(), RECORD)
    assert (result.row, result.outcome) == ('"1"', Outcome.SUCCESS)


def test_events_of_tables_that_are_not_requested_have_no_row():
    transform = ReferenceTransform(TABLES, LOOKUPS, frozenset({"two"}))
    names = [event(name, "{}") for name in ("two", "bare", "x")]
    payload = f"[{','.join(names)},null,{event('two', 'null')}]"
    results = results_of(transform, line(payload))
    assert [result.outcome for result in results] == [
        Outcome.SKIPPED_COLUMNS,
        Outcome.NOT_REQUESTED,
        Outcome.NOT_REQUESTED,
        Outcome.EMPTY_REQUEST,
        Outcome.EMPTY_REQUEST,
    ]
    assert [result.row for result in results[1:]] == [None] * 4


class Broken(StaticUserIds):
    """A lookup that raises a given error."""

    def __init__(self, error):
        super().__init__({})
        self.error = error

    def user_id(self, login):
        raise self.error


def test_a_bug_fails_only_one_event():
    transform = ReferenceTransform(TABLES, Lookups(LOOKUPS.geo, Broken(ZeroDivisionError("oh"))))
    people = event("people", '{"login":"ada"}')
    payload = f"[{event('bare', '{}')},{people},{event('two', '{}')}]"
    ok, failed, also_ok = results_of(transform, line(payload))
    assert failed == EventResult(
        "people", 3, None, None, "id-1", Outcome.FAILED, "ZeroDivisionError: oh"
    )
    assert (ok.outcome, also_ok.outcome) == (Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS)


def test_an_unavailable_lookup_service_fails_the_line():
    transform = ReferenceTransform(
        TABLES, Lookups(LOOKUPS.geo, Broken(LookupUnavailableError("no answer")))
    )
    with pytest.raises(LookupUnavailableError):
        results_of(transform, line(event("people", '{"login":"ada"}')))


@pytest.mark.parametrize("properties", ['{"a":01}', '{"a":1} x'])
def test_properties_that_are_not_json_make_the_record_malformed(transform, properties):
    [result] = transform.payload(event("two", properties).encode(), RECORD)
    assert result.outcome is Outcome.MALFORMED
