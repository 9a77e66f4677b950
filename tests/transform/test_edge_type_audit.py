"""Counts of events by edge type; the counted events are those with rows."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade_spark.blueprint.schema import read_tables
from spade_spark.lookups.base import Lookups
from spade_spark.transform.edge_type_audit import EdgeTypeCounter, EdgeTypeCounts
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.reference import ReferenceTransform
from spade_spark.transform.transformers.registry import is_transformer
from tests.fuzz.generators import FixedGeo, FixedUserIds, line, tables
from tests.support import edge_logs
from tests.test_golden import OWN, read_cases

ROWS = {Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS}
LOOKUPS = Lookups(FixedGeo(), FixedUserIds())


def rows_of(transform, lines):
    """Return the number of rows by table on the reference path."""
    results = [result for one_line in lines for result in transform.line(one_line) or ()]
    return Counter(result.table for result in results if result.outcome in ROWS)


def events_of(names, lines):
    counter = EdgeTypeCounter(names, {})
    counter.feed(b"\n".join(lines) + b"\n")
    return {name: counts.events for name, counts in counter.counts().items()}


def test_the_counted_events_of_the_reference_lines_are_those_with_rows():
    schema = read_tables((OWN / "schemas.json").read_bytes(), is_transformer).tables
    lines = [case.line for case in read_cases(OWN)]
    assert events_of(schema, lines) == rows_of(ReferenceTransform(schema, LOOKUPS), lines)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_the_counted_events_of_random_lines_are_those_with_rows(seed):
    rng = Random(seed)
    schema = tables(rng)
    lines = [line(rng, schema) for _ in range(20)]
    assert events_of(schema, lines) == rows_of(ReferenceTransform(schema, LOOKUPS), lines)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"edgeType": "internal"}, EdgeTypeCounts("internal", 1, 0, 0)),
        ({"edgeType": "external"}, EdgeTypeCounts("internal", 1, 1, 0)),
        ({"edgeType": "lunar"}, EdgeTypeCounts("internal", 1, 0, 1)),
        ({"edgeType": ""}, EdgeTypeCounts("internal", 1, 0, 1)),
        ({"EDGETYPE": "external"}, EdgeTypeCounts("internal", 1, 1, 0)),
    ],
)
def test_an_event_matches_or_mismatches_or_has_an_unknown_edge_type(fields, counts):
    counter = EdgeTypeCounter(["login"], {"login": "internal"})
    counter.feed(edge_logs.record("login", {"n": 1}, **fields))
    assert counter.counts() == {"login": counts}


def test_a_record_without_an_edge_type_counts_as_unknown():
    record = json.loads(edge_logs.record("login", {}))
    del record["edgeType"]
    counter = EdgeTypeCounter(["login"], {})
    counter.feed(json.dumps(record).encode())
    assert counter.counts() == {"login": EdgeTypeCounts("", 1, 0, 1)}


def test_an_event_without_an_expected_type_never_mismatches():
    counter = EdgeTypeCounter(["login"], {"chat": "internal"})
    counter.feed(edge_logs.record("login", {}, edgeType="external"))
    assert counter.counts() == {"login": EdgeTypeCounts("", 1, 0, 0)}


def test_each_event_of_a_list_counts_and_other_names_do_not():
    payload = json.dumps([{"event": name, "properties": {}} for name in ("login", "login", "chat")])
    counter = EdgeTypeCounter(["login"], {"login": "external"})
    counter.feed(edge_logs.envelope(payload) + b"\n" + edge_logs.record("chat", {}))
    assert counter.counts() == {"login": EdgeTypeCounts("external", 2, 2, 0)}
