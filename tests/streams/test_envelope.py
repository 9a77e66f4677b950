"""The records that consumers read."""

import base64
import json
import uuid
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.streams.envelope import Envelope, glob, glob_entry, row_payload
from tests.streams.harness import stream, unglob, unpack

NOW = datetime(2017, 11, 3, 18, 0, 0, 120_999, tzinfo=timezone.utc)
FIELDS = {"n": "1", "login": "zoë <&>"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def envelope(name="r", now=NOW, **more):
    return Envelope(stream(**more), name, lambda: now)


def test_a_record_of_a_row_is_an_object_of_its_fields():
    record = envelope().record(row_payload(FIELDS, 7))
    assert json.loads(record.data) == {
        "UUID": record.key,
        "Version": 1,
        "Data": FIELDS,
        "CreatedAt": "2017-11-03 18:00:00.12",
    }
    assert str(uuid.UUID(record.key)) == record.key


def test_a_record_of_globs_is_base64_of_deflated_json():
    entries = [glob_entry("login", FIELDS, 7), glob_entry("chat", {"text": ""}, 9)]
    record = envelope(Compress=True).record(glob(entries))
    assert unpack(json.loads(record.data)) == [
        {"Name": "login", "Fields": FIELDS},
        {"Name": "chat", "Fields": {"text": ""}},
    ]
    assert (record.rows, record.last) == (2, 9)


@given(st.lists(st.dictionaries(TEXT, TEXT)))
def test_a_glob_decodes_to_its_rows(rows):
    entries = [glob_entry("e", fields, row) for row, fields in enumerate([{}, *rows])]
    assert [entry["Fields"] for entry in unglob(glob(entries).data)] == [{}, *rows]


@given(st.dictionaries(TEXT, TEXT))
def test_a_record_decodes_to_its_row(fields):
    assert json.loads(envelope().record(row_payload(fields, 0)).data)["Data"] == fields


def test_records_of_a_firehose_end_with_a_line_feed():
    record = envelope(kind="firehose").record(row_payload(FIELDS, 0))
    assert record.data.endswith(b"}\n")
    assert json.loads(record.data)["Data"] == FIELDS


def test_a_record_for_redshift_is_its_fields_without_nul():
    fields = {"a": "x\0y", "b": "\0\0", "c": "z"}
    redshift = envelope(kind="firehose", FirehoseRedshiftStream=True)
    record = redshift.record(row_payload(fields, 0))
    assert record.data == b'{"a":"xy","b":"","c":"z"}\n'


@pytest.mark.parametrize(
    ("micros", "shown"),
    [(0, "18:00:00"), (999, "18:00:00"), (100_000, "18:00:00.1"), (987_654, "18:00:00.987")],
)
def test_the_time_has_at_most_three_fractional_digits(micros, shown):
    record = envelope(now=NOW.replace(microsecond=micros)).record(row_payload({}, 0))
    assert json.loads(record.data)["CreatedAt"] == f"2017-11-03 {shown}"


def test_the_rows_of_a_record_determine_its_uuid():
    keys = [
        envelope().record(row_payload({}, 1)).key,
        envelope(now=NOW.replace(hour=20)).record(row_payload({}, 1)).key,
        envelope().record(row_payload({}, 2)).key,
        envelope("other").record(row_payload({}, 1)).key,
        envelope().record(glob([glob_entry("e", {}, row) for row in (1, 2)])).key,
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_a_glob_is_compressed():
    entries = [glob_entry("login", FIELDS, row) for row in range(1000)]
    data = glob(entries).data
    assert len(base64.b64encode(data)) < sum(len(entry.data) for entry in entries) / 10
