"""The fast path agrees with the reference path and the reference outputs; counts balance."""

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade_spark.blueprint.schema import Column, Table, read_tables
from spade_spark.errors import LookupUnavailableError
from spade_spark.lookups.base import GeoLocation, Lookups, LookupStats
from spade_spark.transform import decoders
from spade_spark.transform.bounded_cache import Cache
from spade_spark.transform.chunk import ChunkTransform
from spade_spark.transform.decoders import MAX_UNTRACKED_NAMES
from spade_spark.transform.outcomes import Outcome
from spade_spark.transform.transformers.registry import is_transformer
from tests.fuzz.compare import differing_lines, fast_path, reference
from tests.fuzz.generators import FixedGeo, FixedUserIds, lines, tables
from tests.sources.test_prefilter import edge_line, event
from tests.test_golden import LARGER, OWN, read_cases

LOOKUPS = Lookups(FixedGeo(), FixedUserIds())
FOLDERS = [folder for folder in (OWN, LARGER) if (folder / "edge.jsonl").exists()]
PLAY = Table("play", 1, (Column("x", "x", "varchar"), Column("n", "n", "int")))


class GoldenLookups:
    """The locations and user ids of a folder of reference outputs."""

    def __init__(self, folder: Path):
        self._locations = json.loads((folder / "geo.json").read_text("utf-8"))
        self._user_ids = json.loads((folder / "logins.json").read_text("utf-8"))

    def locate(self, address, *, asn=True):
        location = self._locations.get(address, {})
        names = ("City", "Country", "Region", "Asn") if asn else ("City", "Country", "Region")
        return GeoLocation(*(location.get(name, "") for name in names))

    def user_id(self, login):
        return self._user_ids.get(login)

    def stats(self):
        return LookupStats()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_fast_path_reproduces_the_reference_outputs(folder):
    schema = read_tables((folder / "schemas.json").read_bytes(), is_transformer).tables
    lookups = Lookups(GoldenLookups(folder), GoldenLookups(folder))
    transform = ChunkTransform(schema, lookups)
    wrong = []
    for case in read_cases(folder):
        transform.feed(case.line + b"\n")  # register the tables
        transform.drain()
        before = Counter(transform.counts.outcomes())
        transform.feed(case.line + b"\n")
        output = transform.drain()
        rows = [
            (name, row)
            for name, rows in output.rows.items()
            for row in rows.text.decode().split("\n")[:-1]
        ]
        rows += [("", row) for row in output.untracked]
        results: Any = case.expected
        expected = [
            ("" if result["outcome"] == "untracked" else result["table"], result["row"])
            for result in results
            if result["row"] is not None
        ]
        outcomes = Counter(transform.counts.outcomes()) - before
        expected_outcomes = Counter(Outcome(result["outcome"]) for result in results)
        if sorted(rows) != sorted(expected) or outcomes != expected_outcomes:
            wrong.append(f"{case.tier} {case.label}")
    transform.counts.check_balance()
    assert wrong == []


@settings(deadline=None)
@given(st.integers(0, 2**40), st.booleans())
def test_both_paths_agree_on_random_lines(seed, some_requested):
    rng = Random(seed)
    schema = tables(rng)
    requested = frozenset(list(schema)[:1]) if some_requested else None
    assert differing_lines(lines(rng, schema, 20), schema, LOOKUPS, requested) == []


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("xnyz"), NESTED),
    st.sampled_from(["int", "bigint", "float", "varchar", "bool", "f@timestamp@unix"]),
    st.booleans(),
)
def test_both_paths_agree_on_any_json(properties, transformer, ascii_only):
    schema = {"play": Table("play", 1, tuple(Column(n, n, transformer) for n in "xnyz"))}
    payload = json.dumps({"event": "play", "properties": properties}, ensure_ascii=ascii_only)
    line = edge_line(payload.encode("utf-8", "surrogatepass"))
    assert differing_lines([line], schema, LOOKUPS) == []


def test_both_paths_agree_on_chunks_of_many_lines():
    for seed in range(4):
        rng = Random(seed)
        schema = tables(rng)
        assert differing_lines(lines(rng, schema, 400), schema, LOOKUPS) == []


def test_the_last_line_of_a_chunk_may_lack_its_line_feed():
    transform = ChunkTransform({"play": PLAY}, LOOKUPS)
    transform.feed(edge_line(event("play", x="a")) + b"\n" + edge_line(event("play", x="b")))
    assert transform.drain().rows["play"].text == b'"a"\t""\n"b"\t""\n'
    assert transform.counts.lines == 2


def test_a_drain_returns_rows_once_and_keeps_the_counts():
    transform = ChunkTransform({"play": PLAY}, LOOKUPS)
    transform.feed(edge_line(event("play", x="a", n=1)) + b"\n")
    rows = transform.drain().rows["play"]
    assert (rows.table, rows.text, rows.count) == (PLAY, b'"a"\t"1"\n', 1)
    assert transform.drain().rows == {}
    assert transform.counts.events == {("play", Outcome.SUCCESS): 1}


def test_a_list_of_events_is_all_or_nothing():
    """A record whose last event is not valid is malformed, and its other events have no row."""
    events = b"[" + b",".join([event("play", x="a"), event("play", x="b"), b"7"]) + b"]"
    lines = [edge_line(events), edge_line(b"[" + event("play", x="c") + b"]")]
    result = fast_path(lines, {"play": PLAY}, LOOKUPS)
    assert result == reference(lines, {"play": PLAY}, LOOKUPS)
    assert result.rows == {"play": [b'"c"\t""']}


def test_an_event_without_a_name_is_not_an_event_of_the_only_table():
    lines = [edge_line(event("play", x="a")), edge_line(b'{"properties":{"x":"b"}}')]
    result = fast_path(lines, {"play": PLAY}, LOOKUPS)
    assert result.rows == {"play": [b'"a"\t""']}
    assert result.counts.events[("", Outcome.EMPTY_REQUEST)] == 1


def test_a_nul_that_was_sent_does_not_mark_a_missing_column():
    lines = [edge_line(event("play", x=text, n=1)) for text in ("\0", "\0\0", "a\0")]
    result = fast_path(lines, {"play": PLAY}, LOOKUPS)
    assert result.rows["play"] == [b'"\\x00"\t"1"', b'"\\x00\\x00"\t"1"', b'"a\\x00"\t"1"']
    assert result.counts.events == {("play", Outcome.SUCCESS): 3}


def test_untracked_events_beyond_the_limit_of_decoders_are_kept():
    lines = [edge_line(event(f"unknown {n}", n=n)) for n in range(MAX_UNTRACKED_NAMES + 50)]
    assert len(fast_path(lines, {"play": PLAY}, LOOKUPS).untracked) == MAX_UNTRACKED_NAMES + 50


def test_an_unavailable_lookup_service_fails_the_chunk():
    class Down(FixedUserIds):
        def user_id(self, login):
            raise LookupUnavailableError("the user id service does not respond")

    column = Column("user_id", "user_id", "userIDWithMapping", supporting=("login",))
    transform = ChunkTransform({"play": Table("play", 1, (column,))}, Lookups(FixedGeo(), Down()))
    with pytest.raises(LookupUnavailableError):
        transform.feed(edge_line(event("play", login="bob")) + b"\n")


def test_a_chunk_that_raises_leaves_no_rows():
    class Failing(FixedUserIds):
        def user_id(self, login):
            if login == "down":
                raise LookupUnavailableError("the user id service does not respond")
            return 7

    column = Column("user_id", "user_id", "userIDWithMapping", supporting=("login",))
    tables = {"play": PLAY, "user": Table("user", 1, (column,))}
    transform = ChunkTransform(tables, Lookups(FixedGeo(), Failing()))
    transform.feed(
        b"\n".join([edge_line(event("play", x="a")), edge_line(event("user", login="b"))])
    )
    transform.drain()
    failing = [event("play", x="c"), event("play", x='"'), event("user", login="down")]
    with pytest.raises(LookupUnavailableError):
        transform.feed(b"\n".join(map(edge_line, failing)))
    assert transform.drain().rows == {}


def test_a_table_that_uses_the_reference_path_is_reported_with_the_reason():
    columns = (Column("x", "a", "bool"), Column("x", "b", "int"))
    tables = {"play": PLAY, **{name: Table(name, 1, columns) for name in ("both", "unseen")}}
    lines = [edge_line(event(name, x=1)) for name in ("play", "both")] * 2
    transform = ChunkTransform(tables, LOOKUPS)
    for line in lines:
        transform.feed(line)
    assert transform.fallbacks == {
        "both": "columns need the property 'x' as different types: 'a' ('bool'), 'b' ('int')"
    }
    assert transform.drain().rows["both"].text == b'"true"\t"1"\n' * 2


def test_a_table_whose_code_does_not_compile_uses_the_reference_path(monkeypatch):
    def broken(table, *_):
        attempts.append(table.name)
        raise SyntaxError("too many nested parentheses")

    attempts: list[str] = []
    monkeypatch.setattr(decoders, "compile_events", broken)
    transform = ChunkTransform({"play": PLAY}, LOOKUPS)
    for _ in range(3):
        transform.feed(edge_line(event("play", x="a", n=1)))
    assert transform.fallbacks == {
        "play": "its row code cannot be compiled (SyntaxError: too many nested parentheses); "
        "please report this"
    }
    assert transform.drain().rows["play"].text == b'"a"\t"1"\n' * 3
    assert attempts == ["play"]


def test_a_login_without_an_id_is_looked_up_again():
    """Only the lookup caches misses, because it knows how long they are valid."""
    requests = []

    class AddsLogin(FixedUserIds):
        def user_id(self, login):
            requests.append(login)
            return 7 if len(requests) > 1 else None

    column = Column("user_id", "user_id", "userIDWithMapping", supporting=("login",))
    schema = {"play": Table("play", 1, (column,))}
    transform = ChunkTransform(schema, Lookups(FixedGeo(), AddsLogin()))
    transform.feed(edge_line(event("play", login="new")) + b"\n")
    transform.feed(edge_line(event("play", login="new")) + b"\n")
    transform.feed(edge_line(event("play", login="new")) + b"\n")
    assert transform.drain().rows["play"].text == b'""\n"7"\n"7"\n'
    assert len(requests) == 2


def test_both_paths_agree_on_a_catalog_of_a_thousand_tables():
    schema = {f"t{n}": Table(f"t{n}", 1, PLAY.columns) for n in range(1000)}
    lines = [edge_line(event(f"t{n}", x="a", n=n)) for n in range(0, 1000, 7)]
    assert fast_path(lines, schema, LOOKUPS) == reference(lines, schema, LOOKUPS)


@pytest.mark.parametrize("first", [b'"clientIp":"nowhere"', b'"receivedAt":"never"'])
def test_a_duplicate_member_is_validated_even_if_a_later_one_wins(first):
    good = edge_line(event("play", x="a"))
    duplicated = b"{%b,%b" % (first, good[1:])
    result = fast_path([good, duplicated, good], {"play": PLAY}, LOOKUPS)
    assert result == reference([good, duplicated, good], {"play": PLAY}, LOOKUPS)
    assert result.counts.undecodable == 1


@pytest.mark.parametrize("text", ['"\t"', '"\t', '\t"', '"', "\\", "\t", "/", "\u00e9", "\x7f"])
def test_escaped_characters_in_json_are_escaped_in_a_row_if_necessary(text):
    encoded = "".join(f"\\u{ord(char):04x}" for char in text)
    payload = b'{"event":"play","properties":{"x":"%b","n":1}}' % encoded.encode()
    lines = [edge_line(payload)]
    assert fast_path(lines, {"play": PLAY}, LOOKUPS) == reference(lines, {"play": PLAY}, LOOKUPS)


def test_few_rows_and_few_untracked_events_stay_in_the_buffer():
    transform = ChunkTransform({"play": PLAY}, LOOKUPS)
    lines = [edge_line(event(name, x="a", n=1)) for name in ("play", "nowhere")]
    transform.feed(b"\n".join(lines * 31))
    first = transform.drain(at_least=32)
    assert (first.rows, first.untracked) == ({}, [])
    transform.feed(b"\n".join(lines))
    output = transform.drain(at_least=32)
    assert (output.rows["play"].count, len(output.untracked)) == (32, 32)
    transform.feed(b"\n".join(lines))
    assert transform.drain().rows["play"].count == 1
    assert transform.counts.events == {("play", Outcome.SUCCESS): 33, ("", Outcome.UNTRACKED): 33}


@pytest.mark.parametrize("error", [RuntimeError, IndexError, AttributeError, ValueError, KeyError])
def test_a_bug_in_a_lookup_fails_only_the_events_that_use_it(error):
    class Broken:
        def locate(self, address, *, asn=True):
            raise error("oh")

    table = Table("play", 1, (Column("x", "x", "varchar"), Column("y", "city", "ipCity")))
    lookups = Lookups(Broken(), FixedUserIds())
    lines = [edge_line(event("play", x="a", y="10.1.0.1")), edge_line(event("nowhere", x="b"))]
    result = fast_path(lines * 3, {"play": table}, lookups)
    assert result == reference(lines * 3, {"play": table}, lookups)
    assert result.counts.events == {("", Outcome.UNTRACKED): 3, ("play", Outcome.FAILED): 3}


@pytest.mark.parametrize(
    ("transformer", "asn_queries"),
    [
        ("varchar", []),
        ("ipCity", [False]),
        ("ipAsn", [True]),
        ("ipAsnInteger", [True]),
    ],
)
def test_the_asn_database_is_queried_only_for_asn_columns(transformer, asn_queries):
    class Recording(FixedGeo):
        def locate(self, address, *, asn=True):
            queries.append(asn)
            return super().locate(address, asn=asn)

    queries: list[bool] = []
    table = Table("play", 1, (Column("x", "x", "varchar"), Column("ip", "geo", transformer)))
    transform = ChunkTransform({"play": table}, Lookups(Recording(), FixedUserIds()))
    line = edge_line(event("play", x="a"))
    transform.feed(b"\n".join([line] * 3))
    assert transform.drain().rows["play"].count == 3
    assert sorted(set(queries)) == asn_queries


def test_a_later_table_may_need_other_geo_fields_of_a_cached_address():
    tables = {
        name: Table(name, 1, (Column("x", "x", "varchar"), Column("ip", "geo", transformer)))
        for name, transformer in [("play", "ipCity"), ("stop", "ipAsn"), ("seek", "varchar")]
    }
    lines = [edge_line(event(name, x="a")) for name in ("seek", "play", "stop") * 2]
    lookups = Lookups(FixedGeo(), FixedUserIds())
    one_by_one = ChunkTransform(tables, lookups)
    for line in lines:
        one_by_one.feed(line)
    output = one_by_one.drain()
    rows = {name: table_rows.text.splitlines() for name, table_rows in output.rows.items()}
    assert rows == reference(lines, tables, lookups).rows


def test_a_cache_computes_the_missing_keys_of_a_batch():
    cache = Cache(len)
    for _ in range(2):
        assert list(cache.get_all(["a", "bb", "a", "ccc"])) == [1, 2, 1, 3]
        assert list(cache.get_all(["bb"])) == [2]
        assert list(cache.get_all([])) == []
    assert cache.known == {"a": 1, "bb": 2, "ccc": 3}
    with pytest.raises(TypeError):
        cache.get_all(["a", 4])


@pytest.mark.parametrize("entries", [100, 50, 3])
def test_a_batch_larger_than_the_cache_has_all_results(entries):
    cache = Cache(len, entries)
    keys = ["a" * size for size in (*range(1, 60), 2000, 2001)]
    for _ in range(2):
        assert list(cache.get_all(keys)) == list(map(len, keys))
    assert len(cache.known) <= entries


def test_long_strings_are_not_cached():
    cache = Cache(len)
    assert [cache["a" * size] for size in (1024, 1025)] == [1024, 1025]
    assert list(cache.known) == ["a" * 1024]


PAYLOAD = b'{"event":"play","properties":{"x":"a","n":1,"y":[1.5,true,null],"z":"\xc3\xa9"}}'


@pytest.mark.parametrize("payload", [PAYLOAD, b"[" + PAYLOAD + b"," + PAYLOAD + b"]"])
def test_a_payload_truncated_anywhere_is_malformed(payload):
    complete = edge_line(payload)
    lines = [edge_line(payload[:end], uuid="cut") for end in range(len(payload))]
    result = fast_path([complete, *lines, complete], {"play": PLAY}, LOOKUPS)
    assert result == reference([complete, *lines, complete], {"play": PLAY}, LOOKUPS)
    assert result.counts.events["", Outcome.MALFORMED] == len(payload)


def test_an_undecodable_line_with_a_truncated_payload_is_not_malformed():
    cut = PAYLOAD[:-9]
    lines = [edge_line(PAYLOAD), edge_line(cut, clientIp="nowhere"), edge_line(cut, receivedAt="2")]
    result = fast_path(lines, {"play": PLAY}, LOOKUPS)
    assert result == reference(lines, {"play": PLAY}, LOOKUPS)
    assert result.counts.undecodable == 2


@pytest.mark.parametrize("n", ["1", '"1"', "[]"])
@pytest.mark.parametrize("form", ["%b", "[%b]", "[%b,%b]"])
@pytest.mark.parametrize("text", ["a", r"\u00e9"])
def test_a_bug_that_raises_the_error_of_truncated_json_fails_the_event(n, form, text):
    class Broken(FixedUserIds):
        def user_id(self, login):
            return msgspec.json.decode(b'{"a"')

    columns = (*PLAY.columns, Column("id", "id", "userIDWithMapping", supporting=("x",)))
    schema = {"play": Table("play", 1, columns)}
    payload = f'{{"event":"play","properties":{{"x":"{text}","n":{n}}}}}'.encode()
    lines = [edge_line(form.replace("%b", payload.decode()).encode())] * 3
    result = fast_path(lines, schema, Lookups(FixedGeo(), Broken()))
    assert result == reference(lines, schema, Lookups(FixedGeo(), Broken()))
    assert set(result.counts.outcomes()) == {Outcome.FAILED}


@pytest.mark.parametrize("char", ["\x7f", "\u200b", "\u00ad", "\U0001fae8", "\u00e9"])
@pytest.mark.parametrize("text", ["plain", 'with "escapes"'])
def test_unprintable_characters_from_any_source_are_escaped_once(char, text):
    columns = (*PLAY.columns, Column("user_agent", "agent", "varchar"))
    schema = {"play": Table("play", 1, columns)}
    payload = json.dumps(
        {"event": "play", "properties": {"x": f"{char} {text}", "n": 1}}, ensure_ascii=False
    )
    line = edge_line(payload.encode(), userAgent="of CHAR").replace(b"CHAR", char.encode())
    assert differing_lines([line, line], schema, LOOKUPS) == []


def test_a_truncated_payload_is_quarantined_with_the_reason_and_the_id():
    transform = ChunkTransform({"play": PLAY}, LOOKUPS)
    for payload in (PAYLOAD, PAYLOAD[:-9]):  # the first payload registers the table
        transform.feed(edge_line(payload, uuid="cut"))
    (quarantined,) = transform.drain().quarantined
    assert (quarantined.outcome, quarantined.uuid) == (Outcome.MALFORMED, "cut")
    assert quarantined.error == "the payload is truncated JSON"


@pytest.mark.parametrize("encoded", [r"\ud800", r"\udbff\"", r"a\ud83d"])
def test_a_lone_surrogate_at_the_end_is_not_a_truncated_payload(encoded):
    payload = b'{"event":"play","properties":{"n":1,"x":"%b"}}' % encoded.encode()
    lines = [edge_line(PAYLOAD), edge_line(payload)]
    assert reference(lines, {"play": PLAY}, LOOKUPS).counts.outcomes()[Outcome.SUCCESS] == 2
    assert differing_lines(lines, {"play": PLAY}, LOOKUPS) == []


def test_a_chunk_of_all_kinds_of_lines_has_the_rows_of_the_reference_path():
    lines = [
        edge_line(event("play", x="regular", n=1)),
        b"not a record",
        edge_line(event("play", x="other type", n="2")),
        edge_line(PAYLOAD[:20], uuid="cut"),
        edge_line(event("new", x="of a table that is not registered")),
        edge_line(event("play", x='"escapes"\t', n=3)),
        edge_line(b"[" + event("play", x="one of two", n=4) + b"," + event("new", x='"') + b"]"),
        edge_line(event("play", x="bad address", n=5), clientIp="nowhere"),
        edge_line(event("play", x="bad time", n=6), receivedAt="2017-11-03T11:00:00.5+00:00"),
        edge_line(event("play", x="regular too", n=7), receivedAt="2017-11-03T11:00:00.5Z"),
    ]
    schema = {"play": PLAY, "new": Table("new", 2, (Column("x", "x", "varchar"),))}
    transform = ChunkTransform(schema, LOOKUPS)
    for _ in range(2):
        transform.feed(b"\n".join(lines))
    rows = {
        name: sorted(rows.text.split(b"\n")[:-1]) for name, rows in transform.drain().rows.items()
    }
    assert rows == reference(lines * 2, schema, LOOKUPS).rows
    transform.counts.check_balance()
    assert transform.counts.undecodable == reference(lines * 2, schema, LOOKUPS).counts.undecodable
