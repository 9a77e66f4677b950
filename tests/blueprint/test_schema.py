"""Parsing Blueprint's list of tables: valid, skipped and invalid entries."""

from __future__ import annotations

import json

import pytest

from spade_spark.blueprint.schema import Column, SkippedTable, Table, read_tables
from spade_spark.errors import InputError


def is_known(transformer):
    return transformer in {"int", "varchar"}


def entry(name="t", transformer="int", **members):
    column = {"InboundName": "in", "OutboundName": "out", "Transformer": transformer}
    return {"EventName": name, "Version": 1, "Columns": [column], **members}


def read(*entries):
    return read_tables(json.dumps(entries).encode(), is_known)


def test_all_members_of_a_table_and_its_columns_are_read():
    column = {
        "InboundName": "id",
        "OutboundName": "user_id",
        "Transformer": "int",
        "ColumnCreationOptions": " sortkey",
        "SupportingColumns": "login,name",
        "Description": "ignored",
    }
    catalog = read({"EventName": "t", "Version": 3, "Columns": [column], "Owner": {}})
    expected = Column("id", "user_id", "int", " sortkey", ("login", "name"))
    assert catalog.tables == {"t": Table("t", 3, (expected,))}
    assert catalog.skipped == ()


def test_missing_members_and_nulls_are_empty_or_zero():
    column = {"Transformer": "int", "InboundName": None, "SupportingColumns": None}
    catalog = read({"EventName": "t", "Columns": [column]}, {"EventName": "u", "Columns": None})
    assert catalog.tables["t"] == Table("t", 0, (Column("", "", "int", "", ("",)),))
    assert catalog.tables["u"] == Table("u", 0, ())


def test_member_names_are_case_insensitive():
    column = {"inboundname": "in", "OUTBOUNDNAME": "out", "Transformer": "int"}
    catalog = read({"eventName": "t", "version": 2, "columns": [column]})
    assert catalog.tables == {"t": Table("t", 2, (Column("in", "out", "int", "", ("",)),))}


def test_the_last_valid_entry_of_a_name_wins():
    catalog = read(entry("t", Version=1), entry("t", Version=2), entry("t", "unknown", Version=3))
    assert catalog.tables["t"].version == 2
    assert [skipped.name for skipped in catalog.skipped] == ["t"]


@pytest.mark.parametrize(
    ("invalid", "reason"),
    [
        (entry(transformer="x"), "column 1 (out): the transformer 'x' is unknown"),
        (entry(Columns=[{"OutboundName": "o"}]), "column 1 (o): the transformer is missing"),
        (entry(Columns=[{"Transformer": 5}]), "column 1: Transformer is not a string"),
        (entry(Columns=[None]), "column 1 is not a JSON object"),
        (entry(Columns={}), "Columns is not a list"),
        (entry(Version=1.5), "Version is not an integer"),
        (entry(Version=1.0), "Version is not an integer"),
        (entry(Version="1"), "Version is not an integer"),
        (entry(Version=True), "Version is not an integer"),
        (entry(Version=2**63), "Version is not an integer"),
    ],
)  # fmt: skip
def test_an_invalid_entry_skips_only_its_table(invalid, reason):
    catalog = read(entry("before"), invalid, entry("after"))
    assert list(catalog.tables) == ["before", "after"]
    assert catalog.skipped == (SkippedTable("t", reason),)


@pytest.mark.parametrize(
    "without_name", [entry(name=""), entry(name=None), entry(name=7), 5, None, []]
)
def test_an_entry_without_a_name_is_reported_by_its_number(without_name):
    catalog = read(entry("before"), without_name)
    assert list(catalog.tables) == ["before"]
    assert [skipped.name for skipped in catalog.skipped] == ["entry 2"]


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", b"[", b"[1,]", b'[{"Version": NaN}]', b"\xff\xfe[", b"[" * 100_000]
)
def test_invalid_json_is_an_error_with_its_source(raw):
    with pytest.raises(InputError, match=r"^s3://blueprint/schemas\.json\.gz is not JSON"):
        read_tables(raw, is_known, "s3://blueprint/schemas.json.gz")


@pytest.mark.parametrize("raw", [b"{}", b"null", b'"text"', b"5"])
def test_json_that_is_not_a_list_is_an_error_with_its_source(raw):
    with pytest.raises(InputError, match=r"^here is JSON, but not Blueprint's list of tables"):
        read_tables(raw, is_known, "here")
