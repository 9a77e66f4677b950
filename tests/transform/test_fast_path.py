"""The result of a chunk."""

from spade_spark.blueprint.schema import Column, Table
from spade_spark.lookups.base import Lookups
from spade_spark.sources.edge_record_fast import RawEdgeRecordReader
from spade_spark.transform.fast_path import FastPath
from tests.fuzz.generators import FixedGeo, FixedUserIds
from tests.sources.test_prefilter import edge_line, event

PLAY = Table("play", 1, (Column("x", "x", "varchar"), Column("n", "n", "int")))
LINES = [
    edge_line(event("play", x="a", n=1)),
    b"not a record",
    edge_line(event("play", x='"escapes"', n="2")),
    edge_line(event("nowhere", n=3)),
    edge_line(b'{"event":"play","properties":{"x":"cut'),
    edge_line(event("play", x="bad time"), receivedAt="never"),
]


def test_a_result_has_rows_untracked_events_and_the_indexes_of_all_other_lines():
    fast = FastPath({"play": PLAY}, Lookups(FixedGeo(), FixedUserIds()), None)
    result = fast.process(RawEdgeRecordReader().read(b"\n".join(LINES)))
    assert {name: sorted(rows) for name, rows in result.rows.items()} == {
        "play": [r"\"escapes\"" + '"\t"2', 'a"\t"1']
    }
    assert result.untracked == ['{"event":"nowhere","properties":{"n":3}}']
    assert result.unhandled == [1, 4, 5]
    assert result.truncated == {4}


def test_a_later_chunk_does_not_change_the_result_of_an_earlier_one():
    fast = FastPath({"play": PLAY}, Lookups(FixedGeo(), FixedUserIds()), None)
    records = RawEdgeRecordReader().read(LINES[0])
    results = [fast.process(records) for _ in range(3)]
    assert [result.rows for result in results] == [{"play": ['a"\t"1']}] * 3
