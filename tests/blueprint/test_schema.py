"""Blueprint's list of tables: what is a table, what is left out, what is no list."""

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


def test_a_table_is_read_with_all_that_its_columns_say():
    column = {
        "InboundName": "id",
        "OutboundName": "user_id",
        "Transformer": "int",
        "ColumnCreationOptions": " sortkey",
        "SupportingColumns": "login,name",
        "Description": "ignored",
    }
    reading = read({"EventName": "t", "Version": 3, "Columns": [column], "Owner": {}})
    expected = Column("id", "user_id", "int", " sortkey", ("login", "name"))
    assert reading.tables == {"t": Table("t", 3, (expected,))}
    assert reading.skipped == ()


def test_what_is_missing_or_null_is_empty_or_zero():
    column = {"Transformer": "int", "InboundName": None, "SupportingColumns": None}
    reading = read({"EventName": "t", "Columns": [column]}, {"EventName": "u", "Columns": None})
    assert reading.tables["t"] == Table("t", 0, (Column("", "", "int", "", ("",)),))
    assert reading.tables["u"] == Table("u", 0, ())


def test_names_of_members_match_in_any_case():
    column = {"inboundname": "in", "OUTBOUNDNAME": "out", "Transformer": "int"}
    reading = read({"eventName": "t", "version": 2, "columns": [column]})
    assert reading.tables == {"t": Table("t", 2, (Column("in", "out", "int", "", ("",)),))}


def test_the_last_good_entry_of_a_repeated_name_counts():
    reading = read(
        entry("t", Version=1), entry("t", Version=2), entry("t", "unheard_of", Version=3)
    )
    assert reading.tables["t"].version == 2
    assert [left_out.name for left_out in reading.skipped] == ["t"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry(transformer="x"), "column 1 (out): the transformer 'x' is not known"),
        (entry(Columns=[{"OutboundName": "o"}]), "column 1 (o): the transformer is missing"),
        (entry(Columns=[{"Transformer": 5}]), "column 1: Transformer is no string"),
        (entry(Columns=[None]), "column 1 is no JSON object"),
        (entry(Columns={}), "Columns is no list"),
        (entry(Version=1.5), "Version is no integer"),
        (entry(Version=1.0), "Version is no integer"),
        (entry(Version="1"), "Version is no integer"),
        (entry(Version=True), "Version is no integer"),
        (entry(Version=2**63), "Version is no integer"),
    ],
)  # fmt: skip
def test_a_bad_entry_leaves_out_that_table_and_no_other(bad, reason):
    reading = read(entry("before"), bad, entry("after"))
    assert list(reading.tables) == ["before", "after"]
    assert reading.skipped == (SkippedTable("t", reason),)


@pytest.mark.parametrize("nameless", [entry(name=""), entry(name=None), entry(name=7), 5, None, []])
def test_an_entry_without_a_name_is_left_out_by_its_place(nameless):
    reading = read(entry("before"), nameless)
    assert list(reading.tables) == ["before"]
    assert [left_out.name for left_out in reading.skipped] == ["entry 2"]


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", b"[", b"[1,]", b'[{"Version": NaN}]', b"\xff\xfe[", b"[" * 100_000]
)
def test_what_is_no_json_is_refused_by_its_source(raw):
    with pytest.raises(InputError, match=r"^s3://blueprint/schemas\.json\.gz is no JSON"):
        read_tables(raw, is_known, "s3://blueprint/schemas.json.gz")


@pytest.mark.parametrize("raw", [b"{}", b"null", b'"text"', b"5"])
def test_json_that_is_no_list_is_refused_by_its_source(raw):
    with pytest.raises(InputError, match=r"^here is JSON, but no list of tables"):
        read_tables(raw, is_known, "here")
