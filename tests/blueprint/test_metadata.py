"""The expected edge types in Blueprint's event metadata."""

import json

import pytest

from spade_spark.blueprint.metadata import read_edge_types
from spade_spark.errors import InputError

ROW = {"MetadataValue": "internal", "TS": "2017-11-03T11:00:00Z", "UserName": "ann", "Version": 2}


def read(events, name="Metadata"):
    return read_edge_types(json.dumps({name: events}).encode())


def test_the_edge_type_of_each_event_is_read():
    events = {
        "login": {"edge_type": ROW, "comment": {"MetadataValue": "x"}},
        "Chat": {"edge_type": ROW},
    }
    assert read(events) == {"login": "internal", "Chat": "internal"}


def test_member_names_are_case_insensitive_and_metadata_types_are_not():
    assert read({"a": {"edge_type": {"metadatavalue": "external"}}}, "METADATA") == {
        "a": "external"
    }
    assert read({"a": {"Edge_Type": ROW}}) == {}


@pytest.mark.parametrize(
    "types", [{}, None, {"edge_type": None}, {"edge_type": {"MetadataValue": ""}}]
)
def test_an_event_without_an_edge_type_is_skipped(types):
    assert read({"login": types}) == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"Metadata": []}',
        b'{"Metadata": {"login": 1}}',
        b'{"Metadata": {"login": {"edge_type": "internal"}}}',
        b'{"Metadata": {"login": {"edge_type": {"MetadataValue": 1}}}}',
    ],
)
def test_invalid_metadata_is_an_error_with_its_source(raw):
    with pytest.raises(InputError, match=r"s3://b/meta is not event metadata .*blueprint.metadata"):
        read_edge_types(raw, "s3://b/meta")
