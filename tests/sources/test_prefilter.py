"""The prefilter skips lines but never loses a row."""

import base64
import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.blueprint.schema import Column, Table
from spade_spark.lookups.base import Lookups
from spade_spark.sources.prefilter import Prefilter
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.reference import ReferenceTransform
from tests.fuzz.generators import NAMES, FixedGeo, FixedUserIds, line, tables

LOOKUPS = Lookups(FixedGeo(), FixedUserIds())
WRITTEN = {Outcome.SUCCESS, Outcome.SKIPPED_COLUMNS, Outcome.FAILED}
names = st.text(min_size=1, max_size=12).filter(lambda name: name.encode("utf-8", "replace"))
seeds = st.integers(0, 2**40)


def edge_line(payload, **fields):
    record = {"receivedAt": "2017-11-03T11:00:00Z", "clientIp": "10.1.0.1", "uuid": "u"}
    record |= {"data": base64.b64encode(payload).decode(), **fields}
    return json.dumps(record).encode()


def event(name, **properties):
    return json.dumps({"event": name, "properties": properties}).encode()


def table(name):
    return Table(name, 1, (Column("x", "x", "varchar"),))


def makes_rows(line, schema, requested):
    """Whether the reference path writes a row of a requested table."""
    results = ReferenceTransform(schema, LOOKUPS, requested).line(line)
    return any(result.outcome in WRITTEN for result in results or [])


@given(seeds, st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_no_line_with_a_row_of_a_requested_table_is_skipped(seed, requested):
    rng = Random(seed)
    schema = tables(rng) | {name: table(name) for name in requested}
    lines = [part for _ in range(10) for part in line(rng, schema).split(b"\n")]
    kept = Prefilter(requested).filter(b"\n".join(lines) + b"\n").split(b"\n")
    for candidate in lines:
        if makes_rows(candidate, schema, frozenset(requested)):
            assert candidate in kept


@given(names, st.binary(max_size=5), st.data())
def test_a_name_is_found_at_every_offset_and_in_every_json_encoding(name, before, data):
    encoded = "".join(
        data.draw(st.sampled_from(encodings(char)), label=char) for char in name
    ).encode()
    padding = base64.b64encode(before).decode()
    payload = b'{"pad":"' + padding.encode() + b'","event":"' + encoded + b'","properties":{}}'
    chunk = edge_line(payload) + b"\n"
    if makes_rows(chunk, {name: table(name)}, frozenset({name})):
        assert Prefilter({name}).filter(chunk) == chunk


def encodings(char):
    plain = json.dumps(char, ensure_ascii=False)[1:-1]
    units = char.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
    return [plain, plain, escaped, "\\/"] if char == "/" else [plain, plain, escaped]


def test_two_records_on_a_line_do_not_shift_the_lines_after_it():
    wanted, other = edge_line(event("wanted")), edge_line(event("other"))
    chunk = b"\n".join([other + other, wanted, other, b"", other]) + b"\n"
    assert wanted in Prefilter({"wanted"}).filter(chunk).split(b"\n")


def test_all_lines_of_a_chunk_without_the_name_are_skipped():
    chunk = b"".join(edge_line(event(f"other_{n}", x="y")) + b"\n" for n in range(100))
    prefilter = Prefilter({"wanted"})
    assert prefilter.filter(chunk) == b""
    assert prefilter.skipped == 100


def test_kept_lines_are_in_order_and_skipped_lines_are_counted():
    rng = Random(1)
    wanted = [rng.random() < 0.1 for _ in range(200)]
    lines = [
        edge_line(event("wanted" if yes else "other", number=number)) + b"\n"
        for number, yes in enumerate(wanted)
    ]
    prefilter = Prefilter({"wanted"})
    kept = [line for line, yes in zip(lines, wanted, strict=True) if yes]
    assert prefilter.filter(b"".join(lines)) == b"".join(kept)
    assert prefilter.skipped == 200 - len(kept)


def test_the_last_line_of_an_object_may_lack_its_line_feed():
    prefilter = Prefilter({"wanted"})
    last = edge_line(event("wanted"))
    assert prefilter.filter(edge_line(event("other")) + b"\n" + last) == last
    assert prefilter.filter(edge_line(event("other"))) == b""
    assert prefilter.skipped == 2


def test_lines_with_another_encoding_of_the_name_are_kept():
    data = base64.b64encode(event("wanted")).decode()
    lines = [
        edge_line(event("x"), DATA=data),
        edge_line(event("x"), data=data.replace("d", "%64")),
        edge_line(event("x"), userAgent='a "quoted" agent'),
        edge_line(b'{"event":"w\\u0061nted"}'),
        edge_line(b'[{"event":"x"}, {"event" : "wanted"}]'),
        b"no record " + data.encode(),
    ]
    for candidate in lines:
        assert Prefilter({"wanted"}).filter(candidate + b"\n") == candidate + b"\n"


def test_many_names_or_a_name_that_cannot_be_searched_for_keep_all_lines():
    chunk = edge_line(event("other")) + b"\n"
    assert Prefilter({f"wanted_{n}" for n in range(100)}).filter(chunk) == chunk
    assert Prefilter({"\ufffd"}).filter(chunk) == chunk
